import type { setBudget } from '@agentos/contracts/ledger'
import { AgentError, newId, type ParsedInputOf } from '@agentos/sdk'
import type { Book } from './book.ts'
import type { BudgetRecord, Draft, Subject } from './entry.ts'
import { isGuestDefault } from './guest-budget.ts'
import { assertTimeZone } from './period.ts'

type Input = ParsedInputOf<typeof setBudget>

/** The budget as it is to be stored: a new one, or the one of this target and period with what the input changes. */
export function changedBudget(book: Book, input: Input, subject: Subject, now: number): Draft & { kind: 'budget' } {
  const period = input.period ?? 'month'
  const same = (budget: BudgetRecord) =>
    budget.period === period &&
    budget.realm === subject.realm &&
    budget.agent === subject.agent &&
    budget.session === subject.session &&
    budget.run === subject.run
  const before = [...book.budgets.values()].find(same)
  const timeZone = input.timeZone ?? before?.timeZone ?? 'UTC'
  assertTimeZone(timeZone)
  const given =
    input.limitMicroUsd ?? (typeof input.monthlyCents === 'number' ? input.monthlyCents * 10_000 : undefined)
  const budget: BudgetRecord = {
    id: before?.id ?? newId('bgt'),
    ...subject,
    period,
    timeZone,
    limit: given ?? 0,
    unlimited: input.unlimited ?? false,
    softThreshold: input.softThreshold ?? before?.softThreshold ?? 0.8,
    hardLimit: input.hardLimit ?? before?.hardLimit ?? true,
    billingCode: input.billingCode ?? before?.billingCode ?? null,
    version: (before?.version ?? 0) + 1,
    createdAt: before?.createdAt ?? now,
    updatedAt: now,
  }
  return { kind: 'budget', budget, lines: [] }
}

export function deletedBudget(book: Book, id: string, realm: string): Draft & { kind: 'budget_deleted' } {
  const budget = book.budget(id)
  if (budget?.realm !== realm) {
    throw new AgentError('not_found', `There is no budget ${id} in this realm; ledger::budgets lists them`)
  }
  if (isGuestDefault(budget)) {
    const message =
      'The default budget of guests is not removed but replaced: set one of their realm, or unlimited: true'
    throw new AgentError('conflict', message)
  }
  return { kind: 'budget_deleted', budget: id, lines: [] }
}
