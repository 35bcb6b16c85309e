import type { Clock } from '../../core/ports.ts'

/**
 * Decides by trace, so that a trace is kept or dropped whole: a share of all, and less under load, so that recording
 * stays within its rate. Failures are kept beyond the share, up to twice the rate.
 */
export class Sampler {
  private readonly clock: Clock
  private readonly ratio: number
  private readonly perSecond: number
  private share: number
  private windowEnd: number
  private seen = 0
  private kept = 0
  dropped = 0

  constructor(clock: Clock, options: { ratio: number; perSecond: number }) {
    this.clock = clock
    this.ratio = options.ratio
    this.perSecond = options.perSecond
    this.share = options.ratio
    this.windowEnd = clock.monotonic() + 1_000
  }

  keep(traceId: string, failed: boolean): boolean {
    const now = this.clock.monotonic()
    if (now >= this.windowEnd) this.turn(now)
    this.seen += 1
    const wanted = failed ? this.kept < 2 * this.perSecond : this.inShare(traceId) && this.kept < this.perSecond
    if (wanted) this.kept += 1
    else this.dropped += 1
    return wanted
  }

  private inShare(traceId: string): boolean {
    return this.share >= 1 || Number.parseInt(traceId.slice(-8), 16) < this.share * 2 ** 32
  }

  private turn(now: number): void {
    const wanted = this.seen * this.ratio
    this.share = wanted > this.perSecond ? (this.ratio * this.perSecond) / wanted : Math.min(this.ratio, this.share * 2)
    this.seen = 0
    this.kept = 0
    this.windowEnd = now + 1_000
  }
}
