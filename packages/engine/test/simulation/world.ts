import type { Clock, Ids, Log, Ports, Store, Timer, Timers } from '../../src/core/ports.ts'

/** A small seeded generator (mulberry32): the same seed gives the same run. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

interface Event {
  at: number
  order: number
  run: () => void
  cancelled: boolean
}

const quiet: Log = { debug() {}, info() {}, warn() {}, error() {} }

/** Virtual time, timers, ids and chance. Nothing in it waits for the real clock. */
export class World {
  readonly random: () => number
  private readonly events: Event[] = []
  private order = 0
  private time = 0
  private drawn = 0

  constructor(seed: number) {
    this.random = seededRandom(seed)
  }

  get now(): number {
    return this.time
  }

  /** A whole number from `low` to `high`, both included. */
  between(low: number, high: number): number {
    return low + Math.floor(this.random() * (high - low + 1))
  }

  chance(probability: number): boolean {
    return this.random() < probability
  }

  after(delay: number, run: () => void): Event {
    const event = { at: this.time + Math.max(0, delay), order: this.order++, run, cancelled: false }
    this.events.push(event)
    return event
  }

  /** Runs events in time order until none is left before `until`. */
  runUntil(until: number): void {
    for (;;) {
      let next = -1
      for (let i = 0; i < this.events.length; i++) {
        const event = this.events[i]!
        const best = this.events[next]
        if (!best || event.at < best.at || (event.at === best.at && event.order < best.order)) next = i
      }
      const event = this.events[next]
      if (!event || event.at > until) break
      this.events.splice(next, 1)
      this.time = event.at
      if (!event.cancelled) event.run()
    }
    this.time = until
  }

  ports(store: Store): Ports {
    const clock: Clock = {
      now: () => 1_700_000_000_000 + Math.floor(this.time),
      precise: () => 1_700_000_000_000 + this.time,
      monotonic: () => this.time,
    }
    const timers: Timers = {
      set: (delay, run) => {
        const event = this.after(delay, run)
        return { due: event.at, event } as Timer
      },
      clear: (timer) => {
        if ('event' in timer) (timer.event as Event).cancelled = true
      },
    }
    const ids: Ids = {
      uuid: () => `00000000-0000-4000-8000-${(++this.drawn).toString(16).padStart(12, '0')}`,
      hex: (bytes) => (++this.drawn).toString(16).padStart(bytes * 2, '0'),
    }
    return { clock, timers, ids, store, log: quiet }
  }
}
