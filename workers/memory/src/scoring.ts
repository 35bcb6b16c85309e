const WEEK_HOURS = 168
const HOUR = 3_600_000

/** BM25's usual constants. */
const K1 = 1.2
const B = 0.75

/** Halves after about five days: exp(−age / one week). */
export function recency(timestamp: number, now: number): number {
  return Math.exp(-Math.max(0, now - timestamp) / HOUR / WEEK_HOURS)
}

export interface TermStatistics {
  /** Memories in the index. */
  documents: number
  /** Their mean length in terms. */
  averageLength: number
  /** Memories that contain each term. */
  frequency: ReadonlyMap<string, number>
}

/**
 * How well a memory answers a query by its words, 0 to 1: BM25 with its upper bound divided out, so that 1 means every
 * term of the query, in a text of ordinary length. A term that no memory contains counts half: it tells none apart.
 */
export function lexicalRelevance(query: readonly string[], document: readonly string[], stats: TermStatistics): number {
  const counts = new Map<string, number>()
  for (const term of document) counts.set(term, (counts.get(term) ?? 0) + 1)
  const norm = K1 * (1 - B + (B * document.length) / Math.max(1, stats.averageLength))
  let reached = 0
  let possible = 0
  for (const term of new Set(query)) {
    const frequency = stats.frequency.get(term) ?? 0
    const weight = frequency === 0 ? 0.5 : 1 + Math.log((stats.documents + 1) / (frequency + 1))
    possible += weight
    const count = counts.get(term) ?? 0
    if (count > 0) reached += weight * Math.min(1, (count * (K1 + 1)) / (count + norm))
  }
  return possible === 0 ? 0 : reached / possible
}

/** Words and meaning as one relevance, 0 to 1; by words alone where query or memory has no vector of the same model. */
export function fusedRelevance(lexical: number, semantic?: number): number {
  return semantic === undefined ? lexical : (2 * Math.max(0, semantic) + lexical) / 3
}

export interface Standing {
  timestamp: number
  /** 0 to 1. */
  importance: number
  /** 0 to 1. */
  confidence: number
  accessCount: number
}

/**
 * 0.75 × relevance + 0.10 × recency + 0.10 × importance + 0.05 × confidence, and for what is often read up to a tenth
 * of what is missing to 1.
 */
export function recallScore(relevance: number, memory: Standing, now: number): number {
  const base =
    0.75 * relevance + 0.1 * recency(memory.timestamp, now) + 0.1 * memory.importance + 0.05 * memory.confidence
  const use = 1 - Math.exp(-memory.accessCount / 10)
  return Math.min(1, base + (1 - base) * 0.1 * use * relevance)
}
