import { setTimeout as delay } from 'node:timers/promises'

/** For how long an answer that no budget applies may be relied on. */
export const WATCH_MS = 1_000

/**
 * Who was told that a realm has no budget relies on it for a moment. A first budget is in force after that, so its
 * setting is answered only then; in a realm where nobody asked lately that is at once.
 */
export class Watches {
  private readonly now: () => number
  /** What a process before this one answered may still be relied on. */
  private readonly startedAt: number
  private readonly told = new Map<string, number>()

  constructor(now: () => number = () => performance.now()) {
    this.now = now
    this.startedAt = now()
  }

  tell(realm: string): void {
    this.told.set(realm, this.now())
  }

  async settled(realm: string): Promise<void> {
    const last = Math.max(this.told.get(realm) ?? Number.NEGATIVE_INFINITY, this.startedAt)
    this.told.delete(realm)
    const wait = last + WATCH_MS - this.now()
    if (wait > 0) await delay(wait)
  }
}
