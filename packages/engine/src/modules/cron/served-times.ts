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
  otherClocks?: Span[]
}

/**
 * Which due times of a schedule are done, under a clock that may be set. They are served one after the other up to
 * `last`. Where the clock is set back behind that, it goes on from the new time, and knows what it has served already:
 * that is not served twice. Where it is set back by more than a day, what it served between the new time and its last
 * day is forgotten, and served again: else a schedule would stand still for as long as the clock was set back.
 */
export class ServedTimes {
  private readonly schedule: Schedule
  private latestServed: number
  /** Since when no due time was left out. */
  private from: number
  /** What was served before that: all of it up to where the clock was set back by more than a day, and behind it. */
  private spans: Span[]
  /** The last days of clocks that were set back by more. */
  private otherClocks: Span[]

  /** `stored` is as it was kept; a new schedule begins `now`. */
  constructor(schedule: Schedule, stored: StoredTimes | undefined, now: number) {
    this.schedule = schedule
    this.latestServed = stored?.last ?? now
    this.from = stored ? (stored.from ?? stored.last - DAY_MS) : now
    this.spans = stored?.spans ?? []
    this.otherClocks = stored?.otherClocks ?? []
  }

  get last(): number {
    return this.latestServed
  }

  get stored(): StoredTimes {
    const { latestServed: last, from, spans, otherClocks } = this
    return {
      last,
      from,
      ...(spans.length === 0 ? {} : { spans }),
      ...(otherClocks.length === 0 ? {} : { otherClocks }),
    }
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
    const between = this.done().filter(({ to }) => to > this.latestServed && to < due)
    const done = between.reduce((sum, { from, to }) => sum + this.count(Math.max(from - 1, this.latestServed), to), 0)
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
    if (behind > DAY_MS) {
      const since = Math.max(...this.spans.map(({ to }) => to)) - DAY_MS
      this.otherClocks = [...this.otherClocks, ...within(this.spans, since, Number.POSITIVE_INFINITY)].slice(-MAX_SPANS)
      this.spans = within(this.spans, Number.NEGATIVE_INFINITY, now)
    }
    this.latestServed = now
    this.from = now
    return behind
  }

  private remember(): void {
    const span = { from: this.from, to: this.latestServed }
    const others = this.spans.filter(({ from, to }) => from < span.from || to > span.to)
    this.spans = [...others, span].slice(-MAX_SPANS)
  }

  private done(): Span[] {
    return [...this.otherClocks, ...this.spans]
  }

  private around(due: number | undefined): Span | undefined {
    return due === undefined ? undefined : this.done().find(({ from, to }) => from <= due && due <= to)
  }

  private count(after: number, until: number): number {
    const found = this.schedule.latest(after, until)
    return found ? found.skipped + 1 : 0
  }
}

/** The parts of the spans between these times. */
function within(spans: readonly Span[], first: number, last: number): Span[] {
  const parts = spans.map(({ from, to }) => ({ from: Math.max(from, first), to: Math.min(to, last) }))
  return parts.filter(({ from, to }) => from <= to)
}
