import { timingSafeEqual } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { Grant } from '../core/connection.ts'
import { DEFAULT_REALM, GUEST_REALM, SYSTEM_REALM } from '../core/context.ts'

/** How long a token counts after its file was read; one that was replaced is good for so long at most. */
const FRESH_MS = 1_000
/** What was changed this little before a look may change again with the same time on it, so the look proves nothing. */
const CLOCK_GRAIN_MS = 50

/**
 * Tokens that set-up wrote: the owner's, and one per installed worker. Each request asks, so what was read counts for a
 * second. For a token that is not among it the files are read again only where they have changed since, so that a new
 * one works without delay and a wrong one costs two looks at the disk.
 */
export class Tokens {
  private readonly dataDir: string
  private readonly workers: readonly string[]
  /** Reads a monotonic clock in milliseconds. */
  private readonly now: () => number
  private readonly heard: (token: string) => void
  private readonly grants = new Map<string, Grant>()
  private readonly known = new Map<string, { token: Buffer; readAt: number }>()
  private state = ''

  /** `heard` gets each token that is read, to be blanked. */
  constructor(
    dataDir: string,
    workers: readonly string[],
    now: () => number = () => performance.now(),
    heard: (token: string) => void = () => {},
  ) {
    this.dataDir = dataDir
    this.workers = workers
    this.now = now
    this.heard = heard
    this.grants.set('owner-token', { principal: { kind: 'owner', id: 'owner' }, realm: DEFAULT_REALM })
    for (const worker of this.workers) {
      const grant: Grant = { principal: { kind: 'system', id: worker }, realm: SYSTEM_REALM, worker }
      this.grants.set(join('credentials', worker), grant)
    }
  }

  /** Whose token this is; `undefined` is nobody's. */
  grantOf(token: string): Grant | undefined {
    const given = Buffer.from(token)
    const grant = this.find(given)
    if (grant || !this.hasChanged()) return grant
    this.state = this.look()
    for (const file of this.grants.keys()) this.read(file)
    return this.find(given)
  }

  private find(given: Buffer): Grant | undefined {
    for (const [file, { token, readAt }] of this.known) {
      if (!same(given, token)) continue
      if (this.now() - readAt < FRESH_MS || same(given, this.read(file))) return this.grants.get(file)
    }
    return undefined
  }

  private read(file: string): Buffer | undefined {
    const token = readToken(join(this.dataDir, file))
    if (token) {
      this.heard(token.toString())
      this.known.set(file, { token, readAt: this.now() })
    } else this.known.delete(file)
    return token
  }

  private hasChanged(): boolean {
    return this.state === '' || this.look() !== this.state
  }

  /** Tells the present state of the files from another one; empty where it cannot be told yet. */
  private look(): string {
    const stats = ['owner-token', 'credentials'].map((name) =>
      statSync(join(this.dataDir, name), { throwIfNoEntry: false }),
    )
    const latest = Math.max(...stats.map((stat) => stat?.mtimeMs ?? 0))
    if (Date.now() - latest < CLOCK_GRAIN_MS) return ''
    return stats.map((stat) => (stat ? `${stat.ino}:${stat.mtimeMs}` : '')).join(' ')
  }
}

function readToken(path: string): Buffer | undefined {
  try {
    const text = readFileSync(path, 'utf8').trim()
    return text === '' ? undefined : Buffer.from(text)
  } catch {
    // Not written yet, or taken away: nobody has it.
    return undefined
  }
}

/** Whoever has no credential. */
export const GUEST: Grant = { principal: { kind: 'guest', id: 'guest' }, realm: GUEST_REALM }

function same(given: Buffer, known: Buffer | undefined): boolean {
  return known !== undefined && given.length === known.length && timingSafeEqual(given, known)
}

/** The token of an `Authorization: Bearer …` header. */
export function bearer(header: string | undefined): string | undefined {
  return /^Bearer\s+(\S+)$/i.exec(header ?? '')?.[1]
}
