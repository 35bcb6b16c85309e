import { expect, it } from 'vitest'
import { formatCost, formatMs, formatWhen, plural } from './format.ts'

it('writes durations in the unit that a person would choose', () => {
  expect([0.04, 3.21, 9.96, 12.4, 999.4, 999.6, 3_240, 59_960, 125_000].map(formatMs)).toEqual([
    '0.0 ms',
    '3.2 ms',
    '10 ms',
    '12 ms',
    '999 ms',
    '1.0 s',
    '3.2 s',
    '1 min 0 s',
    '2 min 5 s',
  ])
})

it('writes cost so that what was paid can be seen', () => {
  expect([0, 1, 15, 1_234, 12_345, 1_500_000].map(formatCost)).toEqual([
    '$0.00',
    '$0.000001',
    '$0.000015',
    '$0.0012',
    '$0.01',
    '$1.50',
  ])
})

it('writes times by how long ago they are', () => {
  const now = new Date(2026, 10, 22, 17, 0).getTime()
  expect(formatWhen(new Date(2026, 10, 22, 9, 5).getTime(), now)).toBe('09:05')
  expect(formatWhen(new Date(2026, 10, 3, 9, 5).getTime(), now)).toBe('3 Nov')
  expect(formatWhen(new Date(2025, 10, 3, 9, 5).getTime(), now)).toBe('3 Nov 2025')
})

it('counts nouns', () => {
  expect([plural(1, 'worker'), plural(1_200, 'token')]).toEqual(['1 worker', '1,200 tokens'])
})
