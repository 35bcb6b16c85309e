import type { Schedule } from './schedule.ts'

/** A clock that was set back by more is not waited for. */
export const DAY_MS = 24 * 3_600_000
/** A shorter time in which nothing was served is one in which the machine was busy. */
const GAP_MS = 5 * 60_000
/** Spans that are remembered of either kind, the newest. */
const MAX_SPANS = 32

/** All due times in it are done, both ends among them. */
export interface Span {
  from: number
  to: number
}

/** What is stored of it. Older versions knew `last` alone. */
export interface StoredTimes {
  last: number
  from?: number
  spans?: Span[]
  /** Of older versions; part of `spans` now. */
  otherClocks?: Span[]
}

/**
 * Which due times of a schedule are done, under a clock that may be set. They are served one after the other up to
 * `last`. Where the clock is set back behind that, it goes on from the new time, and knows what it has served already:
 * that is not served twice. Where it is set back by more than a day, it forgets what it served behind the new time, and
 * serves it again, but for the last day in which it ran, under however many clocks: else a schedule would stand still for
 * as long as the clock was set back, or for a day of each clock that there was.
 */
export class ServedTimes {
  private readonly schedule: Schedule
  private latestServed: number
  /** Since when no due time was left out. */
  private from: number
  /** What was served before that, in the order in which it ran. */
  private spans: Span[]

  /** `stored` is as it was kept; a new schedule begins `now`. */
  constructor(schedule: Schedule, stored: StoredTimes | undefined, now: number) {
    this.schedule = schedule
    this.latestServed = stored?.last ?? now
    this.from = stored ? (stored.from ?? stored.last - DAY_MS) : now
    this.spans = [...(stored?.otherClocks ?? []), ...(stored?.spans ?? [])]
  }

  get last(): number {
    return this.latestServed
  }

  get stored(): StoredTimes {
    const { latestServed: last, from, spans } = this
    return { last, from, ...(spans.length === 0 ? {} : { spans }) }
  }

  /** The first due time behind `last` that is not done. */
  next(): number | undefined {
    let due = this.schedule.next(this.latestServed)
    for (let span = this.around(due); span; span = this.around(due)) due = this.schedule.next(span.to)
    return due
  }

  /** The latest due time up to `now` that is not done, and how many between `last` and it are not. */
  due(now: number): { due: number; skipped: number } | undefined {
    let found = this.schedule.latest(this.latestServed, now)
    for (let span = this.around(found?.due); span; span = this.around(found?.due)) {
      found = this.schedule.latest(this.latestServed, span.from - 1)
    }
    if (!found) return undefined
    const { due } = found
    const between = this.spans.filter(({ to }) => to > this.latestServed && to < due)
    let done = 0
    // Spans of several clocks may overlap.
    let behind = this.latestServed
    for (const { from, to } of between.toSorted((a, b) => a.from - b.from)) {
      done += this.count(Math.max(from - 1, behind), to)
      behind = Math.max(behind, to)
    }
    return { due, skipped: Math.max(0, found.skipped - done) }
  }

  /** All up to this time is done, or left out for a time: that may become due again where the clock is set back. */
  serve(due: number, leftOut = false): void {
    if (leftOut && due - this.latestServed > GAP_MS) {
      this.remember()
      this.from = due
    }
    this.latestServed = due
  }

  /** Where the clock was set back behind what is done, goes on from `now`; says by how much that was. */
  follow(now: number): number {
    const behind = this.latestServed - now
    if (behind <= 0) return 0
    this.remember()
    if (behind > DAY_MS) this.spans = remembered(this.spans, now)
    this.latestServed = now
    this.from = now
    return behind
  }

  private remember(): void {
    const span = { from: this.from, to: this.latestServed }
    const others = this.spans.filter(({ from, to }) => from < span.from || to > span.to)
    this.spans = [...others, span].slice(-MAX_SPANS)
  }

  private around(due: number | undefined): Span | undefined {
    return due === undefined ? undefined : this.spans.find(({ from, to }) => from <= due && due <= to)
  }

  private count(after: number, until: number): number {
    const found = this.schedule.latest(after, until)
    return found ? found.skipped + 1 : 0
  }
}

/** What was served up to this time, and the last day in which anything was. */
function remembered(spans: readonly Span[], now: number): Span[] {
  let left = DAY_MS
  const kept = spans.toReversed().flatMap(({ from, to }) => {
    const since = left > 0 ? Math.max(from, to - left) : Number.POSITIVE_INFINITY
    left -= Math.max(0, to - since)
    if (since <= Math.max(from, now)) return [{ from, to }]
    const parts = [
      { from: since, to },
      { from, to: Math.min(to, now) },
    ]
    return parts.filter((part) => part.from <= part.to)
  })
  return kept.toReversed()
}
