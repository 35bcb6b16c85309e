import type { WebSocket } from 'ws'

/** Milliseconds of work that guests may have in advance, after a time in which they did little. */
const BURST_MS = 50

/** What is paced: a socket whose reading can wait. What it had read already still comes. */
export type Paced = Pick<WebSocket, 'pause' | 'resume' | 'readyState' | 'OPEN'>

/**
 * Keeps the time that the engine spends on frames of guests, all together, to a share of itself. Past that their sockets
 * are not read for as long as it takes to be within the share again, and then one after the other: nothing is refused or
 * lost, it waits in the guests' own kernel. Without this a guest who sends as fast as it can is served as often as the owner.
 */
export class GuestPace {
  private readonly share: number
  private readonly now: () => number
  private readonly after: (delayMs: number, run: () => void) => void
  private left = BURST_MS
  private at: number
  private readonly waiting = new Set<Paced>()
  private isDue = false

  /** `share` is that of the engine's time, above 0 and at most 1; `now` reads a precise monotonic clock in milliseconds. */
  constructor(parts: { share: number; now: () => number; after: (delayMs: number, run: () => void) => void }) {
    this.share = parts.share
    this.now = parts.now
    this.after = parts.after
    this.at = this.now()
  }

  /** Does the work of one frame, which counts; afterwards its socket may have to wait. */
  work(socket: Paced, run: () => void): void {
    const began = this.now()
    try {
      run()
    } finally {
      this.refill()
      this.left -= this.now() - began
      if (this.left < 0) this.hold(socket)
    }
  }

  /** It is closed: nobody waits for it. */
  forget(socket: Paced): void {
    this.waiting.delete(socket)
  }

  private hold(socket: Paced): void {
    if (socket.readyState !== socket.OPEN) return
    socket.pause()
    this.waiting.add(socket)
    this.wake(-this.left / this.share)
  }

  private refill(): void {
    const now = this.now()
    this.left = Math.min(BURST_MS, this.left + (now - this.at) * this.share)
    this.at = now
  }

  private wake(delayMs: number): void {
    if (this.isDue) return
    this.isDue = true
    this.after(Math.max(1, delayMs), () => {
      this.isDue = false
      this.refill()
      const [next] = this.waiting
      if (!next) return
      if (this.left < 0) return this.wake(-this.left / this.share)
      this.waiting.delete(next)
      next.resume()
      // What it sends is read first; the next one has its turn then.
      if (this.waiting.size > 0) this.wake(1)
    })
  }
}
