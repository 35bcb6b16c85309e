import { AgentError } from '@agentos/sdk'

/** Lets so many requests run at once and so many more wait, in order. */
export class Gate {
  private readonly name: string
  private readonly limit: number
  private readonly queue: number
  private running = 0
  private readonly waiting: (() => void)[] = []

  constructor(name: string, limit: number, queue: number) {
    this.name = name
    this.limit = limit
    this.queue = queue
  }

  /** Resolves with what gives the place back; rejects with `overloaded` where the queue is full. */
  async enter(signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted()
    if (this.running < this.limit) this.running += 1
    else await this.wait(signal)
    let left = false
    return () => {
      if (left) return
      left = true
      const next = this.waiting.shift()
      if (next) next()
      else this.running -= 1
    }
  }

  private wait(signal: AbortSignal): Promise<void> {
    if (this.waiting.length >= this.queue) {
      const message = `${this.limit} requests to ${this.name} are running and ${this.queue} waiting`
      throw new AgentError('overloaded', message, { details: { provider: this.name, retryAfterMs: 1_000 } })
    }
    return new Promise((resolve, reject) => {
      const go = () => {
        signal.removeEventListener('abort', leave)
        resolve()
      }
      const leave = () => {
        this.waiting.splice(this.waiting.indexOf(go), 1)
        reject(signal.reason)
      }
      signal.addEventListener('abort', leave, { once: true })
      this.waiting.push(go)
    })
  }
}
