import { redactSecrets } from '@agentos/sdk'

/** Bytes of JSON that a person is shown. */
const MAX_BYTES = 16_384
const MAX_TEXT = 4_000
const MAX_ITEMS = 100

export interface Preview {
  params: unknown
  /** The preview is not the whole input. */
  cut: boolean
}

/**
 * What a person is shown of an input: secrets are replaced, and what is long keeps its beginning and its end, with the
 * length of what lies between. What is too much altogether becomes a text that breaks off.
 */
export function preview(input: unknown): Preview {
  const { value, paths } = redactSecrets(input ?? null)
  let cut = paths.length > 0
  const shorten = (inner: unknown): unknown => {
    if (typeof inner === 'string') {
      if (inner.length <= MAX_TEXT) return inner
      cut = true
      const [head, tail] = [inner.slice(0, (MAX_TEXT * 3) / 4), inner.slice(-MAX_TEXT / 4)]
      return `${head} [… ${inner.length - MAX_TEXT} characters …] ${tail}`
    }
    if (Array.isArray(inner)) {
      if (inner.length <= MAX_ITEMS) return inner.map(shorten)
      cut = true
      return [...inner.slice(0, MAX_ITEMS).map(shorten), `[… ${inner.length - MAX_ITEMS} further items]`]
    }
    if (typeof inner !== 'object' || inner === null) return inner
    return Object.fromEntries(Object.entries(inner).map(([key, item]) => [key, shorten(item)]))
  }
  const params = shorten(value)
  const json = JSON.stringify(params)
  const bytes = Buffer.byteLength(json)
  if (bytes <= MAX_BYTES) return { params, cut }
  return { params: { truncated: true, bytes, preview: json.slice(0, MAX_BYTES / 2) }, cut: true }
}
