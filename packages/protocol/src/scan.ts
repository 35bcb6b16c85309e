import { isUtf8 } from 'node:buffer'
import { TOO_LARGE_NUMBER } from './too-large.ts'

/** Nesting that a JSON text may have wherever one comes in: a frame, its own object counted, a body, a message of a channel. */
export const MAX_DEPTH = 512
export const TOO_DEEP = `nested over ${MAX_DEPTH} levels`

/** One key of the outermost object and where its value stands: from `start` up to, not including, `end`. */
export interface Entry {
  key: string
  start: number
  end: number
}

const QUOTE = 0x22
const COMMA = 0x2c
const COLON = 0x3a
const OPEN_BRACKET = 0x5b
const BACKSLASH = 0x5c
const CLOSE_BRACKET = 0x5d
const OPEN_BRACE = 0x7b
const CLOSE_BRACE = 0x7d

/** Per byte: 1 where the plain run of a string ends (quote, backslash, control character). */
const endsRun = new Uint8Array(256)
endsRun.fill(1, 0, 0x20)
endsRun[QUOTE] = 1
endsRun[BACKSLASH] = 1

/** Bytes of a string that are looked at one by one before words are worth it. */
const NEAR = 24

const NO_WORDS = new Uint32Array(0)
/** The bytes of the present scan, four at a time from its first aligned one: a view for each string would cost more. */
let words: Uint32Array = NO_WORDS
let firstWord = 0

/** Reasons why bytes are not taken; thrown and caught within this file only. */
class Refusal extends Error {}

/**
 * Finds the keys of a JSON object and the byte ranges of their values without building any value, and validates all of
 * it on the way: what passes is what `JSON.parse` takes (RFC 8259, valid UTF-8), less duplicate keys of the outermost
 * object, nesting over `MAX_DEPTH` and numbers that no double holds. Otherwise the answer is the reason.
 */
export function scanObject(bytes: Buffer): Entry[] | string {
  if (!isUtf8(bytes)) return 'not valid UTF-8'
  firstWord = (4 - (bytes.byteOffset & 3)) & 3
  const count = (bytes.length - firstWord) >> 2
  words = count > 0 ? new Uint32Array(bytes.buffer, bytes.byteOffset + firstWord, count) : NO_WORDS
  try {
    return readEntries(bytes)
  } catch (error) {
    if (error instanceof Refusal) return error.message
    throw error
  } finally {
    // Or the last large frame would stay in memory.
    words = NO_WORDS
  }
}

// Everything below takes the position where something begins and returns the one behind it: with positions in local
// variables the compiler keeps them in registers, which makes the scan about twice as fast as one with fields. White
// space is looked for before `skipSpace` is called: mostly there is none, and that is another fifth.

function readEntries(bytes: Buffer): Entry[] {
  const entries: Entry[] = []
  const seen = new Set<string>()
  let at = skipSpace(bytes, 0)
  if (bytes[at] !== OPEN_BRACE) throw new Refusal('not a JSON object')
  at = skipSpace(bytes, at + 1)
  if (bytes[at] === CLOSE_BRACE) at++
  else {
    for (;;) {
      const behindKey = skipString(bytes, at)
      const key = JSON.parse(bytes.toString('utf8', at, behindKey)) as string
      if (seen.has(key)) throw new Refusal(`duplicate key ${JSON.stringify(key.slice(0, 80))}`)
      seen.add(key)
      const start = skipColon(bytes, behindKey)
      const end = skipValue(bytes, start)
      entries.push({ key, start, end })
      at = skipSpace(bytes, end)
      const next = bytes[at++]
      if (next === CLOSE_BRACE) break
      if (next !== COMMA) fail(bytes, at - 1)
      at = skipSpace(bytes, at)
    }
  }
  at = skipSpace(bytes, at)
  if (at !== bytes.length) fail(bytes, at)
  return entries
}

