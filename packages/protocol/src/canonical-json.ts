/**
 * The same text for equal JSON values, whatever the order of their keys: keys sorted by code unit at every level, no
 * white space. For hashes and signatures. A number that no double holds is read as infinity (`1e400`) and stays one here,
 * where `JSON.stringify` alone would write the null that another input has in its place.
 */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) => {
    if (inner === Number.POSITIVE_INFINITY) return rawJson('1e999')
    if (inner === Number.NEGATIVE_INFINITY) return rawJson('-1e999')
    return isRecord(inner) ? sorted(inner) : inner
  })
}

/** Text that is printed as it stands (the proposal "JSON.parse source text access"; types do not know it yet). */
function rawJson(text: string): unknown {
  return (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON(text)
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
