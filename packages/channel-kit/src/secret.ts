import { createHash, timingSafeEqual } from 'node:crypto'

/**
 * Is what a caller sent the expected secret? Takes the same time wherever the two differ and however long they are. An
 * expected secret that is not set matches nothing.
 */
export function isSameSecret(given: string | undefined, expected: string | undefined): boolean {
  if (given === undefined || expected === undefined || expected === '') return false
  return timingSafeEqual(digest(given), digest(expected))
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
