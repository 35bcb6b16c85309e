export type BreakerState = 'closed' | 'open' | 'half_open'

/**
 * Fails fast where a provider is down: so many failures in a row open it, after a while one request may try, and its
 * outcome closes it or opens it again.
 */
export class Breaker {
  private readonly failures: number
  private readonly openMs: number
  private readonly now: () => number
  private inARow = 0
  private openUntil = 0
  private probing = false

  constructor({ failures, openMs }: { failures: number; openMs: number }, now: () => number = Date.now) {
    this.failures = failures
    this.openMs = openMs
    this.now = now
  }

  get state(): BreakerState {
    if (this.inARow < this.failures) return 'closed'
    return this.now() < this.openUntil ? 'open' : 'half_open'
  }

  /** Undefined where a request may go, else the milliseconds until one may. */
  admit(): number | undefined {
    const { state } = this
    if (state === 'closed') return undefined
    if (state === 'open') return this.openUntil - this.now()
    if (this.probing) return 1_000
    this.probing = true
    return undefined
  }

  succeeded(): void {
    this.inARow = 0
    this.probing = false
  }

  failed(): void {
    this.inARow += 1
    this.probing = false
    if (this.inARow >= this.failures) this.openUntil = this.now() + this.openMs
  }

  /** The request ended without telling anything about the provider, for example by a cancel. */
  unknown(): void {
    this.probing = false
  }
}
