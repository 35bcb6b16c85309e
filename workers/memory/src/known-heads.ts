import type { SessionHead } from './transcript.ts'

const MOST_KNOWN = 256

/** A head and the version to write against; no head, version 0: there is none. */
export interface KnownHead {
  head: SessionHead | undefined
  version: number
}

/** Of one agent, by session. */
export interface Heads {
  get(sessionId: string): KnownHead | undefined
  set(sessionId: string, known: KnownHead): void
  forget(sessionId: string): void
}

/**
 * The heads that were seen last, so that what is written next need not read them again. They may be old: whatever is built
 * on one is written against its version.
 */
export class KnownHeads {
  /** Longest unused first. */
  private readonly known = new Map<string, KnownHead>()

  of(realm: string, agentId: string): Heads {
    const nameOf = (sessionId: string) => JSON.stringify([realm, agentId, sessionId])
    return {
      get: (sessionId) => this.known.get(nameOf(sessionId)),
      set: (sessionId, known) => this.remember(nameOf(sessionId), known),
      forget: (sessionId) => void this.known.delete(nameOf(sessionId)),
    }
  }

  private remember(name: string, known: KnownHead): void {
    this.known.delete(name)
    this.known.set(name, known)
    for (const oldest of this.known.keys()) {
      if (this.known.size <= MOST_KNOWN) return
      this.known.delete(oldest)
    }
  }
}
