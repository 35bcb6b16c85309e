/**
 * The same text for equal JSON values, whatever the order of their keys: keys sorted by code unit at every level, no
 * white space. For hashes and signatures.
 */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) => (isRecord(inner) ? sorted(inner) : inner))
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Without a prototype, so that a key `__proto__` is kept like any other. Integer-like keys come first, in both orders. */
function sorted(record: Record<string, unknown>): Record<string, unknown> {
  const result: Record<string, unknown> = Object.create(null)
  for (const key of Object.keys(record).toSorted()) result[key] = record[key]
  return result
}
