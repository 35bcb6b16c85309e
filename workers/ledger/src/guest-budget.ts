import type { BudgetRecord } from './entry.ts'

const GUEST_REALM = 'realm-guest'
const ID = 'bgt-guests'

/**
 * What all guests together may spend a day where the owner set no budget for their realm. No entry: the settings say it
 * anew at every start, always under this id, so what was spent of it stays. Undefined for `null`, which lifts it.
 */
export function guestBudget(centsPerDay: number | null, now: number): BudgetRecord | undefined {
  if (centsPerDay === null) return undefined
  return {
    id: ID,
    realm: GUEST_REALM,
    period: 'day',
    timeZone: 'UTC',
    limit: centsPerDay * 10_000,
    unlimited: false,
    softThreshold: 0.8,
    hardLimit: true,
    billingCode: null,
    version: 0,
    createdAt: now,
    updatedAt: now,
  }
}

export function isGuestDefault({ id }: { id: string }): boolean {
  return id === ID
}
