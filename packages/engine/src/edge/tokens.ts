import { timingSafeEqual } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Grant } from '../core/connection.ts'
import { DEFAULT_REALM, SYSTEM_REALM } from '../core/context.ts'

/** How long a token counts after its file was read; one that was replaced is good for so long at most. */
const FRESH_MS = 1_000

/**
 * Tokens that set-up wrote: the owner's, and one per installed worker. Each request asks, so what was read counts for a
 * second; a token that is not among it is looked for in the files at once, so that a rotated one works without delay.
 */
export class Tokens {
  private readonly dataDir: string
  private readonly workers: readonly string[]
  /** Reads a monotonic clock in milliseconds. */
  private readonly now: () => number
  private readonly heard: (token: string) => void
  private readonly known = new Map<string, { token: Buffer | undefined; readAt: number }>()

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
  }

  /** Whose token this is; `undefined` is nobody's. */
  grantOf(token: string): Grant | undefined {
    const given = Buffer.from(token)
    return this.find((file) => same(given, this.recent(file))) ?? this.find((file) => same(given, this.read(file)))
  }

  private find(matches: (file: string) => boolean): Grant | undefined {
    if (matches('owner-token')) return { principal: { kind: 'owner', id: 'owner' }, realm: DEFAULT_REALM }
    for (const worker of this.workers) {
      if (matches(join('credentials', worker))) {
        return { principal: { kind: 'system', id: worker }, realm: SYSTEM_REALM, worker }
      }
    }
    return undefined
  }

  private recent(file: string): Buffer | undefined {
    const known = this.known.get(file)
    return known && this.now() - known.readAt < FRESH_MS ? known.token : undefined
  }

  private read(file: string): Buffer | undefined {
    let token: Buffer | undefined
    try {
      const text = readFileSync(join(this.dataDir, file), 'utf8').trim()
      if (text !== '') token = Buffer.from(text)
      this.heard(text)
    } catch {
      // Not written yet, or taken away: nobody has it.
    }
    this.known.set(file, { token, readAt: this.now() })
    return token
  }
}

export const GUEST: Grant = { principal: { kind: 'guest', id: 'guest' }, realm: DEFAULT_REALM }

/** The token of an `Authorization: Bearer …` header. */
export function bearer(header: string | undefined): string | undefined {
  return /^Bearer\s+(\S+)$/i.exec(header ?? '')?.[1]
}

function same(given: Buffer, known: Buffer | undefined): boolean {
  return known !== undefined && given.length === known.length && timingSafeEqual(given, known)
}
