import { homedir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { resolvePaths } from './paths.ts'

const paths = (env: NodeJS.ProcessEnv) => resolvePaths(env, '/place')

it.each([
  ['~/x', join(homedir(), 'x')],
  ['~', homedir()],
  ['x', '/place/x'],
  ['/x', '/x'],
])('AGENTOS_DATA=%s is %s', (given, folder) => {
  expect(paths({ AGENTOS_DATA: given }).data).toBe(folder)
})

it('the other places are read alike', () => {
  expect(paths({ AGENTOS_ROOT: '~/x' })).toMatchObject({ root: join(homedir(), 'x'), data: join(homedir(), 'x/data') })
  expect(paths({ AGENTOS_CONFIG: '~/x/my.yaml' })).toMatchObject({
    root: join(homedir(), 'x'),
    config: join(homedir(), 'x/my.yaml'),
  })
})

it('the home folder of somebody else is refused by the name of the variable', () => {
  expect(() => paths({ AGENTOS_DATA: '~bob/x' })).toThrow(/AGENTOS_DATA.*~bob\/x/)
})
