/** Shorter values are more often an ordinary word than a secret. */
const SHORTEST = 8
/** A password in an address is one, however it looks. */
const SHORTEST_PASSWORD = 6
/** Of a value with several lines, each that is as long as this: logs write line by line. */
const SHORTEST_LINE = 16

/** A value as it may stand in texts, each form once. */
export function formsOf(value: string): string[] {
  const password = passwordIn(value)
  const parts = [
    ...(value.length >= SHORTEST ? [value] : []),
    ...(password !== undefined && password.length >= SHORTEST_PASSWORD ? [password] : []),
    ...(value.includes('\n') ? value.split(/\r?\n/).filter((line) => line.length >= SHORTEST_LINE) : []),
  ]
  return [...new Set(parts.flatMap(encodings))]
}

/** The password of `scheme://user:password@host`, decoded. */
function passwordIn(value: string): string | undefined {
  const password = /^[a-z][a-z0-9+.-]*:\/\/[^\s/:@]*:([^\s/]+)@/i.exec(value)?.[1]
  if (password === undefined) return undefined
  try {
    return decodeURIComponent(password)
  } catch {
    return password
  }
}

function encodings(value: string): string[] {
  const bytes = Buffer.from(value)
  const base64 = bytes.toString('base64')
  const percent = encodeURIComponent(value)
  // As RFC 3986 has it: these five too.
  const strict = percent.replace(/[!'()*]/g, (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`)
  const hex = bytes.toString('hex')
  return [
    value,
    JSON.stringify(value).slice(1, -1),
    base64,
    base64.replace(/=+$/, ''),
    bytes.toString('base64url'),
    ...withinBase64(bytes),
    ...[percent, strict].flatMap((text) => [text, lowerEscapes(text), text.replaceAll('%20', '+')]),
    hex,
    hex.toUpperCase(),
  ]
}

/** What a value always is within the base64 of something longer, such as `user:key`: at each place of three. */
function withinBase64(bytes: Buffer): string[] {
  return [0, 1, 2].flatMap((before) => {
    const text = Buffer.concat([Buffer.alloc(before), bytes])
      .toString('base64')
      .replace(/=+$/, '')
    // The first and the last character may hold bits of a neighbour.
    const from = Math.ceil((before * 8) / 6)
    const to = Math.floor(((before + bytes.length) * 8) / 6)
    const inner = text.slice(from, to)
    return inner.length >= SHORTEST ? [inner, inner.replaceAll('+', '-').replaceAll('/', '_')] : []
  })
}

const lowerEscapes = (text: string): string => text.replace(/%[0-9A-F]{2}/g, (sign) => sign.toLowerCase())
