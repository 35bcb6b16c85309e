import { describe, expect, it } from 'vitest'
import { assertTimeZone, periodKey } from './period.ts'

const at = Date.parse('2026-11-30T23:30:00Z')

describe('the window of a budget', () => {
  it.each([
    ['hour', 'UTC', '2026-11-30T23'],
    ['day', 'UTC', '2026-11-30'],
    ['month', 'UTC', '2026-11'],
    ['month', 'Europe/Berlin', '2026-12'],
    ['hour', 'Europe/Berlin', '2026-12-01T00'],
    ['total', 'UTC', 'total'],
  ] as const)('of one %s in %s is %s', (period, zone, key) => {
    expect(periodKey(period, zone, at)).toBe(key)
  })

  it('refuses a zone that is none', () => {
    expect(() => assertTimeZone('Mars/Olympus')).toThrow(expect.objectContaining({ code: 'invalid_input' }))
  })
})
