export interface OutboxLimits {
  messages: number
  /** Characters of JSON text over all messages. */
  size: number
}

export interface Waiting {
  text: string
  /** Of a call that wants an answer. */
  invocationId: string | undefined
}

/** Messages that were given while the engine is away, in order and bounded. */
export class Outbox {
  private readonly limits: OutboxLimits
  private readonly stillWanted: (invocationId: string) => boolean
  private waiting: Waiting[] = []
  private size = 0

  /** `stillWanted` says whether a waiting call is worth sending: one that timed out meanwhile is not. */
  constructor(limits: OutboxLimits, stillWanted: (invocationId: string) => boolean) {
    this.limits = limits
    this.stillWanted = stillWanted
  }

  /** False where there is no room. */
  add(text: string, invocationId?: string): boolean {
    if (this.isFull(text)) this.dropUnwanted()
    if (this.isFull(text)) return false
    this.waiting.push({ text, invocationId })
    this.size += text.length
    return true
  }

  /** Takes everything that is still wanted. */
  take(): Waiting[] {
    this.dropUnwanted()
    const taken = this.waiting
    this.waiting = []
    this.size = 0
    return taken
  }

  private isFull(text: string): boolean {
    return this.waiting.length >= this.limits.messages || this.size + text.length > this.limits.size
  }

  private dropUnwanted(): void {
    this.waiting = this.waiting.filter(({ invocationId: id }) => id === undefined || this.stillWanted(id))
    this.size = this.waiting.reduce((sum, { text }) => sum + text.length, 0)
  }
}