/** Of the value that is skipped: 1 stands for an object, 0 for an array. */
const stack = new Uint8Array(MAX_DEPTH)

/** One value of any nesting, with a stack of its own: no input can exhaust the engine's. */
function skipValue(bytes: Buffer, from: number): number {
  let depth = 0
  let at = from
  for (;;) {
    // At the beginning of a value.
    const byte = bytes[at]
    if (byte === QUOTE) at = skipString(bytes, at)
    else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
      // The outermost object counts too.
      if (depth + 2 > MAX_DEPTH) throw new Refusal(TOO_DEEP)
      if (bytes[++at]! <= 0x20) at = skipSpace(bytes, at)
      const object = byte === OPEN_BRACE
      if (bytes[at] === (object ? CLOSE_BRACE : CLOSE_BRACKET)) at++
      else {
        stack[depth++] = object ? 1 : 0
        if (object) at = skipColon(bytes, skipString(bytes, at))
        continue
      }
    } else at = skipScalar(bytes, at)
    // Behind a value: close what ends here, or go on to the next member.
    for (;;) {
      if (depth === 0) return at
      if (bytes[at]! <= 0x20) at = skipSpace(bytes, at)
      const next = bytes[at]
      const object = stack[depth - 1] === 1
      if (next === COMMA) {
        if (bytes[++at]! <= 0x20) at = skipSpace(bytes, at)
        if (object) at = skipColon(bytes, skipString(bytes, at))
        break
      }
      if (next !== (object ? CLOSE_BRACE : CLOSE_BRACKET)) fail(bytes, at)
      at++
      depth--
    }
  }
}

function skipColon(bytes: Buffer, from: number): number {
  let at = from
  if (bytes[at] !== COLON) {
    at = skipSpace(bytes, at)
    if (bytes[at] !== COLON) fail(bytes, at)
  }
  at++
  return bytes[at]! <= 0x20 ? skipSpace(bytes, at) : at
}

function skipString(bytes: Buffer, from: number): number {
  if (bytes[from] !== QUOTE) fail(bytes, from)
  let at = from + 1
  for (;;) {
    const near = at + NEAR
    while (at < near && endsRun[bytes[at]!] === 0) at++
    if (at === near) {
      at = skipWords(bytes, at)
      while (endsRun[bytes[at]!] === 0) at++
    }
    const byte = bytes[at]
    if (byte === QUOTE) return at + 1
    if (byte !== BACKSLASH) fail(bytes, at)
    at = skipEscape(bytes, at)
  }
}

/** Four bytes at a time up to the word, or the last bytes, in which the run ends: long texts pass in half the time. */
function skipWords(bytes: Buffer, from: number): number {
  let i = (from - firstWord + 3) >> 2
  const start = firstWord + i * 4
  for (let at = from; at < start; at++) if (endsRun[bytes[at]!] !== 0) return at
  for (; i < words.length; i++) {
    const word = words[i]!
    const quote = word ^ 0x22222222
    const backslash = word ^ 0x5c5c5c5c
    // The high bit of a byte is set where it is under 0x20, or where one of the differences is 0.
    const control = (word - 0x20202020) & ~word
    const match = ((quote - 0x01010101) & ~quote) | ((backslash - 0x01010101) & ~backslash)
    if (((control | match) & 0x80808080) !== 0) break
  }
  return Math.max(from, firstWord + i * 4)
}

/** From a backslash to what follows its escape. */
function skipEscape(bytes: Buffer, at: number): number {
  switch (bytes[at + 1]) {
    case 0x22: // "
    case 0x5c: // \
    case 0x2f: // /
    case 0x62: // b
    case 0x66: // f
    case 0x6e: // n
    case 0x72: // r
    case 0x74: // t
      return at + 2
    case 0x75: // u
      for (let digit = at + 2; digit < at + 6; digit++) if (!isHex(bytes[digit])) fail(bytes, digit)
      return at + 6
    default:
      return fail(bytes, at + 1)
  }
}

