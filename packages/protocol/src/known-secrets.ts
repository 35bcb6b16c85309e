import { hash } from 'node:crypto'
import { formsOf } from './secret-forms.ts'

/** What stands in the place of a secret. */
const MASK = '[redacted]'
/** Every form begins with so many characters that are looked for first, all at once. */
const ANCHOR = 6
/** Any odd number will do; it is the same in all processes. */
const BASE = 0x01000193
/** Of the hash, in characters of base64: 132 bits. */
const HASH_LENGTH = 22
/** What others tell is bounded. */
const MAX_LENGTH = 64 * 1024
const MAX_KNOWN = 20_000

/** How a secret is known to who does not have it: enough to find it in a text, and no way back to it but guessing. */
export interface SecretFingerprint {
  /** Of its first characters, 16 bits. */
  anchor: number
  /** In characters. */
  length: number
  /** SHA-256 of all of it, base64, cut. */
  hash: string
}

interface Found {
  from: number
  to: number
}

/**
 * Finds secrets by value, wherever they stand, and blanks them: as they are and as base64, hex, percent-encoded or
 * escaped for JSON. It keeps fingerprints and no values, so that a process can blank what it may not hold. One for each
 * process; workers tell theirs to the engine.
 */
export class KnownSecrets {
  private readonly byAnchor = new Map<number, SecretFingerprint[]>()
  /** Whether anything known begins like this: asked at every place of a text. */
  private readonly anchors = new Uint8Array(65_536)
  private readonly listeners = new Set<(added: SecretFingerprint[]) => void>()
  private readonly learned = new Set<string>()
  private count = 0
  private longestLength = 0

  /**
   * Blanks this value from now on. One of less than 8 characters is left: it would take ordinary words with it. Of an
   * address the password is a secret of its own, from 6 characters on.
   */
  learn(value: string | undefined): void {
    const text = value?.trim()
    if (!text) return
    const name = hashOf(text)
    if (this.learned.has(name)) return
    this.learned.add(name)
    this.add(formsOf(text).map(fingerprintOf))
  }

  /** Takes what another process knows. */
  add(fingerprints: readonly SecretFingerprint[]): void {
    const added = fingerprints.filter((fingerprint) => this.take(fingerprint))
    if (added.length > 0) for (const listener of this.listeners) listener(added)
  }

  /** Hears of everything that is learned after this; returns how to stop. */
  subscribe(listener: (added: SecretFingerprint[]) => void): () => void {
    this.listeners.add(listener)
    return () => this.listeners.delete(listener)
  }

  get fingerprints(): SecretFingerprint[] {
    return [...this.byAnchor.values()].flat()
  }

  /** Length of the longest in characters: who cuts a text leaves so many more until it is blanked. */
  get longest(): number {
    return this.longestLength
  }

  text(text: string, mask: string = MASK): string {
    return this.texts([text], mask)[0] as string
  }

  /** Texts that stand one behind the other: a secret that is split over them is blanked in each. */
  texts(texts: readonly string[], mask: string = MASK): readonly string[] {
    if (this.count === 0) return texts
    const found = this.find(texts.length === 1 ? (texts[0] as string) : texts.join(''))
    if (found.length === 0) return texts
    let at = 0
    return texts.map((text) => {
      const from = at
      at += text.length
      return blanked(text, from, found, mask)
    })
  }

  /** A copy of a JSON value without them, in keys and texts and over the texts of several fields; the value itself where there are none. */
  value<T>(value: T, mask: string = MASK): T {
    if (this.count === 0) return value
    const texts: string[] = []
    collect(value, texts)
    const clean = this.texts(texts, mask)
    let changed = clean !== texts
    let next = 0
    const rebuild = (inner: unknown): unknown => {
      if (typeof inner === 'string') return clean[next++]
      if (Array.isArray(inner)) return inner.map(rebuild)
      if (typeof inner !== 'object' || inner === null) return inner
      return Object.fromEntries(
        Object.entries(inner).map(([key, each]) => {
          const name = this.text(key, mask)
          changed ||= name !== key
          return [name, rebuild(each)]
        }),
      )
    }
    const copy = rebuild(value)
    return changed ? (copy as T) : value
  }

