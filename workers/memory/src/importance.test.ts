import { expect, test } from 'vitest'
import { estimateImportance } from './importance.ts'

test.each([
  ['hello', 'user', 0.5],
  ['hello', 'assistant', 0.6],
  ['x'.repeat(501), 'user', 0.6],
  ['x'.repeat(500), 'user', 0.5],
  ['an error', 'user', 0.65],
  ['an ERROR', 'user', 0.5],
  ['error critical ```code```', 'user', 0.75],
  [`fix ${'x'.repeat(500)} \`\`\``, 'assistant', 0.95],
])('%.20s of %s is worth %d', (content, role, importance) => {
  expect(estimateImportance(content, role)).toBe(importance)
})
