import * as crypto from 'node:crypto'

/**
 * What has to be equal for two texts to be the same: everything but case and spacing. A sign, a mark or a stop can make
 * another fact of it. Characters that Unicode itself holds for equal, whole or composed, are one.
 */
export function plainText(content: string): string {
  return content.normalize('NFC').toLowerCase().replace(/\s+/g, ' ').trim()
}

/** SHA-256 of role and plain text, hex. */
export function contentHash(role: string, content: string): string {
  return crypto.hash('sha256', `${role}\n${plainText(content)}`)
}

/** Shared terms by all terms, 0 to 1; two empty texts are alike. */
export function jaccard(a: ReadonlySet<string>, b: ReadonlySet<string>): number {
  if (a.size === 0 && b.size === 0) return 1
  const [small, large] = a.size <= b.size ? [a, b] : [b, a]
  let shared = 0
  for (const term of small) if (large.has(term)) shared++
  return shared / (a.size + b.size - shared)
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
