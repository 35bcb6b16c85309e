import { expect, it } from 'vitest'
import { isSameSecret } from './secret.ts'

it.each([
  ['the same', 'secret', 'secret', true],
  ['another', 'secret', 'Secret', false],
  ['a longer one', 'secrets', 'secret', false],
  ['none', undefined, 'secret', false],
  ['an empty one', '', 'secret', false],
  ['any, where none is set', 'secret', undefined, false],
  ['an empty one, where none is set', '', '', false],
])('%s is judged', (_what, given, expected, same) => {
  expect(isSameSecret(given, expected)).toBe(same)
})
