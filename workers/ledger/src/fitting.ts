import type { Account } from './book.ts'
import { accountKey, type Line } from './entry.ts'

/** Micro-dollars that a call wants held. */
export interface Demand {
  /** Pays the input and one token of output. */
  minimum: number
  /** To be held at first. */
  hold: number
  /** What it may cost in all. */
  wanted: number
}

export type Fitting =
  | { is: 'held'; hold: number; affordable: number }
  /** Others hold what is lacking; `tight` are the accounts in which. */
  | { is: 'waiting'; tight: string[] }
  | { is: 'refused'; account: Account; left: number }

/** Whether the money for a call is there now. `patient` is false once it has waited long enough. */
export function fit(accounts: readonly Account[], demand: Demand, patient = true): Fitting {
  const hard = accounts.filter(isHard)
  let available = Number.POSITIVE_INFINITY
  const tight: Account[] = []
  for (const account of hard) {
    const left = leftIn(account)
    // Even if everybody gave back all that they hold, it would not be enough.
    if (left < demand.minimum) return { is: 'refused', account, left }
    const free = left - account.balance.reserved
    available = Math.min(available, free)
    if (free < demand.hold) tight.push(account)
  }
  if (tight.length === 0) return { is: 'held', hold: demand.hold, affordable: Math.min(demand.wanted, available) }
  const othersOut = tight.some(({ balance }) => balance.reserved > 0)
  if ((!othersOut || !patient) && available >= demand.minimum) {
    return { is: 'held', hold: available, affordable: available }
  }
  return { is: 'waiting', tight: tight.map(keyOf) }
}

/** The one that has least to give; undefined where none has a limit. */
export function tightest(accounts: readonly Account[]): Account | undefined {
  return accounts.filter(isHard).toSorted((a, b) => freeIn(a) - freeIn(b))[0]
}

/** How much of `more` can be held in addition now. */
export function roomFor(accounts: readonly Account[], more: number): number {
  const free = accounts.filter(isHard).map(freeIn)
  return Math.max(0, Math.min(more, ...free))
}

export function keyOf({ budget, window }: Account): string {
  return accountKey({ budget: budget.id, window })
}

export function linesOf(
  accounts: readonly { budget: string; window: string }[],
  change: { reserved: number; spent: number },
): Line[] {
  return accounts.map(({ budget, window }) => ({ budget, window, ...change }))
}

export function isHard({ budget }: Account): boolean {
  return budget.hardLimit && !budget.unlimited
}

/** What is not spent yet; what others hold is still in it. */
export function leftIn({ budget, balance }: Account): number {
  return budget.limit - balance.spent
}

function freeIn(account: Account): number {
  return leftIn(account) - account.balance.reserved
}
