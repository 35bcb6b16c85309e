import * as crypto from 'node:crypto'
import { stem } from './stemmer.ts'
import { fold, words } from './terms.ts'

/** Texts at least this alike count as one. */
const NEAR_DUPLICATE = 0.9
/** Words that can come and go without changing what is said. `on`, `off`, `before` and the like are not among them. */
const FILLERS = new Set(['a', 'an', 'the', 'is', 'are', 'am', 'that', 'please', 'also', 'just', 'really', 'very', 'so'])
const NEGATION = /^(?:no|not|never|none|nobody|nothing|nor|neither|without|cannot|\p{L}+n't)$/u

/** What is compared of a text; made once per text. */
export interface Fingerprint {
  /** Stems, and pairs of neighbours, so that order counts. */
  features: Set<string>
  /** Numbers, negations and names in order: where these differ, the texts say different things. */
  pivots: string
}

export function fingerprint(text: string): Fingerprint {
  const kept = words(text)
    .filter((word) => !FILLERS.has(word))
    .map(stem)
  const features = new Set(kept)
  for (let i = 1; i < kept.length; i++) features.add(`${kept[i - 1]} ${kept[i]}`)
  return { features, pivots: [...figures(text), ...names(text)].join(' ') }
}

function figures(text: string): string[] {
  return words(text).filter((word) => /\p{N}/u.test(word) || NEGATION.test(word))
}

/** Words with a capital letter that do not begin a sentence. */
function names(text: string): string[] {
  return [...text.matchAll(/(?<=[\p{L}\p{N},;:'"(]\s+["'(]?)\p{Lu}[\p{L}\p{N}]+/gu)].map(([name]) => fold(name))
}

/** Shared features by all features, 0 to 1; two empty texts are alike. */
export function jaccard(a: ReadonlySet<string>, b: ReadonlySet<string>): number {
  if (a.size === 0 && b.size === 0) return 1
  const [small, large] = a.size <= b.size ? [a, b] : [b, a]
  let shared = 0
  for (const feature of small) if (large.has(feature)) shared++
  return shared / (a.size + b.size - shared)
}

export function isNearDuplicate(a: Fingerprint, b: Fingerprint): boolean {
  return a.pivots === b.pivots && jaccard(a.features, b.features) >= NEAR_DUPLICATE
}

/** Cosine of two vectors; 0 for different lengths, empty or zero vectors. */
export function cosine(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) return 0
  let dot = 0
  let squaresA = 0
  let squaresB = 0
  for (let i = 0; i < a.length; i++) {
    dot += a[i]! * b[i]!
    squaresA += a[i]! * a[i]!
    squaresB += b[i]! * b[i]!
  }
  return squaresA === 0 || squaresB === 0 ? 0 : dot / Math.sqrt(squaresA * squaresB)
}

/** SHA-256 of role and text, where case, spacing and closing punctuation do not count. */
export function contentHash(role: string, content: string): string {
  const normalised = content
    .normalize('NFKC')
    .toLowerCase()
    .replace(/\s+/g, ' ')
    .trim()
    .replace(/[.!\s]+$/, '')
  return crypto.hash('sha256', `${role}\n${normalised}`)
}

/** Keys under which near-duplicates meet: of two texts that are one, all four differ once in ten thousand times. */
export function buckets(print: Fingerprint): string[] {
  return [1, 2, 3, 4].map((seed) => {
    let least = 0xffffffff
    for (const feature of print.features) least = Math.min(least, mix(feature, seed))
    return `${seed}:${least}`
  })
}

/** FNV-1a with the seed in front and a final shuffle of the bits. */
function mix(text: string, seed: number): number {
  let hash = Math.imul(seed, 0x9e3779b1) ^ 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}
