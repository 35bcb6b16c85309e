import { added, foldOld } from './daily-sums.ts'
import {
  accountKey,
  type Booked,
  type BudgetRecord,
  type Count,
  type Entry,
  type Line,
  type Purpose,
  type Subject,
} from './entry.ts'
import { periodKey } from './period.ts'

export interface Balance {
  reserved: number
  spent: number
}

export interface Reservation {
  id: string
  key: string
  /** The model call that it is for, the same when that is made again. */
  call?: string
  subject: Subject
  purpose: Purpose
  state: 'open' | 'settled' | 'maybe_charged' | 'released'
  /** Held while open, booked afterwards. */
  amount: number
  affordable: number
  accounts: { budget: string; window: string }[]
  /** Epoch milliseconds of the last entry. */
  at: number
  count?: Count
}

/** One budget in its current window. */
export interface Account {
  budget: BudgetRecord
  window: string
  balance: Balance
}

/** What a checkpoint holds; plain JSON. */
export interface BookSnapshot {
  sequence: number
  budgets: BudgetRecord[]
  balances: [string, Balance][]
  reservations: Reservation[]
  /** By id alone in checkpoints of earlier versions. */
  spendKeys: [string, string | Booked][]
  daily: [string, Count][]
}

/** Reservations that are over and can still be asked about: for repeated and late settlements. */
const MAX_CLOSED = 2_000
const MAX_SPEND_KEYS = 5_000
const NOTHING: Balance = { reserved: 0, spent: 0 }

/** All balances, derived from the entries and from nothing else. The same entries give the same book. */
export class Book {
  sequence = 0
  /** Those that the owner set. */
  readonly budgets = new Map<string, BudgetRecord>()
  readonly balances = new Map<string, Balance>()
  /** In the order of their last entries. */
  readonly reservations = new Map<string, Reservation>()
  readonly byKey = new Map<string, string>()
  /** Spend entries by realm and idempotency key; those of earlier versions by id alone. */
  readonly spendKeys = new Map<string, string | Booked>()
  /** Sums by JSON of [realm, day, agent, model, provider, billing code, mission]. */
  readonly daily = new Map<string, Count>()
  private readonly fallback: BudgetRecord | undefined

  /** `fallback` is the budget of a realm for which the owner set none. */
  constructor(fallback?: BudgetRecord) {
    this.fallback = fallback
  }

  static restore(snapshot: BookSnapshot, fallback?: BudgetRecord): Book {
    const book = new Book(fallback)
    book.sequence = snapshot.sequence
    for (const budget of snapshot.budgets) book.budgets.set(budget.id, budget)
    for (const [key, balance] of snapshot.balances) book.balances.set(key, balance)
    for (const reservation of snapshot.reservations) book.remember(reservation)
    for (const [key, id] of snapshot.spendKeys) book.spendKeys.set(key, id)
    for (const [key, count] of snapshot.daily) book.daily.set(key, count)
    return book
  }

  snapshot(): BookSnapshot {
    return {
      sequence: this.sequence,
      budgets: [...this.budgets.values()],
      balances: [...this.balances],
      reservations: [...this.reservations.values()],
      spendKeys: [...this.spendKeys],
      daily: [...this.daily],
    }
  }

  /** The budgets of a realm that are in force. */
  budgetsOf(realm: string): BudgetRecord[] {
    const found = [...this.budgets.values()].filter((budget) => budget.realm === realm)
    const { fallback } = this
    return fallback?.realm === realm && !found.some(isOfRealm) ? [fallback, ...found] : found
  }

  /** Undefined where it is not in force. */
  budget(id: string): BudgetRecord | undefined {
    const { fallback } = this
    if (id !== fallback?.id) return this.budgets.get(id)
    return this.budgetsOf(fallback.realm).find((budget) => budget.id === id)
  }

  /** The budgets that a call of this subject has to fit, in their windows of `now`. */
  accounts(subject: Subject, now: number): Account[] {
    return this.budgetsOf(subject.realm).flatMap((budget) =>
      applies(budget, subject) ? [this.account(budget, now)] : [],
    )
  }

  account(budget: BudgetRecord, now: number): Account {
    const window = windowOf(budget, now)
    return { budget, window, balance: this.balance({ budget: budget.id, window }) }
  }

  balance(account: { budget: string; window: string }): Balance {
    return this.balances.get(accountKey(account)) ?? NOTHING
  }

