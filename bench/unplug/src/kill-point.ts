import { STEPS } from './task.ts'

/** When the plug is pulled: so long after a request of the run (0: after it was asked for). */
export interface KillPoint {
  /** 0 to 19: ten model requests and nine tool requests. */
  request: number
  /** 0 to 1, of the usual time between two requests. */
  wait: number
  /** 0 to 1: which process, where there are several. */
  share: number
}

const REQUESTS = 2 * STEPS - 1

/** The point of a run; the same for every system, so that all are cut at the same places. */
export function killPointOf(seed: number, run: number, attempt: number): KillPoint {
  const random = randomOf(seed * 1_000_003 + run * 101 + attempt)
  return { request: Math.floor(random() * (REQUESTS + 1)), wait: random(), share: random() }
}

/** mulberry32: small, seeded, good enough to spread kills evenly. */
function randomOf(seed: number): () => number {
  let state = seed >>> 0
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  next()
  return next
}
