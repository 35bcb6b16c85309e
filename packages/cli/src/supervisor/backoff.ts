/** What happens after a process ended without being asked to. Times in milliseconds. */
export type RestartDecision = { action: 'restart'; delayMs: number } | { action: 'hold'; crashes: number }

const FIRST_DELAY = 200
const LONGEST_DELAY = 30_000
const HOLD_AFTER = 5
const WINDOW = 60_000

/** 0.2 s, doubling up to 30 s; held after five crashes within a minute; a minute without one starts over. */
export class RestartPolicy {
  private crashes: number[] = []
  private delay = FIRST_DELAY

  crashed(now: number): RestartDecision {
    const last = this.crashes.at(-1)
    if (last !== undefined && now - last > WINDOW) this.delay = FIRST_DELAY
    this.crashes = [...this.crashes.filter((at) => now - at < WINDOW), now]
    if (this.crashes.length >= HOLD_AFTER) return { action: 'hold', crashes: this.crashes.length }
    const delayMs = this.delay
    this.delay = Math.min(this.delay * 2, LONGEST_DELAY)
    return { action: 'restart', delayMs }
  }

  /** A changed source is a new start. */
  reset(): void {
    this.crashes = []
    this.delay = FIRST_DELAY
  }
}