  /** A line of a log, JSON or not, with or without its line feed. */
  line(line: string): string {
    if (this.count === 0) return line
    const end = line.endsWith('\n') ? '\n' : ''
    const text = end === '' ? line : line.slice(0, -1)
    const record = text.startsWith('{') ? parsed(text) : undefined
    if (record === undefined) return this.text(line)
    const clean = this.value(record)
    return clean === record ? line : `${JSON.stringify(clean)}${end}`
  }

  private take(fingerprint: SecretFingerprint): boolean {
    const { anchor, length, hash: digest } = fingerprint
    if (this.count >= MAX_KNOWN || length < ANCHOR || length > MAX_LENGTH) return false
    if (anchor < 0 || anchor >= this.anchors.length) return false
    const known = this.byAnchor.get(anchor) ?? []
    if (known.some((other) => other.hash === digest && other.length === length)) return false
    // A longer one that holds a shorter one goes whole.
    this.byAnchor.set(
      anchor,
      [...known, { anchor, length, hash: digest }].sort((a, b) => b.length - a.length),
    )
    this.anchors[anchor] = 1
    this.count += 1
    this.longestLength = Math.max(this.longestLength, length)
    return true
  }

  private find(text: string): Found[] {
    const found: Found[] = []
    if (text.length < ANCHOR) return found
    let rolling = 0
    for (let at = 0; at < ANCHOR; at += 1) rolling = step(rolling, text.charCodeAt(at))
    for (let from = 0; ; from += 1) {
      const anchor = anchorOf(rolling)
      if (this.anchors[anchor] === 1) {
        const match = this.byAnchor
          .get(anchor)
          ?.find(
            ({ length, hash: digest }) =>
              from + length <= text.length && hashOf(text.slice(from, from + length)) === digest,
          )
        if (match) join(found, { from, to: from + match.length })
      }
      const next = from + ANCHOR
      if (next >= text.length) return found
      rolling = step(rolling - Math.imul(text.charCodeAt(from), LEAVES), text.charCodeAt(next))
    }
  }
}

/** Factor of the character that leaves the window. */
const LEAVES = Array.from({ length: ANCHOR - 1 }).reduce<number>((power) => Math.imul(power, BASE), 1)

const step = (rolling: number, character: number): number => (Math.imul(rolling, BASE) + character) | 0

const anchorOf = (rolling: number): number => Math.imul(rolling, 0x9e3779b1) >>> 16

const hashOf = (text: string): string => hash('sha256', text, 'base64').slice(0, HASH_LENGTH)

function fingerprintOf(text: string): SecretFingerprint {
  let rolling = 0
  for (let at = 0; at < ANCHOR; at += 1) rolling = step(rolling, text.charCodeAt(at))
  return { anchor: anchorOf(rolling), length: text.length, hash: hashOf(text) }
}

/** In order of where they begin; what overlaps is one. */
function join(found: Found[], next: Found): void {
  const last = found.at(-1)
  if (last && next.from < last.to) last.to = Math.max(last.to, next.to)
  else found.push(next)
}

/** `from` is where the text begins in what was searched. */
function blanked(text: string, from: number, found: readonly Found[], mask: string): string {
  let clean = ''
  let at = 0
  for (const each of found) {
    const begins = Math.max(each.from - from, 0)
    const ends = Math.min(each.to - from, text.length)
    if (begins >= ends) continue
    clean += text.slice(at, begins) + mask
    at = ends
  }
  return at === 0 ? text : clean + text.slice(at)
}

/** Every text in a JSON value, in the order in which it is written. */
function collect(value: unknown, texts: string[]): void {
  if (typeof value === 'string') texts.push(value)
  else if (Array.isArray(value)) for (const item of value) collect(item, texts)
  else if (typeof value === 'object' && value !== null) for (const inner of Object.values(value)) collect(inner, texts)
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
