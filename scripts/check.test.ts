import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { FunctionDescriptor } from '../packages/protocol/src/index.ts'
import { differences, sandboxIds } from './check-manifests.ts'
import { placesIn } from './check-places.ts'
import { checkRequirements, hasTest } from './check-requirements.ts'
import { count } from './count.mjs'

describe('a manifest against its running worker', () => {
  const evict = { type: 'cron', function_id: 'a::evict', config: { expression: '0 3 * * *' } }
  const declared = {
    name: 'a',
    functions: [{ id: 'a::get' } as FunctionDescriptor, { id: 'a::evict' } as FunctionDescriptor],
    triggers: [evict],
  }
  const registered = ['a::evict', 'a::get']

  it('has no difference where they agree, in whatever order', () => {
    expect(differences({ declared, registered, bound: [structuredClone(evict)] })).toEqual([])
  })

  it('has no difference where only the manifest binds a trigger: the engine does that by itself', () => {
    expect(differences({ declared, registered, bound: [] })).toEqual([])
  })

  it.each([
    ['a function that is declared and not registered', { registered: ['a::get'] }, 'declares a::evict'],
    ['a function that is registered and not declared', { registered: [...registered, 'a::x'] }, 'registers a::x'],
    [
      'a trigger with another config',
      { bound: [{ ...evict, config: { expression: '0 4 * * *' } }] },
      'does not declare',
    ],
    ['a worker that never connected', { registered: undefined }, 'did not connect'],
  ])('names %s', (_, difference, said) => {
    const found = differences({ declared, registered, bound: [evict], ...difference })
    expect(found.join('\n')).toContain(said)
  })

  it('must not register a sandbox:: id', () => {
    expect(sandboxIds({ declared, registered: ['sandbox::run', 'a::get'], bound: [] })).toEqual([
      'a registers sandbox::run',
    ])
  })
})

describe('a requirement', () => {
  let root: string
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'requirements-'))
    await writeFile(join(root, 'a.test.ts'), "it('holds', () => {})\nit.skip('later', () => {})\nit.todo('some day')\n")
  })
  afterEach(() => rm(root, { recursive: true }))

  const check = async (yaml: string) => {
    const file = join(root, 'requirements.yaml')
    await writeFile(file, yaml)
    return (await checkRequirements(root, file)).join('\n')
  }
  const entry = (test: string) => `- { id: x.y, text: Something that is promised, ${test} }\n`

  it('is satisfied by a test that exists', async () => {
    expect(await check(entry("test: 'a.test.ts › holds'"))).toBe('')
  })

  it.each([
    ['has no test', 'note: none', 'x.y'],
    ['cites a file that is not there', "test: 'b.test.ts › holds'", 'no file b.test.ts'],
    ['cites a test that is not there', "test: 'a.test.ts › gone'", '"gone"'],
    ['cites a test that is skipped', "test: 'a.test.ts › later'", '"later"'],
    ['cites a test that is only planned', "test: 'a.test.ts › some day'", '"some day"'],
  ])('fails when it %s', async (_, test, said) => {
    expect(await check(entry(test))).toContain(said)
  })

  it('fails when its id stands there twice', async () => {
    expect(await check(entry("test: 'a.test.ts › holds'").repeat(2))).toContain('twice')
  })

  it('may cite a test of a table by the name as it is written', () => {
    expect(hasTest("it.each([\n  ['a', 1],\n])('for %s is %s', (a) => {})", 'for %s is %s')).toBe(true)
    expect(hasTest("it.skip.each([1])('for %s', () => {})", 'for %s')).toBe(false)
  })
})

describe('places that belong in no file', () => {
  const host = ['registry', 'example', 'org'].join('.')
  const home = ['', 'home', 'ada', 'agentos'].join('/')

  it('are the host of a registry and a path of a machine', () => {
    const found = placesIn(`first\nfetch from https://${host}/x\nsee ${home}\n`)
    expect(found.map(({ line, quote }) => [line, quote])).toEqual([
      [2, host],
      [3, ['', 'home', 'ada'].join('/')],
    ])
  })

  it('are not routes, relative paths or words that look alike', () => {
    expect(placesIn('GET /v1/home/x\nimport "../work/x.ts"\ndist/workers/a.mjs\nthe npm registry.')).toEqual([])
  })
})

describe('the count at the end', () => {
  const report = (more: object) => JSON.stringify({ numPassedTests: 3, numFailedTests: 0, testResults: [], ...more })

  it('adds tests and checks', () => {
    expect(count(report({}), 'x\nchecks: 5 passed, 1 failed\n')).toEqual({ passed: 8, failed: 1 })
  })

  it.each([
    ['a report is missing', '', 'checks: 1 passed, 0 failed', 1],
    ['no test ran', report({ numPassedTests: 0 }), 'checks: 1 passed, 0 failed', 1],
    ['the checks broke off', report({}), '✓ types', 1],
    [
      'a test file could not be loaded',
      report({ testResults: [{ status: 'failed', assertionResults: [] }] }),
      'checks: 1 passed, 0 failed',
      1,
    ],
  ])('counts a failure when %s', (_, tests, checks, failed) => {
    expect(count(tests, checks).failed).toBe(failed)
  })
})
