import { jaccard } from './similarity.ts'

/** Share of relevance against novelty when the next hit is chosen. */
const RELEVANCE = 0.8

export interface Ranked {
  score: number
  terms: ReadonlySet<string>
  /** Two hits with one text are shown once; what is only alike stands further down. */
  text: string
}

/**
 * Maximal marginal relevance (Carbonell and Goldstein, 1998): picks at most `limit` hits, each the best of what is left
 * less what it repeats; answers them by score, descending.
 */
export function diverse<T extends Ranked>(hits: readonly T[], limit: number): T[] {
  const left = hits.toSorted((a, b) => b.score - a.score).map((hit) => ({ hit, overlap: 0 }))
  const picked: T[] = []
  const shown = new Set<string>()
  while (picked.length < limit && left.length > 0) {
    let best = 0
    for (let i = 1; i < left.length; i++) if (marginal(left[i]!) > marginal(left[best]!)) best = i
    const [chosen] = left.splice(best, 1)
    if (shown.has(chosen!.hit.text)) continue
    shown.add(chosen!.hit.text)
    picked.push(chosen!.hit)
    for (const rival of left) rival.overlap = Math.max(rival.overlap, jaccard(rival.hit.terms, chosen!.hit.terms))
  }
  return picked.sort((a, b) => b.score - a.score)
}

function marginal({ hit, overlap }: { hit: Ranked; overlap: number }): number {
  return RELEVANCE * hit.score - (1 - RELEVANCE) * overlap
}
