import { isUtf8 } from 'node:buffer'

export interface Decoded {
  text: string
  /** The encodings it was found in, outermost first. */
  path: string[]
}

const MAX_DEPTH = 3
const MAX_PIECES = 64
/** Characters that are decoded in all, over all depths. */
const MAX_CHARS = 256 * 1024

/** Texts hidden inside a text: base64, hexadecimal, percent and HTML escapes, rot13, and those in one another. */
export function decodeHidden(text: string): Decoded[] {
  const found: Decoded[] = []
  let left = MAX_CHARS
  let layer: Decoded[] = [{ text, path: [] }]
  for (let depth = 0; depth < MAX_DEPTH; depth++) {
    const next: Decoded[] = []
    for (const outer of layer) {
      for (const [encoding, decoded] of decodeOnce(outer.text, outer.path.at(-1))) {
        if (found.length + next.length >= MAX_PIECES || decoded.length > left) return [...found, ...next]
        left -= decoded.length
        next.push({ text: decoded, path: [...outer.path, encoding] })
      }
    }
    found.push(...next)
    // Of rot13 nothing further is looked for: every text has one, and it would double at each depth.
    layer = next.filter(({ path }) => path.at(-1) !== 'rot13')
  }
  return found
}

function* decodeOnce(text: string, outer: string | undefined): Generator<[string, string]> {
  for (const [run] of text.matchAll(/(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{16,}(?:\s?={1,2})?/g)) {
    const bytes = Buffer.from(run.replace(/\s/g, ''), 'base64')
    if (isReadable(bytes)) yield ['base64', bytes.toString('utf8')]
  }
  for (const [run] of text.matchAll(/(?<![0-9a-z])(?:(?:0x|\\x)?[0-9a-f]{2}[\s:,]?){12,}/gi)) {
    const bytes = Buffer.from(run.replace(/0x|\\x|[\s:,]/gi, ''), 'hex')
    if (isReadable(bytes)) yield ['hex', bytes.toString('utf8')]
  }
  const unescaped = unescapeText(text)
  for (const [encoding, decoded] of unescaped) if (decoded !== text) yield [encoding, decoded]
  if (outer !== 'rot13' && /[a-z]{3}/i.test(text)) yield ['rot13', rot13(text)]
}

function unescapeText(text: string): [string, string][] {
  const results: [string, string][] = []
  if (/(?:%[0-9a-f]{2}.{0,40}){3}/is.test(text)) {
    results.push(['url', text.replace(/(?:%[0-9a-f]{2})+/gi, (run) => readBytes(run.replaceAll('%', ''), run))])
  }
  if (/&#x?[0-9a-f]+;|&(?:lt|gt|amp|quot);/i.test(text)) results.push(['html', unescapeHtml(text)])
  if (/(?:\\u[0-9a-f]{4}.{0,20}){3}/is.test(text)) {
    results.push([
      'unicode',
      text.replace(/\\u([0-9a-f]{4})/gi, (_match, code: string) => String.fromCharCode(Number.parseInt(code, 16))),
    ])
  }
  return results
}

function readBytes(hex: string, otherwise: string): string {
  const bytes = Buffer.from(hex, 'hex')
  return isUtf8(bytes) ? bytes.toString('utf8') : otherwise
}

const entities: Record<string, string> = { lt: '<', gt: '>', amp: '&', quot: '"' }

function unescapeHtml(text: string): string {
  return text.replace(
    /&(?:#(\d{1,7})|#x([0-9a-f]{1,6})|(lt|gt|amp|quot));/gi,
    (match, decimal?: string, hex?: string, name?: string) => {
      if (name !== undefined) return entities[name.toLowerCase()] ?? match
      const code = decimal === undefined ? Number.parseInt(hex!, 16) : Number.parseInt(decimal, 10)
      return code > 0 && code <= 0x10ffff ? String.fromCodePoint(code) : match
    },
  )
}

function rot13(text: string): string {
  return text.replace(/[a-z]/gi, (letter) => {
    const base = letter <= 'Z' ? 65 : 97
    return String.fromCharCode(((letter.charCodeAt(0) - base + 13) % 26) + base)
  })
}

/** Words rather than noise: valid UTF-8, nearly all of it printable, with a run of letters. */
function isReadable(bytes: Buffer): boolean {
  if (bytes.length < 8 || !isUtf8(bytes)) return false
  const text = bytes.toString('utf8')
  const printable = text.match(/[\p{L}\p{N}\p{P}\p{Zs}\p{S}\n\t]/gu)?.length ?? 0
  return printable / [...text].length > 0.9 && /\p{L}{3}/u.test(text)
}
