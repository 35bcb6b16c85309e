import { type KeyedCall, Keys } from '@agentos/keyed'
import type { StateClient } from '@agentos/sdk'
import type { AuditChain, AuditPlace } from './audit-chain.ts'
import type { AuditEntry, AuditEvent } from './audit-entry.ts'
import { GuestAllowance } from './guest-allowance.ts'

/** What is known of calls that came with an idempotency key. */
const SCOPE = 'security-keys'
const keys = new Keys()
const guests = new GuestAllowance()

type Call = KeyedCall & { state: StateClient }

/**
 * Appends one entry for a call, however often it comes under its key; `work` is done before it, and each time. Those of
 * guests have an allowance: `rate_limited`.
 */
export async function auditOnce(
  chain: AuditChain,
  call: Call,
  input: unknown,
  event: AuditEvent,
  work: (again: boolean) => Promise<void> = async () => {},
): Promise<Pick<AuditEntry, 'id' | 'hash' | 'sequence'>> {
  guests.take(event)
  return keys.once<AuditPlace, Pick<AuditEntry, 'id' | 'hash' | 'sequence'>>(
    { state: call.state, scope: SCOPE, call, input },
    {
      plan: () => chain.place(),
      carryOut: async (place, again) => {
        await work(again)
        const { id, hash, sequence } = await chain.append(event, place, again)
        return { id, hash, sequence }
      },
    },
  )
}
