import type { Timer, Timers } from '../../core/ports.ts'

/** Schedules that are looked at in one turn of the event loop. */
const AT_ONCE = 8

/**
 * Lets everything else have its turn between schedules that fall due together. To find the latest due time of one that is
 * late is work, and timers that are due run one after the other before any socket is read: with thousands of schedules
 * nobody would even hear that whoever made them has left.
 */
export class Turns {
  private readonly timers: Timers
  private readonly waiting = new Set<() => void>()
  private left = AT_ONCE
  private timer: Timer | undefined

  constructor(timers: Timers) {
    this.timers = timers
  }

  /** Runs now, or in one of the next turns. */
  take(run: () => void): void {
    this.timer ??= this.timers.set(0, () => this.next())
    if (this.left === 0) {
      this.waiting.add(run)
      return
    }
    this.left -= 1
    run()
  }

  private next(): void {
    this.timer = undefined
    this.left = AT_ONCE
    for (const run of this.waiting) {
      if (this.left === 0) break
      this.waiting.delete(run)
      this.take(run)
    }
    if (this.waiting.size > 0) this.timer ??= this.timers.set(0, () => this.next())
  }
}
