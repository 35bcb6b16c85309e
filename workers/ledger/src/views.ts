import type { Budget, budgets, check, reservations, summary } from '@agentos/contracts/ledger'
import type { OutputOf, ParsedInputOf } from '@agentos/sdk'
import type { Account, Book, Reservation } from './book.ts'
import type { Subject } from './entry.ts'
import { isHard, leftIn } from './fitting.ts'
import { isGuestDefault } from './guest-budget.ts'

const MAX_SHOWN = 200

export function cents(microUsd: number): number {
  return Math.round(microUsd / 10_000)
}

export function budgetView({ budget, window, balance }: Account): Budget {
  return {
    id: budget.id,
    realmId: budget.realm,
    agentId: budget.agent ?? null,
    sessionId: budget.session ?? null,
    runId: budget.run ?? null,
    period: budget.period,
    timeZone: budget.timeZone,
    periodKey: window,
    monthlyCents: cents(budget.limit),
    spentCents: cents(balance.spent),
    limitMicroUsd: budget.limit,
    spentMicroUsd: balance.spent,
    reservedMicroUsd: balance.reserved,
    unlimited: budget.unlimited,
    isDefault: isGuestDefault(budget),
    overdraft: !budget.unlimited && balance.spent > budget.limit,
    currency: 'USD',
    softThreshold: budget.softThreshold,
    hardLimit: budget.hardLimit,
    billingCode: budget.billingCode,
    version: budget.version,
    periodStart: new Date(budget.createdAt).toISOString(),
    updatedAt: new Date(budget.updatedAt).toISOString(),
  }
}

/** All of the realm; with an agent, a session or a run named, those that are theirs. */
export function listBudgets(book: Book, { realm, ...only }: Subject, now: number): OutputOf<typeof budgets> {
  const named = Object.entries(only)
  const listed = book
    .budgetsOf(realm)
    .filter(
      (budget) => named.length === 0 || named.some(([kind, id]) => budget[kind as 'agent' | 'session' | 'run'] === id),
    )
  return { budgets: listed.map((budget) => budgetView(book.account(budget, now))) }
}

export function checkBudgets(book: Book, subject: Subject, now: number): OutputOf<typeof check> {
  const limited = book
    .accounts(subject, now)
    .filter(({ budget }) => !budget.unlimited)
    .sort((a, b) => utilization(b) - utilization(a) || leftIn(a) - leftIn(b))
  const [tightest] = limited
  if (!tightest) {
    const nothing = { spentCents: 0, limitCents: 0, remainingCents: 0, utilizationPct: 0, alert: null }
    const none = { spentMicroUsd: 0, limitMicroUsd: 0, remainingMicroUsd: 0, reservedMicroUsd: 0, budgetIds: [] }
    return { allowed: true, ...nothing, ...none }
  }
  const { budget, balance } = tightest
  const utilizationPct = utilization(tightest)
  const remaining = Math.max(0, leftIn(tightest))
  return {
    allowed: limited.every((account) => !isHard(account) || utilization(account) < 100),
    spentCents: cents(balance.spent),
    limitCents: cents(budget.limit),
    remainingCents: cents(remaining),
    utilizationPct,
    alert: utilizationPct >= 100 ? 'critical' : utilizationPct >= budget.softThreshold * 100 ? 'warning' : null,
    spentMicroUsd: balance.spent,
    limitMicroUsd: budget.limit,
    remainingMicroUsd: remaining,
    reservedMicroUsd: balance.reserved,
    budgetIds: limited.map((account) => account.budget.id),
  }
}

/** A budget of nothing is used up. */
function utilization({ budget, balance }: Account): number {
  return budget.limit === 0 ? 100 : (balance.spent / budget.limit) * 100
}

export function listReservations(book: Book, realm: string): OutputOf<typeof reservations> {
  const own = [...book.reservations.values()].filter(({ subject }) => subject.realm === realm)
  const shown = (state: Reservation['state']) => own.filter((reservation) => reservation.state === state)
  return {
    open: shown('open').map(reservationView),
    maybeCharged: shown('maybe_charged').slice(-MAX_SHOWN).map(reservationView),
  }
}

function reservationView({ id, subject, purpose, amount, at }: Reservation) {
  return {
    id,
    realmId: subject.realm,
    agentId: subject.agent ?? null,
    sessionId: subject.session ?? null,
    runId: subject.run ?? null,
    provider: purpose.provider,
    model: purpose.model,
    microUsd: amount,
    at,
  }
}

const GROUPS = { day: 1, agent: 2, model: 3, provider: 4, billing_code: 5, mission: 6 } as const

export function summarize(
  book: Book,
  realm: string,
  { groupBy, from, to }: ParsedInputOf<typeof summary>,
): OutputOf<typeof summary> {
  const total = { microUsd: 0, maybe: 0, inputTokens: 0, outputTokens: 0, events: 0 }
  const groups = new Map<
    string,
    { key: string; microUsd: number; inputTokens: number; outputTokens: number; events: number }
  >()
  for (const [key, { microUsd, maybe, input, output, events }] of book.daily) {
    const fields = JSON.parse(key) as (string | null)[]
    const day = fields[GROUPS.day]!
    if (fields[0] !== realm || (from && day < from) || (to && day > to)) continue
    const name = fields[GROUPS[groupBy]] ?? 'none'
    const group = groups.get(name) ?? { key: name, microUsd: 0, inputTokens: 0, outputTokens: 0, events: 0 }
    groups.set(name, group)
    for (const sum of [total, group]) {
      sum.microUsd += microUsd
      sum.inputTokens += input
      sum.outputTokens += output
      sum.events += events
    }
    total.maybe += maybe
  }
  const sorted = [...groups.values()].sort((a, b) => b.microUsd - a.microUsd)
  return {
    totalCents: cents(total.microUsd),
    totalMicroUsd: total.microUsd,
    maybeChargedMicroUsd: total.maybe,
    totalInputTokens: total.inputTokens,
    totalOutputTokens: total.outputTokens,
    eventCount: total.events,
    breakdown: Object.fromEntries(sorted.map(({ key, microUsd }) => [key, cents(microUsd)])),
    groups: sorted,
  }
}
