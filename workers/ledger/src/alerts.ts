import type { Book } from './book.ts'
import type { BudgetRecord, Line } from './entry.ts'

export interface Alert {
  type: 'threshold' | 'soft_threshold' | 'hard_limit_reached'
  severity: 'info' | 'warning' | 'critical'
  budget: BudgetRecord
  window: string
  spent: number
}

/** What was spent in an account before an entry. */
export interface Before {
  line: Line
  spent: number
}

/** At the crossing only: since what is spent in a window grows, that is once a window for each level. */
export function alertsOf(book: Book, before: readonly Before[]): Alert[] {
  return before.flatMap(({ line, spent }) => {
    const budget = book.budget(line.budget)
    if (!budget || budget.unlimited || line.spent <= 0) return []
    const after = book.balance(line).spent
    const levels = [
      { at: 1, type: 'hard_limit_reached', severity: 'critical' },
      { at: budget.softThreshold, type: 'soft_threshold', severity: 'warning' },
      { at: 0.5, type: 'threshold', severity: 'info' },
    ] as const
    // Of several that one booking crosses, the gravest.
    const crossed = levels.find(({ at }) => spent < at * budget.limit && after >= at * budget.limit)
    if (!crossed) return []
    const { type, severity } = crossed
    return [{ type, severity, budget, window: line.window, spent: after }]
  })
}
