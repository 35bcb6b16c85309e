import type { ErrorBody } from '@agentos/protocol'
import type { Ports, Timer } from '../core/ports.ts'

const WAIT_MS = { first: 1_000, last: 5_000 }

/**
 * Did the disk not answer? Then nothing is known, and nothing is decided by it: the same may succeed later. Every other
 * failure of the store is an answer.
 */
export function isUnanswered(error: { code: string }): boolean {
  return error.code === 'store_unavailable'
}

/**
 * What waits until the disk answers again: tried anew in its order, after a time that doubles up to a bound. The log hears
 * of it once, until the disk has answered.
 */
export class DiskWait {
  private readonly ports: Pick<Ports, 'timers' | 'log'>
  private readonly message: string
  private readonly fields: object
  private readonly bounds: { first: number; last: number }
  private waiting: (() => void)[] = []
  private delayMs: number
  private timer: Timer | undefined
  private told = false
  private stopped = false

  /** `message` and `fields` say in the log what waits. */
  constructor(ports: Pick<Ports, 'timers' | 'log'>, message: string, fields: object = {}, bounds = WAIT_MS) {
    this.ports = ports
    this.message = message
    this.fields = fields
    this.bounds = bounds
    this.delayMs = bounds.first
  }

  /** Something waits: what is not to pass it waits too, behind it. */
  get isWaiting(): boolean {
    return this.timer !== undefined
  }

  /** The disk did not answer: `run` tries again later, unless it is stopped before. */
  failed({ code, message }: ErrorBody, run: () => void): void {
    if (this.stopped) return
    if (!this.told) this.ports.log.error({ ...this.fields, code }, `${this.message}: ${message}`)
    this.told = true
    this.behind(run)
  }

  /** `run` comes after what waits already. */
  behind(run: () => void): void {
    this.waiting.push(run)
    if (this.timer || this.stopped) return
    const { delayMs } = this
    this.delayMs = Math.min(delayMs * 2, this.bounds.last)
    this.timer = this.ports.timers.set(delayMs, () => {
      const due = this.waiting
      this.waiting = []
      this.timer = undefined
      for (const next of due) next()
    })
  }

  /** The disk has answered. */
  answered(): void {
    this.told = false
    this.delayMs = this.bounds.first
  }

  stop(): void {
    this.stopped = true
    this.waiting = []
    if (this.timer) this.ports.timers.clear(this.timer)
    this.timer = undefined
  }
}
