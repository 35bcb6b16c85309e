export type Taken = { ok: true } | { ok: false; retryAfterMs: number }

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

  /** Takes one and leaves `kept`; else says after how many milliseconds there will be one. */
  take(kept = 0): Taken {
    const now = this.now()
    this.left = Math.min(this.perMinute, this.left + ((now - this.at) * this.perMinute) / 60_000)
    this.at = now
    const left = this.left - kept
    if (left >= 1) {
      this.left -= 1
      return { ok: true }
    }
    return { ok: false, retryAfterMs: Math.ceil(((1 - left) * 60_000) / Math.max(1, this.perMinute)) }
  }
}

/** Of a minute's requests this part is little: who asks for no more finds the half that is kept for it. */
const LITTLE = 1 / 60
/** Sources that are told apart; past them the one that has asked for nothing longest is forgotten. */
const MAX_SOURCES = 10_000

/**
 * Requests a minute of many together. Half of them are kept for sources that ask for little, and whoever asks for much
 * takes of the other half only: one cannot use up everybody's minute.
 */
export class SharedQuota {
  private readonly perMinute: number
  private readonly now: () => number
  private readonly all: Quota
  private readonly sources = new Map<string, Quota>()

  constructor(perMinute: number, now: () => number) {
    this.perMinute = perMinute
    this.now = now
    this.all = new Quota(perMinute, now)
  }

  /** Takes one for this source; else says after how many milliseconds there will be one. */
  take(source: string): Taken {
    const asksForLittle = this.quotaOf(source).take().ok
    return this.all.take(asksForLittle ? 0 : this.perMinute / 2)
  }

  private quotaOf(source: string): Quota {
    const quota = this.sources.get(source) ?? new Quota(Math.max(1, this.perMinute * LITTLE), this.now)
    this.sources.delete(source)
    this.sources.set(source, quota)
    const [oldest] = this.sources.keys()
    if (this.sources.size > MAX_SOURCES && oldest !== undefined) this.sources.delete(oldest)
    return quota
  }
}
