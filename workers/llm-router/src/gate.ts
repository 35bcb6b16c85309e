import { AgentError } from '@agentos/sdk'

interface Waiting {
  ofGuests: boolean
  go(): void
}

/**
 * Lets so many requests run at once and so many more wait, in order. Guests have half of both, and a place that becomes
 * free is theirs when nobody else waits for it: the owner neither waits behind them nor is refused because of them.
 */
export class Gate {
  private readonly name: string
  private readonly limit: number
  private readonly queue: number
  private running = 0
  private guestsRunning = 0
  private readonly waiting: Waiting[] = []

  constructor(name: string, limit: number, queue: number) {
    this.name = name
    this.limit = limit
    this.queue = queue
  }

  /** Resolves with what gives the place back; rejects with `overloaded` where the queue is full. */
  async enter(signal: AbortSignal, ofGuests = false): Promise<() => void> {
    signal.throwIfAborted()
    if (this.mayRun(ofGuests)) this.begin(ofGuests)
    else await this.wait(signal, ofGuests)
    let left = false
    return () => {
      if (left) return
      left = true
      this.running -= 1
      if (ofGuests) this.guestsRunning -= 1
      this.next()
    }
  }

  private mayRun(ofGuests: boolean): boolean {
    return this.running < this.limit && (!ofGuests || this.guestsRunning < half(this.limit))
  }

  private begin(ofGuests: boolean): void {
    this.running += 1
    if (ofGuests) this.guestsRunning += 1
  }

  private next(): void {
    const next =
      this.waiting.find(({ ofGuests }) => !ofGuests && this.mayRun(false)) ??
      this.waiting.find(({ ofGuests }) => this.mayRun(ofGuests))
    next?.go()
  }

  private wait(signal: AbortSignal, ofGuests: boolean): Promise<void> {
    const queue = ofGuests ? half(this.queue) : this.queue
    const waiting = this.waiting.filter((other) => other.ofGuests === ofGuests).length
    if (waiting >= queue) {
      const whose = ofGuests ? ' of guests' : ''
      const message = `${ofGuests ? this.guestsRunning : this.running} requests${whose} to ${this.name} are running and ${waiting} waiting`
      throw new AgentError('overloaded', message, { details: { provider: this.name, retryAfterMs: 1_000 } })
    }
    return new Promise((resolve, reject) => {
      const entry: Waiting = {
        ofGuests,
        go: () => {
          this.waiting.splice(this.waiting.indexOf(entry), 1)
          signal.removeEventListener('abort', leave)
          this.begin(ofGuests)
          resolve()
        },
      }
      const leave = () => {
        this.waiting.splice(this.waiting.indexOf(entry), 1)
        reject(signal.reason)
      }
      signal.addEventListener('abort', leave, { once: true })
      this.waiting.push(entry)
    })
  }
}

const half = (bound: number): number => Math.max(1, Math.floor(bound / 2))
