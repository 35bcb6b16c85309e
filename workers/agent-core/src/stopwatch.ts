import type { DurableContext } from '@agentos/sdk'

/**
 * Time that a run has worked, over all the processes that it had. What is noted is a step of the run, so that every
 * replay decides by the same times; time in which the run waited is not counted.
 */
export class Stopwatch {
  private readonly ctx: DurableContext
  private noted = 0
  private since = performance.now()

  constructor(ctx: DurableContext) {
    this.ctx = ctx
  }

  /** Milliseconds at the last note; the same in every replay. */
  get spentMs(): number {
    return this.noted
  }

  /** Milliseconds up to now: for deadlines, never for what is recorded. */
  get elapsedMs(): number {
    return this.noted + (performance.now() - this.since)
  }

  /** What passes until the returned function is called is not counted. */
  pause(): () => void {
    const pausedAt = performance.now()
    return () => {
      this.since += performance.now() - pausedAt
    }
  }

  async note(): Promise<void> {
    this.noted = await this.ctx.step('time', () => Math.round(this.elapsedMs))
    this.since = performance.now()
  }
}