function skipScalar(bytes: Buffer, at: number): number {
  switch (bytes[at]) {
    case 0x74:
      return skipLiteral(bytes, at, 'true')
    case 0x66:
      return skipLiteral(bytes, at, 'false')
    case 0x6e:
      return skipLiteral(bytes, at, 'null')
    default:
      return skipNumber(bytes, at)
  }
}

function skipLiteral(bytes: Buffer, at: number, text: string): number {
  for (let i = 0; i < text.length; i++) if (bytes[at + i] !== text.charCodeAt(i)) fail(bytes, at + i)
  return at + text.length
}

function skipNumber(bytes: Buffer, from: number): number {
  let at = from
  if (bytes[at] === 0x2d) at++
  if (bytes[at] === 0x30) at++
  else at = skipDigits(bytes, at)
  if (bytes[at] === 0x2e) at = skipDigits(bytes, at + 1)
  if (bytes[at] === 0x65 || bytes[at] === 0x45) {
    at++
    if (bytes[at] === 0x2b || bytes[at] === 0x2d) at++
    const exponent = at
    at = skipDigits(bytes, at)
    if (at - exponent > 2) assertHeld(bytes, from, at)
  }
  if (at - from > 200) assertHeld(bytes, from, at)
  return at
}

/** Refuses a number that would be read as infinity: it has an exponent of three digits, or over 200 digits before that. */
function assertHeld(bytes: Buffer, from: number, to: number): void {
  if (!Number.isFinite(Number(bytes.toString('latin1', from, to)))) throw new Refusal(TOO_LARGE_NUMBER)
}

/** At least one digit. */
function skipDigits(bytes: Buffer, from: number): number {
  let at = from
  while (isDigit(bytes[at])) at++
  if (at === from) fail(bytes, at)
  return at
}

function skipSpace(bytes: Buffer, from: number): number {
  let at = from
  for (;;) {
    const byte = bytes[at]
    if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return at
    at++
  }
}

function fail(bytes: Buffer, at: number): never {
  throw new Refusal(at >= bytes.length ? 'JSON ends too early' : `not JSON at byte ${at}`)
}

/**
 * Is a JSON text nested over `MAX_DEPTH`? Asked before it is parsed: what is too deep takes seconds to build, and whatever
 * walks it then may run out of stack. What is no JSON is told by the parser, which comes no further than this does.
 */
export function isTooDeep(json: Buffer | string): boolean {
  // Every level takes two characters, unless it is never closed; then it is no JSON, and soon found to be none.
  if (json.length <= 2 * MAX_DEPTH) return false
  return countKeys(typeof json === 'string' ? Buffer.from(json) : json) === -1
}

/**
 * How many keys the outermost object of a JSON text has, duplicates counted, or -1 where it is nested over `MAX_DEPTH`.
 * The count is right where the bytes are what `JSON.parse` takes; that makes this cheap enough for every small frame.
 */
export function countKeys(bytes: Buffer): number {
  let depth = 0
  let keys = 0
  for (let at = 0; at < bytes.length; at++) {
    switch (bytes[at]) {
      case QUOTE:
        for (at++; ; at += 2) {
          while (endsRun[bytes[at]!] === 0) at++
          if (bytes[at] !== BACKSLASH) break
        }
        break
      case COLON:
        if (depth === 1) keys++
        break
      case OPEN_BRACE:
      case OPEN_BRACKET:
        if (++depth > MAX_DEPTH) return -1
        break
      case CLOSE_BRACE:
      case CLOSE_BRACKET:
        depth--
    }
  }
  return keys
}

function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= 0x30 && byte <= 0x39
}

function isHex(byte: number | undefined): boolean {
  if (byte === undefined) return false
  return isDigit(byte) || (byte >= 0x61 && byte <= 0x66) || (byte >= 0x41 && byte <= 0x46)
}
