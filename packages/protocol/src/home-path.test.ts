import { expect, it } from 'vitest'
import { expandHome } from './home-path.ts'

it.each([
  ['~', '/houses/anna'],
  ['~/', '/houses/anna/'],
  ['~/x/y', '/houses/anna/x/y'],
  ['/~/x', '/~/x'],
  ['./~/x', './~/x'],
  ['a~/x', 'a~/x'],
  ['', ''],
])('%s is %s', (path, expected) => {
  expect(expandHome(path, '/houses/anna')).toBe(expected)
})

it('somebody else’s home is not guessed', () => {
  expect(() => expandHome('~bob/x', '/houses/anna')).toThrow('./~bob/x')
})
