import { randomFillSync, randomUUID } from 'node:crypto'
import type { Clock, Ids, Timer, Timers } from './core/ports.ts'

/** The real clock. */
export const systemClock: Clock = {
  now: () => Date.now(),
  precise: () => performance.timeOrigin + performance.now(),
  monotonic: () => performance.now(),
}

class SystemTimer implements Timer {
  readonly due: number
  readonly handle: NodeJS.Timeout

  constructor(due: number, handle: NodeJS.Timeout) {
    this.due = due
    this.handle = handle
  }
}

/** Longest delay that Node's timers take; longer ones fire early and are set again by their owner. */
const MAX_DELAY_MS = 2 ** 31 - 1

export const systemTimers: Timers = {
  set(delayMs, run) {
    const handle = setTimeout(run, Math.min(delayMs, MAX_DELAY_MS))
    return new SystemTimer(performance.now() + delayMs, handle)
  },
  clear(timer) {
    if (timer instanceof SystemTimer) clearTimeout(timer.handle)
  },
}

/** Random bytes are drawn in blocks: one span id costs a slice, not a system call. */
const pool = Buffer.alloc(8192)
let used = pool.length

export const systemIds: Ids = {
  uuid: randomUUID,
  hex(bytes) {
    if (used + bytes > pool.length) {
      randomFillSync(pool)
      used = 0
    }
    const text = pool.toString('hex', used, used + bytes)
    used += bytes
    return text
  },
}
