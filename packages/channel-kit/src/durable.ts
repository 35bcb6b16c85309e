import { setTimeout as delay } from 'node:timers/promises'
import { InvocationError } from '@agentos/sdk'

const FIRST_MS = 50
const LAST_MS = 5_000

/**
 * Repeats a write of the engine's state until it is there, over restarts of the engine: for writes that may be done twice
 * (the same value under the same key). Errors that stay are thrown.
 */
export async function persist<T>(write: () => Promise<T>): Promise<T> {
  for (let wait = FIRST_MS; ; wait = Math.min(wait * 2, LAST_MS)) {
    try {
      return await write()
    } catch (error) {
      if (!isPassing(error)) throw error
      await delay(wait)
    }
  }
}

/** `in_doubt` too: the engine went away with the write under way, and doing it again is harmless. */
export function isPassing(error: unknown): boolean {
  return error instanceof InvocationError && (error.retryable || error.code === 'in_doubt' || error.code === 'TIMEOUT')
}
