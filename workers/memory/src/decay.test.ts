import { expect, test } from 'vitest'
import { decayed } from './decay.ts'

const DAY = 86_400_000
const NOW = 100 * DAY
const unread = { confidence: 1, lastAccessed: NOW - 8 * DAY, pinned: false }

test('a memory that nobody read for a week loses the rate', () => {
  expect(decayed(unread, 0.05, NOW)).toBeCloseTo(0.95)
})

test('it never falls below a tenth, and stays there', () => {
  expect(decayed({ ...unread, confidence: 0.101 }, 0.5, NOW)).toBe(0.1)
  expect(decayed({ ...unread, confidence: 0.1 }, 0.5, NOW)).toBeUndefined()
})

test('what was read within a week, or is pinned, stays', () => {
  expect(decayed({ ...unread, lastAccessed: NOW - 7 * DAY }, 0.05, NOW)).toBeUndefined()
  expect(decayed({ ...unread, pinned: true }, 0.05, NOW)).toBeUndefined()
})
