import { setTimeout as delay } from 'node:timers/promises'

export interface Pace {
  /** Conversations whose requests the service counts together. @default each for itself */
  accountOf?: (conversation: string) => string
  /** Between the end of a request and the next one of the same account, in milliseconds. */
  intervalMs: (conversation: string) => number
  /** Requests of all together within `perMs`. */
  overall: { count: number; perMs: number }
}

/** Spaces requests out: one at a time for each account and with an interval, and so many of all together. */
export class Pacer {
  private readonly pace: Pace
  private readonly now: () => number
  /** When the next request of an account may go out, and whom it waits for. */
  private readonly accounts = new Map<string, { free: number; last: Promise<void>; waiting: number }>()
  /** Requests under way, and when the last ones ended: each arrived somewhere between its turn and its end. */
  private active = 0
  private ended: number[] = []
  private wake: PromiseWithResolvers<void> = Promise.withResolvers()

  constructor(pace: Pace, now: () => number = () => performance.now()) {
    this.pace = pace
    this.now = now
  }

  /**
   * Resolves when a request of this conversation may go out, to what ends the turn. The interval counts from the end of
   * the request on, since nobody knows when it arrived.
   */
  async turn(conversation: string, signal: AbortSignal): Promise<() => void> {
    const account = this.account(conversation)
    const before = account.last
    const { promise, resolve } = Promise.withResolvers<void>()
    account.last = promise
    account.waiting += 1
    const leave = () => {
      account.waiting -= 1
      resolve()
    }
    try {
      await before
      await this.room(account, signal)
    } catch (error) {
      leave()
      throw error
    }
    return () => {
      const now = this.now()
      account.free = Math.max(account.free, now + this.pace.intervalMs(conversation))
      this.active -= 1
      this.ended.push(now)
      this.wake.resolve()
      this.wake = Promise.withResolvers()
      leave()
    }
  }

  /** The service wants nothing of this account for so long. */
  hold(conversation: string, ms: number): void {
    const account = this.account(conversation)
    account.free = Math.max(account.free, this.now() + ms)
  }

  /** Takes a place among the requests of all, when there is one and the account is free. */
  private async room(account: { free: number }, signal: AbortSignal): Promise<void> {
    const { count, perMs } = this.pace.overall
    for (;;) {
      const now = this.now()
      this.ended = this.ended.filter((at) => at > now - perMs)
      const full = this.active + this.ended.length >= count
      const wait = Math.max(account.free - now, full ? (this.ended[0] ?? now) + perMs - now : 0)
      if (wait <= 0) break
      if (full && this.ended.length === 0) await this.wake.promise
      else await delay(Math.ceil(wait), undefined, { signal })
      signal.throwIfAborted()
    }
    this.active += 1
  }

  private account(conversation: string) {
    const key = this.pace.accountOf?.(conversation) ?? conversation
    let account = this.accounts.get(key)
    if (!account) {
      if (this.accounts.size >= 1_000) this.forget()
      account = { free: 0, last: Promise.resolve(), waiting: 0 }
      this.accounts.set(key, account)
    }
    return account
  }

  private forget(): void {
    const now = this.now()
    for (const [key, { free, waiting }] of this.accounts) if (waiting === 0 && free <= now) this.accounts.delete(key)
  }
}