  apply(entry: Entry): void {
    if (entry.sequence !== this.sequence + 1) {
      throw new Error(`Entry ${entry.sequence} of the ledger comes after ${this.sequence}: entries are missing`)
    }
    this.sequence = entry.sequence
    for (const line of entry.lines) this.add(line)
    switch (entry.kind) {
      case 'budget':
        this.budgets.set(entry.budget.id, entry.budget)
        break
      case 'budget_deleted':
        this.budgets.delete(entry.budget)
        break
      case 'reserve': {
        const { reservation: id, key, call, subject, purpose, affordable, at, lines } = entry
        const amount = lines[0]?.reserved ?? 0
        const accounts = lines.map(({ budget, window }) => ({ budget, window }))
        const named = call === undefined ? {} : { call }
        this.remember({ id, key, ...named, subject, purpose, state: 'open', amount, affordable, accounts, at })
        break
      }
      case 'extend':
        this.change(entry.reservation, entry.at, ({ amount }) => ({ amount: amount + (entry.lines[0]?.reserved ?? 0) }))
        break
      case 'release':
        this.change(entry.reservation, entry.at, () => ({ state: 'released', amount: 0 }))
        break
      case 'settle':
      case 'maybe_charged':
        this.book(entry)
        break
      case 'spend':
        this.sum(entry.subject, entry.purpose, entry.at, entry.count)
        if (entry.key !== undefined) {
          this.spendKeys.set(`${entry.subject.realm}/${entry.key}`, entry.booked ?? entry.id)
          forget(this.spendKeys, MAX_SPEND_KEYS)
        }
    }
  }

  /** Reservations that are held for a model call, but for the one that is asked for under this key. */
  heldBefore(call: string, key: string): Reservation[] {
    return [...this.reservations.values()].filter(
      (reservation) => reservation.call === call && reservation.state === 'open' && reservation.key !== key,
    )
  }

  /**
   * Forgets balances of windows that are over and that nothing can change any more, and tells old days less finely where
   * there are very many sums; the entries stay.
   */
  prune(now: number): void {
    foldOld(this.daily, dayOf(now))
    const live = new Set<string>()
    // Also what was spent of the fallback before the owner set another: it may be in force again today.
    for (const budget of [...this.budgets.values(), ...(this.fallback ? [this.fallback] : [])])
      live.add(accountKey({ budget: budget.id, window: windowOf(budget, now) }))
    for (const { accounts } of this.reservations.values()) for (const account of accounts) live.add(accountKey(account))
    for (const key of this.balances.keys()) if (!live.has(key)) this.balances.delete(key)
  }

  private book(entry: Extract<Entry, { kind: 'settle' | 'maybe_charged' }>): void {
    const { count } = entry
    const before = this.change(entry.reservation, entry.at, () => ({
      state: entry.kind === 'settle' ? 'settled' : 'maybe_charged',
      amount: count.microUsd,
      count,
    }))
    if (!before) return
    // A booking that was made already is taken back on the day on which it was made.
    if (before.count) this.sum(before.subject, before.purpose, before.at, negated(before.count))
    this.sum(before.subject, before.purpose, entry.at, count)
  }

  private add(line: Line): void {
    const { reserved, spent } = this.balance(line)
    this.balances.set(accountKey(line), { reserved: reserved + line.reserved, spent: spent + line.spent })
  }

  private change(
    id: string,
    at: number,
    change: (before: Reservation) => Partial<Reservation>,
  ): Reservation | undefined {
    const before = this.reservations.get(id)
    if (before) this.remember({ ...before, ...change(before), at })
    return before
  }

  private remember(reservation: Reservation): void {
    this.reservations.delete(reservation.id)
    this.reservations.set(reservation.id, reservation)
    this.byKey.set(reservation.key, reservation.id)
    if (this.reservations.size <= MAX_CLOSED) return
    for (const old of this.reservations.values()) {
      if (old.state === 'open') continue
      this.reservations.delete(old.id)
      this.byKey.delete(old.key)
      return
    }
  }

  private sum({ realm, agent }: Subject, purpose: Purpose, at: number, count: Count): void {
    const { provider, model, billingCode, mission } = purpose
    const key = JSON.stringify([realm, dayOf(at), agent ?? null, model, provider, billingCode ?? null, mission ?? null])
    this.daily.set(key, added(this.daily.get(key), count))
  }
}

function dayOf(at: number): string {
  return new Date(at).toISOString().slice(0, 10)
}

function windowOf({ period, timeZone }: BudgetRecord, now: number): string {
  return periodKey(period, timeZone, now)
}

function isOfRealm({ agent, session, run }: BudgetRecord): boolean {
  return agent === undefined && session === undefined && run === undefined
}

/** Of a budget in the subject's realm. */
function applies(budget: BudgetRecord, subject: Subject): boolean {
  if (budget.agent !== undefined) return budget.agent === subject.agent
  if (budget.session !== undefined) return budget.session === subject.session
  return budget.run === undefined || budget.run === subject.run
}

function negated({ microUsd, maybe, input, output, events }: Count): Count {
  return { microUsd: -microUsd, maybe: -maybe, input: -input, output: -output, events: -events }
}

function forget(map: Map<string, unknown>, limit: number): void {
  for (const key of map.keys()) {
    if (map.size <= limit) return
    map.delete(key)
  }
}
