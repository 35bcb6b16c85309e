/** What happens after a process ended without being asked to. Times in milliseconds. */
export type RestartDecision = { action: 'restart'; delayMs: number } | { action: 'hold'; crashes: number }

const FIRST_DELAY = 200
const LONGEST_DELAY = 30_000
/** Crashes within a minute, before it was up. */
const HOLD_AT_START = 5
/** Of all kinds. A run or a job that ends its process takes five until the engine knows which one it is. */
const HOLD_AFTER = 8
const WINDOW = 60_000

/**
 * 0.2 s, doubling up to 30 s; a minute without a crash starts over. Held after five crashes within a minute where it did
 * not come up, after eight in all.
 */
export class RestartPolicy {
  private crashes: { at: number; wasUp: boolean }[] = []
  private delay = FIRST_DELAY

  crashed(now: number, wasUp: boolean): RestartDecision {
    const last = this.crashes.at(-1)
    if (last !== undefined && now - last.at > WINDOW) this.delay = FIRST_DELAY
    this.crashes = [...this.crashes.filter(({ at }) => now - at < WINDOW), { at: now, wasUp }]
    const crashes = this.crashes.length
    const atStart = this.crashes.filter((crash) => !crash.wasUp).length
    if (atStart >= HOLD_AT_START || crashes >= HOLD_AFTER) return { action: 'hold', crashes }
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
