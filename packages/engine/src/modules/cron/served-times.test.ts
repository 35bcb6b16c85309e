import { describe, expect, it } from 'vitest'
import { Schedule } from './schedule.ts'
import { ServedTimes } from './served-times.ts'

const HOUR = 3_600_000
const DAY = 24 * HOUR
const hourly = new Schedule('@hourly')

describe('due times under a clock that is set back', () => {
  it('are left out where they were served, and counted where they were not', () => {
    const times = new ServedTimes(hourly, undefined, 10.5 * HOUR)
    times.serve(11 * HOUR, false)
    times.serve(12 * HOUR, false)
    expect(times.follow(8.5 * HOUR)).toBe(3.5 * HOUR)
    expect(times.next()).toBe(9 * HOUR)
    expect(times.due(12.5 * HOUR)).toEqual({ due: 10 * HOUR, skipped: 1 })
    expect(times.due(14.5 * HOUR)).toEqual({ due: 14 * HOUR, skipped: 3 })
    times.serve(10 * HOUR, true)
    expect(times.next()).toBe(13 * HOUR)
  })

  it('are counted once where several clocks served the same', () => {
    const times = new ServedTimes(hourly, undefined, 10.5 * HOUR)
    for (const due of [11, 12, 13, 14]) times.serve(due * HOUR)
    times.follow(12.5 * HOUR)
    times.serve(15 * HOUR)
    times.follow(9.5 * HOUR)
    // 10, and 16 to 19.
    expect(times.due(20.5 * HOUR)).toEqual({ due: 20 * HOUR, skipped: 5 })
  })

  it('are known for a day back from where the clock was, when it is set back by more: no schedule stands still for long', () => {
    const times = new ServedTimes(hourly, { last: 40 * DAY, from: 0 }, 40 * DAY)
    times.follow(10 * DAY)
    expect(times.next()).toBe(10 * DAY + HOUR)
    expect(times.due(39.5 * DAY)).toMatchObject({ due: 39 * DAY - HOUR })
    times.serve(39 * DAY - HOUR, true)
    expect(times.next()).toBe(40 * DAY + HOUR)
  })

  /** What is fired while the clock runs from one time to another. */
  function run(times: ServedTimes, from: number, to: number): number[] {
    const fired: number[] = []
    for (let now = from; now <= to; now += HOUR) {
      const due = times.due(now)?.due
      if (due === undefined) continue
      times.serve(due)
      fired.push(due)
    }
    return fired
  }

  it('are fired again after a jump by more than a day, but for the last day in which they were served, and no others', () => {
    const times = new ServedTimes(hourly, undefined, 0)
    const first = run(times, 0, 40 * DAY)
    times.follow(10 * DAY)
    const second = run(times, 10 * DAY, 42 * DAY)
    expect(second.filter((due) => first.includes(due)).every((due) => due < 39 * DAY)).toBe(true)
    expect(second.filter((due) => due > 39 * DAY)).toEqual(
      Array.from({ length: 48 }, (_, n) => 40 * DAY + (n + 1) * HOUR),
    )
    // Within a day nothing is.
    times.follow(41.5 * DAY)
    expect(run(times, 41.5 * DAY, 42 * DAY)).toEqual([])
    expect(new Set(second).size).toBe(second.length)
  })

  it.each([
    ['from where it had come before', [40, 40.5, 41, 42]],
    ['from ever earlier', [40, 39, 38, 37, 36]],
    ['from here and there', [40, 20, 30, 15, 25]],
  ])('are left out for a day at most under a clock that was set back by more again and again, %s', (_, reached) => {
    const times = new ServedTimes(hourly, undefined, 0)
    let at = 0
    let last = 0
    for (const day of reached) {
      last = run(times, at * DAY, day * DAY).at(-1)!
      at = 5
      times.follow(at * DAY)
    }
    const fired = run(times, at * DAY, 50 * DAY)
    expect(fired.length).toBeGreaterThanOrEqual((50 - at) * 24 - 25)
    expect(fired.filter((due) => due > last - DAY && due <= last)).toEqual([])
    expect(new Set(fired).size).toBe(fired.length)
  })

  it('are known where the clock was set back for a moment, however often within that', () => {
    const times = new ServedTimes(hourly, undefined, 0)
    const first = run(times, 0, 40 * DAY)
    for (const day of [10, 5, 1]) {
      times.follow(day * DAY)
      run(times, day * DAY, day * DAY + HOUR)
    }
    const { due } = times.due(40 * DAY)!
    expect(first).toContain(due)
    expect(due).toBeLessThan(39.2 * DAY)
  })

  it('are known also behind the time to which it was set back, however long that was ago', () => {
    const times = new ServedTimes(hourly, { last: 40 * DAY, from: 0 }, 40 * DAY)
    times.follow(10 * DAY)
    times.serve(10 * DAY + HOUR)
    times.follow(9.5 * DAY)
    expect(times.next()).toBe(10 * DAY + 2 * HOUR)
    const again = new ServedTimes(hourly, times.stored, 9.5 * DAY)
    expect(again.next()).toBe(10 * DAY + 2 * HOUR)
  })

  it('are known of a clock that ran day by day only, too', () => {
    const times = new ServedTimes(hourly, undefined, 0)
    for (let day = 1; day <= 40; day += 1) {
      for (let hour = 8; hour < 20; hour += 1) times.serve(day * DAY + hour * HOUR, hour === 8)
    }
    times.follow(20 * DAY)
    expect(times.next()).toBe(20 * DAY + HOUR)
    times.serve(40 * DAY + HOUR, true)
    expect(times.next()).toBe(40 * DAY + 2 * HOUR)
    times.serve(40 * DAY + 7 * HOUR, true)
    expect(times.next()).toBe(40 * DAY + 20 * HOUR)
  })

  it('are known over a restart, and what an older version stored is taken as served for a day', () => {
    const times = new ServedTimes(hourly, { last: 3 * DAY }, 3 * DAY)
    times.follow(2.5 * DAY)
    const again = new ServedTimes(hourly, times.stored, 2.5 * DAY)
    expect(again.next()).toBe(3 * DAY + HOUR)
    again.serve(3 * DAY + HOUR, false)
    expect(again.stored).toEqual({
      last: 3 * DAY + HOUR,
      from: 2.5 * DAY,
      spans: [{ from: 2 * DAY, to: 3 * DAY }],
    })
  })
})
