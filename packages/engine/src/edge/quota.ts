/** A bucket of requests that fills evenly; what it holds at most is one minute's worth. */
export class Quota {
  private readonly perMinute: number
  private readonly now: () => number
  private left: number
  private at: number

  /** `now` reads a monotonic clock in milliseconds. */
  constructor(perMinute: number, now: () => number) {
    this.perMinute = perMinute
    this.now = now
    this.left = perMinute
    this.at = now()
  }

  /** Takes one; else says after how many milliseconds there will be one. */
  take(): { ok: true } | { ok: false; retryAfterMs: number } {
    const now = this.now()
    this.left = Math.min(this.perMinute, this.left + ((now - this.at) * this.perMinute) / 60_000)
    this.at = now
    if (this.left >= 1) {
      this.left -= 1
      return { ok: true }
    }
    return { ok: false, retryAfterMs: Math.ceil(((1 - this.left) * 60_000) / Math.max(1, this.perMinute)) }
  }
}
