/** A beat that comes so much too late says that we were away ourselves. */
const LATE = 1.5

/**
 * Finds out that the other side of a socket is frozen or gone although no packet said so. Every `everyMs` the owner asks
 * `isSilent` and pings; whoever has not been heard for a whole beat is silent, so that it is found within two. A side
 * that was stopped itself judges nobody by the time that it missed: what the other said is still to be read.
 */
export class Heartbeat {
  private readonly everyMs: number
  private last: number
  private heard = true

  /** `now` is a reading of a monotonic clock, in milliseconds. */
  constructor(everyMs: number, now: number) {
    this.everyMs = everyMs
    this.last = now
  }

  /** Something came in, the answer to a ping included. */
  hear(): void {
    this.heard = true
  }

  isSilent(now: number): boolean {
    const wasAway = now - this.last > this.everyMs * LATE
    this.last = now
    if (wasAway) return false
    const { heard } = this
    this.heard = false
    return !heard
  }
}
