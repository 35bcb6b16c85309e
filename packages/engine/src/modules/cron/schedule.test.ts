import { describe, expect, it } from 'vitest'
import { Schedule } from './schedule.ts'

const FROM = Date.parse('2026-11-22T16:00:00Z') // a Sunday

function times(expression: string, count = 3, timezone?: string): string[] {
  const schedule = new Schedule(expression, timezone)
  const list: string[] = []
  for (let at = schedule.next(FROM); at !== undefined && list.length < count; at = schedule.next(at)) {
    list.push(new Date(at).toISOString().slice(0, 19))
  }
  return list
}

describe('five fields', () => {
  it('are Unix: Sunday is 0 or 7, day of month or day of week', () => {
    const sundays = ['2026-11-29T00:00:00', '2026-12-06T00:00:00']
    expect(times('0 0 * * 0', 2)).toEqual(sundays)
    expect(times('0 0 * * 7', 2)).toEqual(sundays)
    expect(times('0 0 * * SUN', 2)).toEqual(sundays)
    expect(times('0 0 1 * 1')).toEqual(['2026-11-23T00:00:00', '2026-11-30T00:00:00', '2026-12-01T00:00:00'])
    expect(times('*/20 * * * *', 2)).toEqual(['2026-11-22T16:20:00', '2026-11-22T16:40:00'])
    expect(times('0 3 * * *', 1)).toEqual(['2026-11-23T03:00:00'])
  })
})

describe('six and seven fields', () => {
  it("are the protocol's: seconds first, Sunday is 1, both days have to match, UTC", () => {
    expect(times('0 0 0 * * 1', 2)).toEqual(['2026-11-29T00:00:00', '2026-12-06T00:00:00'])
    expect(times('0 0 0 * * 7', 1)).toEqual(['2026-11-28T00:00:00'])
    expect(times('0 0 0 ? * MON-FRI', 1)).toEqual(['2026-11-23T00:00:00'])
    expect(times('0 0 0 13 * FRI', 2)).toEqual(['2027-08-13T00:00:00', '2028-10-13T00:00:00'])
    expect(times('*/30 * * * * *', 2)).toEqual(['2026-11-22T16:00:30', '2026-11-22T16:01:00'])
    expect(times('0 0 12 1 JAN ? 2030', 2)).toEqual(['2030-01-01T12:00:00'])
    expect(times('* * * * * * 1999')).toEqual([])
  })

  it('take a step from a number to the end, and lists of ranges', () => {
    expect(times('5/20 * * * * *')).toEqual(['2026-11-22T16:00:05', '2026-11-22T16:00:25', '2026-11-22T16:00:45'])
    expect(times('0 10-12,50/5 * * * *', 5).map((time) => time.slice(14, 16))).toEqual(['10', '11', '12', '50', '55'])
  })
})

describe('shorthands and time zones', () => {
  it('are known', () => {
    expect(times('@hourly', 1)).toEqual(['2026-11-22T17:00:00'])
    expect(times('@daily', 1)).toEqual(['2026-11-23T00:00:00'])
    expect(times('@weekly', 1)).toEqual(['2026-11-29T00:00:00'])
    expect(times('@Monthly', 1)).toEqual(['2026-12-01T00:00:00'])
    expect(times('@yearly', 1)).toEqual(['2027-01-01T00:00:00'])
    expect(times('0 9 * * *', 1, 'Europe/Berlin')).toEqual(['2026-11-23T08:00:00'])
  })
})

describe('what is not in the grammar', () => {
  it.each([
    ['* * * *', /4 fields; write 5/],
    ['* * * * * * * *', /8 fields/],
    ['@often', /1 field; write 5/],
    ['', /1 field/],
    ['60 * * * *', /not valid/],
    ['0 0 0 * * 0', /not valid/],
    ['? * * * *', /'\?' is not a valid minute/],
    ['0 0 L * *', /'L' is not a valid day of month/],
    ['0 0 * * 1#2', /'1#2' is not a valid day of week/],
    ['0 0 * * 5W', /not a valid day of week/],
    ['*/0 * * * *', /not a valid minute/],
    ['30-10 * * * *', /not valid/],
    ['a * * * *', /'a' is not a valid minute/],
    ['0 0 * FOO *', /not valid/],
  ])('is refused: %s', (expression, message) => {
    expect(() => new Schedule(expression)).toThrow(message)
  })

  it('is refused: an unknown time zone', () => {
    expect(() => new Schedule('@daily', 'Mars/Olympus')).toThrow(/'Mars\/Olympus' is no IANA time zone/)
  })
})

describe('what was missed', () => {
  it('is the latest, and how many lay before it', () => {
    const schedule = new Schedule('*/10 * * * *')
    const minute = 60_000
    expect(schedule.latest(FROM, FROM + 9 * minute)).toBeUndefined()
    expect(schedule.latest(FROM, FROM + 10 * minute)).toEqual({ due: FROM + 10 * minute, skipped: 0 })
    expect(schedule.latest(FROM, FROM + 35 * minute)).toEqual({ due: FROM + 30 * minute, skipped: 2 })
    expect(schedule.latest(FROM, FROM - 35 * minute)).toBeUndefined()
  })
})
