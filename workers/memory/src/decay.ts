import { LEAST_CONFIDENCE } from './eviction.ts'

const WEEK = 7 * 86_400_000

/** The confidence after one round of decay, or nothing where it stays: read within a week, at the floor, pinned. */
export function decayed(
  memory: { confidence: number; lastAccessed: number; pinned: boolean },
  rate: number,
  now: number,
): number | undefined {
  if (memory.pinned || now - memory.lastAccessed <= WEEK || memory.confidence <= LEAST_CONFIDENCE) return undefined
  const confidence = Math.max(LEAST_CONFIDENCE, memory.confidence * (1 - rate))
  return confidence === memory.confidence ? undefined : confidence
}
