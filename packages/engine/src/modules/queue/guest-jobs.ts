import { GUEST_REALM } from '../../core/context.ts'
import { type GuestShare, isOfGuests } from '../../core/guest-share.ts'
import type { StoredJob } from './job.ts'

/**
 * Bytes that a job, or a dead letter with this error, counts against the guests: what is in their realm, whoever put it
 * there, and what they put elsewhere. None of others'.
 */
export function guestBytes(job: StoredJob, error = ''): number {
  const { context } = job
  if (context.realm !== GUEST_REALM && !isOfGuests(context)) return 0
  return Buffer.byteLength(JSON.stringify(job)) + Buffer.byteLength(error)
}

/** Counts what is held already, or in anybody's right: past the bound, too. */
export function count(share: GuestShare, bytes: number): void {
  if (bytes !== 0) share.set('queued_bytes', Math.max(0, share.heldOf('queued_bytes') + bytes))
}
