import { recency } from './scoring.ts'

/** Confidence stops falling here. */
export const LEAST_CONFIDENCE = 0.1
/** What decayed to the floor goes below this retention: with an importance of less than about 0.45. */
const LEAST_RETENTION = 0.25

export interface Evictable {
  id: string
  importance: number
  confidence: number
  timestamp: number
  lastAccessed: number
  accessCount: number
  pinned: boolean
  expiresAt?: number | undefined
  supersededBy?: string | undefined
}

export interface EvictionLimits {
  /** Milliseconds. */
  maxAge: number
  minImportance: number
  cap: number
}

export interface Eviction {
  id: string
  reason: 'expired' | 'superseded' | 'untrusted' | 'stale' | 'over_cap'
  retention: number
}

/** What a memory is worth keeping for, 0 to 1: importance and confidence first, then use, then age. */
export function retention(memory: Evictable, now: number): number {
  const use = 1 - Math.exp(-memory.accessCount / 10)
  const age = recency(Math.max(memory.timestamp, memory.lastAccessed), now)
  return 0.5 * memory.importance + 0.2 * memory.confidence + 0.15 * use + 0.15 * age
}

/**
 * One ordered plan for one agent: what has to go, each memory once, and then the least worth keeping above the cap.
 * Pinned memories count towards the cap and never go, unless they have expired.
 */
export function planEviction(memories: readonly Evictable[], limits: EvictionLimits, now: number): Eviction[] {
  const plan: Eviction[] = []
  const kept: Evictable[] = []
  for (const memory of memories) {
    const reason = reasonToGo(memory, limits, now)
    if (reason) plan.push({ id: memory.id, reason, retention: retention(memory, now) })
    else kept.push(memory)
  }
  plan.sort((a, b) => a.retention - b.retention)
  const excess = kept.length - limits.cap
  if (excess <= 0) return plan
  const least = kept
    .filter((memory) => !memory.pinned)
    .map((memory): Eviction => ({ id: memory.id, reason: 'over_cap', retention: retention(memory, now) }))
    .sort((a, b) => a.retention - b.retention)
  return [...plan, ...least.slice(0, excess)]
}

function reasonToGo(memory: Evictable, limits: EvictionLimits, now: number): Eviction['reason'] | undefined {
  if (memory.expiresAt !== undefined && memory.expiresAt <= now) return 'expired'
  if (memory.pinned) return undefined
  const age = now - memory.timestamp
  if (memory.supersededBy !== undefined && age > limits.maxAge) return 'superseded'
  if (memory.confidence < LEAST_CONFIDENCE) return 'untrusted'
  const unread = now - memory.lastAccessed > limits.maxAge
  if (unread && memory.confidence === LEAST_CONFIDENCE && retention(memory, now) < LEAST_RETENTION) return 'untrusted'
  if (age > limits.maxAge && memory.importance < limits.minImportance) return 'stale'
  return undefined
}
