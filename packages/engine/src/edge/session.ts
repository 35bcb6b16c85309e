import { hash, timingSafeEqual } from 'node:crypto'
import type { Ports, StoreOutcome } from '../core/ports.ts'
import { Quota } from './quota.ts'

/** Partition of the store that holds the hashes of sessions. */
const PARTITION = 'auth'
const CODE_MS = 5 * 60_000
const SESSION_MS = 30 * 24 * 60 * 60_000
/** Codes that may be open at once; the oldest gives way. */
const MAX_CODES = 16
const WRONG_CODES_PER_MINUTE = 10
/** No letters that are mistaken for others: the code is read from a terminal and typed. */
const ALPHABET = '23456789ABCDEFGHJKLMNPQRSTUVWXYZ'
const CODE_LETTERS = 12

export const SESSION_COOKIE = 'agentos_session'

export type Redeemed =
  | { ok: true; token: string; expiresAt: number }
  | { ok: false; code: 'unauthorized' | 'rate_limited' | 'store_unavailable'; message: string; retryAfterMs?: number }

/**
 * How a browser becomes the owner: a one-time code that the owner asked for becomes a cookie. Codes live in memory;
 * sessions are kept as hashes, so that neither the store nor a backup of it lets anybody in.
 */
export class Sessions {
  private readonly ports: Ports
  private readonly codes = new Map<string, { digest: Buffer; expiresAt: number }>()
  private readonly known = new Map<string, number>()
  private readonly wrong: Quota

  constructor(ports: Ports) {
    this.ports = ports
    this.wrong = new Quota(WRONG_CODES_PER_MINUTE, () => ports.clock.monotonic())
  }

  /** A new one-time code, good for five minutes. */
  createCode(): { code: string; expiresAt: number } {
    this.dropExpiredCodes()
    if (this.codes.size >= MAX_CODES) this.codes.delete(this.codes.keys().next().value!)
    const bytes = Buffer.from(this.ports.ids.hex(CODE_LETTERS), 'hex')
    const letters = [...bytes].map((byte) => ALPHABET[byte % ALPHABET.length]!).join('')
    const code = letters.replace(/(.{4})(?=.)/g, '$1-')
    const digest = digestOf(letters)
    const expiresAt = this.ports.clock.now() + CODE_MS
    this.codes.set(digest.toString('hex'), { digest, expiresAt })
    return { code, expiresAt }
  }

  /** Turns a code into a session, once. `done` runs after the session is durable. */
  redeem(code: string, done: (redeemed: Redeemed) => void): void {
    this.dropExpiredCodes()
    const given = digestOf(code.toUpperCase().replaceAll(/[^0-9A-Z]/g, ''))
    let found: string | undefined
    // Every open code is compared, in constant time each: how long it takes tells nothing.
    for (const [id, { digest }] of this.codes) if (timingSafeEqual(digest, given)) found = id
    if (found === undefined) {
      const attempt = this.wrong.take()
      return done(
        attempt.ok
          ? {
              ok: false,
              code: 'unauthorized',
              message: 'This code is wrong, used or expired; npm run agentos -- open prints a new one',
            }
          : {
              ok: false,
              code: 'rate_limited',
              message: 'Too many wrong codes; wait, then ask for a new one with npm run agentos -- open',
              retryAfterMs: attempt.retryAfterMs,
            },
      )
    }
    const id = found
    const taken = this.codes.get(id)!
    this.codes.delete(id)
    const token = this.ports.ids.hex(32)
    const key = sessionKey(token)
    const now = this.ports.clock.now()
    const expiresAt = now + SESSION_MS
    this.ports.store.write(
      [{ op: 'put', partition: PARTITION, key, value: { createdAt: now, expiresAt }, expires: expiresAt }],
      (outcome) => {
        if (!outcome.ok) {
          // It opened nothing: it is as good as before.
          this.codes.set(id, taken)
          return done({ ok: false, code: 'store_unavailable', message: outcome.error.message })
        }
        this.known.set(key, expiresAt)
        done({ ok: true, token, expiresAt })
      },
    )
  }

  /** Is this the token of a live session? */
  isValid(token: string): boolean {
    if (!/^[0-9a-f]{64}$/.test(token)) return false
    const key = sessionKey(token)
    const expiresAt = this.known.get(key) ?? this.load(key)
    if (expiresAt === undefined) return false
    if (expiresAt > this.ports.clock.now()) return true
    this.known.delete(key)
    return false
  }

  /** Ends a session; `done` runs after that is durable, or hears why it is not and the session goes on. */
  end(token: string, done: (outcome: StoreOutcome) => void): void {
    const key = sessionKey(token)
    this.known.delete(key)
    this.ports.store.write([{ op: 'delete', partition: PARTITION, key }], done)
  }

  /** Sessions from before a restart are in the store only. */
  private load(key: string): number | undefined {
    const value = this.ports.store.get(PARTITION, key)?.value
    if (typeof value !== 'object' || value === null || !('expiresAt' in value)) return undefined
    const { expiresAt } = value
    if (typeof expiresAt !== 'number') return undefined
    this.known.set(key, expiresAt)
    return expiresAt
  }

  private dropExpiredCodes(): void {
    const now = this.ports.clock.now()
    for (const [id, { expiresAt }] of this.codes) if (expiresAt <= now) this.codes.delete(id)
  }
}

/** Value of the `Set-Cookie` header. */
export function sessionCookie(token: string, maxAgeSeconds: number): string {
  return `${SESSION_COOKIE}=${token}; Path=/; HttpOnly; SameSite=Strict; Max-Age=${maxAgeSeconds}`
}

/**
 * What a `Cookie` header has under the session's name, most specific first. Others can put cookies of that name in front
 * of ours (another port of the same host, a path of their own), so each may be the session.
 */
export function sessionTokens(cookie: string | undefined): string[] {
  const tokens = new Set<string>()
  for (const part of (cookie ?? '').split(';')) {
    const [name, value] = part.trim().split('=', 2)
    if (name === SESSION_COOKIE) tokens.add(value ?? '')
  }
  return [...tokens]
}

function digestOf(text: string): Buffer {
  return hash('sha256', text, 'buffer')
}

function sessionKey(token: string): string {
  return `session/${digestOf(token).toString('hex')}`
}
