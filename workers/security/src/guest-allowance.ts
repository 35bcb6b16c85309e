import { AgentError } from '@agentos/sdk'
import type { AuditEvent } from './audit-entry.ts'

const GUEST_REALM = 'realm-guest'
const MINUTE_MS = 60_000
/** Of all guests together: the chain is kept for ever. */
export const GUEST_ENTRIES_A_MINUTE = 60

/** Entries of the chain that there are because of guests, within a minute. */
export class GuestAllowance {
  private readonly now: () => number
  private since = Number.NEGATIVE_INFINITY
  private taken = 0

  /** `now` reads a monotonic clock in milliseconds. */
  constructor(now: () => number = () => performance.now()) {
    this.now = now
  }

  /** Counts an entry of a guest. Throws `rate_limited` where it is one too many. */
  take({ actor, realm, worker }: Pick<AuditEvent, 'actor' | 'realm' | 'worker'>): void {
    // What an installed worker has to say of what it did for a guest is never left out; the topic in their realm is theirs.
    const isTheirs = actor.kind === 'guest' || (actor.kind === 'topic' && realm === GUEST_REALM)
    if (!isTheirs || worker !== undefined) return
    const now = this.now()
    if (now - this.since >= MINUTE_MS) Object.assign(this, { since: now, taken: 0 })
    if (this.taken >= GUEST_ENTRIES_A_MINUTE) {
      const retryAfterMs = Math.ceil(this.since + MINUTE_MS - now)
      const message = `All guests together may write ${GUEST_ENTRIES_A_MINUTE} audit entries a minute; try again in the next, or use the owner token`
      throw new AgentError('rate_limited', message, { details: { retryAfterMs } })
    }
    this.taken += 1
  }
}
