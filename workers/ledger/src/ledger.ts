import type { Exhausted } from '@agentos/contracts/ledger'
import { AgentError, newId } from '@agentos/sdk'
import type { Alert } from './alerts.ts'
import { type Account, Book, type Reservation } from './book.ts'
import { accountKey, type BudgetRecord, type Draft, type Entry, type Purpose, type Subject } from './entry.ts'
import { type Demand, fit, isHard, leftIn, linesOf, roomFor, tightest } from './fitting.ts'
import { isGuestDefault } from './guest-budget.ts'
import type { Journal } from './journal.ts'
import { Leases } from './leases.ts'
import { Queue } from './queue.ts'

export interface LedgerOptions {
  journal: Journal
  now: () => number
  /** Milliseconds that no change of the clock moves; for leases. */
  monotonic: () => number
  /** How long a reservation lives without being renewed. */
  leaseMs: number
  /** How long a call waits for money that others hold. */
  waitMs: number
  /** Hears of calls that a budget refuses. */
  onRefused: (alert: Alert) => void
}

export interface ReserveRequest extends Demand {
  key: string
  call?: string
  subject: Subject
  purpose: Purpose
}

export interface Held {
  reservation: string | null
  held: number
  affordable: number
  /** Whether one of the budgets that apply has a limit. */
  limited: boolean
  /** Why `affordable` is less than was wanted. */
  exhausted: Exhausted | null
}

export interface Spend {
  /** Books once under it; `hash` is that of the input, which has to be the same then. */
  key?: { name: string; hash: string }
  subject: Subject
  purpose: Purpose
  microUsd: number
  input: number
  output: number
}

interface Waiter {
  request: ReserveRequest
  patient: boolean
  gone: boolean
  resolve: (held: Held) => void
  reject: (error: unknown) => void
}

/** What a decision came to. */
type Decided<T> = { value: T } | { error: unknown }

const MAX_WAITING = 1_000

/** Decides and books, one transaction after the other; an answer leaves after its entry is on disk. */
export class Ledger {
  private readonly options: LedgerOptions
  private readonly queue = new Queue()
  private readonly leases: Leases
  private waiters: Waiter[] = []

  constructor(options: LedgerOptions) {
    this.options = options
    this.leases = new Leases(options.leaseMs, options.monotonic)
  }

  /** Reads what is stored. Reservations that were open get a whole lease: their holders may be alive. */
  open(): Promise<void> {
    return this.decide((book) => this.leaseAll(book))
  }

  get book(): Book {
    return this.options.journal.book
  }

  /** Decides after everything before it, at once; tells it when that is on disk, with what it was decided on. */
  async decide<T>(work: (book: Book) => T): Promise<T> {
    const { journal } = this.options
    const { decided, written } = await this.queue.run(async () => {
      const decided = await journal.decide((book) => outcomeOf(() => work(book)))
      const written = journal.written()
      await journal.keepCheckpoint()
      return { decided, written }
    })
    await written
    if ('error' in decided) throw decided.error
    return decided.value
  }

  /** Stores a budget that `change` makes of the present ones, and lets calls go on that wait for money. */
  async change(change: (book: Book) => Draft & { kind: 'budget' | 'budget_deleted' }): Promise<Entry> {
    const entry = await this.decide((book) => this.options.journal.append(change(book)))
    void this.serveWaiting()
    return entry
  }

  async reserve(request: ReserveRequest, signal: AbortSignal): Promise<Held> {
    signal.throwIfAborted()
    if (this.waiters.length >= MAX_WAITING) throw overloaded('Too many calls wait for money of their budgets')
    const { promise, resolve, reject } = Promise.withResolvers<Held>()
    const waiter: Waiter = { request, patient: true, gone: false, resolve, reject }
    this.waiters.push(waiter)
    const timer = setTimeout(() => {
      waiter.patient = false
      void this.serveWaiting()
    }, this.options.waitMs)
    const leave = () => {
      waiter.gone = true
      this.waiters = this.waiters.filter((other) => other !== waiter)
      reject(signal.reason)
      void this.serveWaiting()
    }
    signal.addEventListener('abort', leave, { once: true })
    void this.serveWaiting()
    try {
      return await promise
    } finally {
      clearTimeout(timer)
      signal.removeEventListener('abort', leave)
    }
  }

  /** What is held in all afterwards, and why it is less than `hold`. */
  extend(id: string, hold: number): Promise<{ held: number; exhausted: Exhausted | null }> {
    return this.decide((book) => {
      const reservation = this.find(book, id)
      if (reservation.state !== 'open') throw over(reservation)
      this.leases.renew(id)
      const accounts = this.accountsOf(book, reservation)
      const before = reservation.amount
      const more = roomFor(accounts, hold - before)
      const exhausted = before + more < hold ? exhaustedOf(accounts) : null
      if (more <= 0) return { held: before, exhausted }
      const lines = linesOf(reservation.accounts, { reserved: more, spent: 0 })
      this.options.journal.append({ kind: 'extend', reservation: id, lines })
      return { held: before + more, exhausted }
    })
  }

  async settle(
    id: string,
    cost: { microUsd: number; input: number; output: number; maybe: boolean },
  ): Promise<{
    spent: number
    overdraft: boolean
  }> {
    const result = await this.decide((book) => {
      const reservation = this.find(book, id)
      if (reservation.state === 'released') throw over(reservation)
      const repeated =
        reservation.state === 'settled' || (cost.maybe && reservation.state === 'maybe_charged')
          ? reservation
          : undefined
      if (!repeated) this.settleWith(reservation, cost)
      const overdraft = isOver(this.accountsOf(book, reservation))
      return { spent: repeated?.amount ?? cost.microUsd, overdraft }
    })
    void this.serveWaiting()
    return result
  }

  /** By the id of the reservation or by the key with which it was asked for; a key that holds nothing is no mistake. */
  async release(by: { id: string } | { key: string }): Promise<void> {
    await this.decide((book) => {
      const id = 'id' in by ? by.id : book.byKey.get(by.key)
      if (id !== undefined) this.giveBack(book, id)
    })
    void this.serveWaiting()
  }

  /** Books what is spent already, whether it fits or not. */
  spend({ key, subject, purpose, microUsd, input, output }: Spend): Promise<{
    id: string
    at: number
    overdraft: boolean
  }> {
    return this.decide((book) => {
      const now = this.options.now()
      const accounts = book.accounts(subject, now)
      const known = key && book.spendKeys.get(`${subject.realm}/${key.name}`)
      if (typeof known === 'string') return { id: known, at: now, overdraft: isOver(accounts) }
      if (known && known.hash !== key?.hash) {
        throw new AgentError('key_reused', 'This idempotency key stands for another cost; use a new one')
      }
      if (known) return { id: known.id, at: known.at, overdraft: known.overdraft }
      const id = newId('spn')
      const lines = linesOf(
        accounts.map(({ budget, window }) => ({ budget: budget.id, window })),
        { reserved: 0, spent: microUsd },
      )
      const overdraft = isOver(accounts, microUsd)
      const count = { microUsd, maybe: 0, input, output, events: 1 }
      const named = key ? { key: key.name, booked: { id, at: now, overdraft, hash: key.hash } } : {}
      this.options.journal.append({ kind: 'spend', id, ...named, subject, purpose, lines, count })
      return { id, at: now, overdraft }
    })
  }

  /** Reservations whose holder is silent: nobody knows whether the provider charges, so all of it counts as spent. */
  async expire(): Promise<void> {
    await this.decide((book) => this.leaseAll(book))
    for (const id of this.leases.expired()) {
      await this.decide((book) => {
        const reservation = book.reservations.get(id)
        if (!this.leases.isExpired(id)) return
        if (reservation?.state === 'open') {
          this.settleWith(reservation, { microUsd: reservation.amount, input: 0, output: 0, maybe: true })
        }
        this.leases.end(id)
      })
    }
    await this.serveWaiting()
  }

  /** Sums all entries anew; says where the balances differ, and how far the last checkpoint is behind. */
  async verify(): Promise<{ entries: number; differences: string[]; checkpoint: Journal['checkpoint'] }> {
    // As they are now; the ledger goes on while the entries are read.
    const { sequence, balances } = await this.decide((book) => ({
      sequence: book.sequence,
      balances: [...book.balances],
    }))
    const sums = new Book()
    for await (const entry of this.options.journal.entries()) {
      if (entry.sequence > sequence) break
      sums.apply(entry)
    }
    const differences: string[] = []
    if (sums.sequence !== sequence) differences.push(`${sums.sequence} entries of ${sequence} are stored`)
    for (const [key, balance] of balances) {
      const sum = sums.balances.get(key) ?? { reserved: 0, spent: 0 }
      if (sum.reserved === balance.reserved && sum.spent === balance.spent) continue
      differences.push(`${key}: ${JSON.stringify(balance)}, but the entries give ${JSON.stringify(sum)}`)
    }
    return { entries: sums.sequence, differences, checkpoint: this.options.journal.checkpoint }
  }

  private giveBack(book: Book, id: string): void {
    const reservation = this.find(book, id)
    if (reservation.state === 'released') return
    if (reservation.state === 'settled') throw over(reservation)
    if (reservation.state === 'maybe_charged') {
      this.settleWith(reservation, { microUsd: 0, input: 0, output: 0, maybe: false })
    } else {
      const lines = linesOf(reservation.accounts, { reserved: -reservation.amount, spent: 0 })
      this.options.journal.append({ kind: 'release', reservation: id, lines })
    }
    this.leases.end(id)
  }

  private settleWith(
    reservation: Reservation,
    { microUsd, input, output, maybe }: { microUsd: number; input: number; output: number; maybe: boolean },
  ): void {
    const change =
      reservation.state === 'open'
        ? { reserved: -reservation.amount, spent: microUsd }
        : { reserved: 0, spent: microUsd - reservation.amount }
    const lines = linesOf(reservation.accounts, change)
    const count = { microUsd, maybe: maybe ? microUsd : 0, input, output, events: 1 }
    this.options.journal.append({
      kind: maybe ? 'maybe_charged' : 'settle',
      reservation: reservation.id,
      lines,
      count,
    })
    this.leases.end(reservation.id)
  }

  /** In order; who comes behind somebody that waits for an account waits too where it needs the same one. */
  private async serveWaiting(): Promise<void> {
    if (this.waiters.length === 0) return
    const served = new Map<Waiter, Decided<Held>>()
    let isDecided = false
    try {
      await this.decide((book) => {
        isDecided = true
        const blocked = new Set<string>()
        for (const waiter of this.waiters) {
          const decided = outcomeOf(() => this.tryReserve(book, waiter, blocked))
          if ('error' in decided) served.set(waiter, decided)
          else if (decided.value) served.set(waiter, { value: decided.value })
        }
        this.waiters = this.waiters.filter((waiter) => !served.has(waiter))
      })
      for (const [waiter, decided] of served) this.tell(waiter, decided)
    } catch (error) {
      // Where not even the book could be read, nobody can be served.
      const failed = isDecided ? [...served.keys()] : this.waiters
      this.waiters = this.waiters.filter((waiter) => !failed.includes(waiter))
      for (const { reject } of failed) reject(error)
      // The others were judged by a book that was not on disk.
      void this.serveWaiting()
    }
  }

  private tell({ gone, resolve, reject }: Waiter, decided: Decided<Held>): void {
    if ('error' in decided) return reject(decided.error)
    resolve(decided.value)
    const { reservation } = decided.value
    // Cancelled while the entry was written: nobody will spend it.
    if (gone && reservation !== null) this.release({ id: reservation }).catch(() => {})
  }

  private tryReserve(book: Book, { request, patient }: Waiter, blocked: Set<string>): Held | undefined {
    const known = book.reservations.get(book.byKey.get(request.key) ?? '')
    if (known) {
      if (known.state !== 'open') throw over(known)
      this.leases.renew(known.id)
      const affordable = Math.max(known.amount, known.affordable)
      const accounts = this.accountsOf(book, known)
      const exhausted = affordable < request.wanted ? exhaustedOf(accounts) : null
      return { reservation: known.id, held: known.amount, affordable, limited: isLimited(accounts), exhausted }
    }
    this.bookLost(book, request)
    const accounts = book.accounts(request.subject, this.options.now())
    if (accounts.length === 0) {
      return { reservation: null, held: 0, affordable: request.wanted, limited: false, exhausted: null }
    }
    const fitting = fit(accounts, request, patient)
    const places = accounts.map(({ budget, window }) => ({ budget: budget.id, window }))
    const behind = places.some((place) => blocked.has(accountKey(place)))
    if (fitting.is === 'refused') {
      const { budget } = fitting.account
      this.options.onRefused({ ...alertOf(fitting.account), type: 'hard_limit_reached', severity: 'critical' })
      throw new AgentError('budget_exceeded', refusal(budget, fitting.left, request.minimum), {
        details: {
          budgetId: budget.id,
          limitMicroUsd: budget.limit,
          leftMicroUsd: fitting.left,
          neededMicroUsd: request.minimum,
        },
      })
    }
    if (fitting.is === 'waiting' || (behind && patient)) {
      if (fitting.is === 'waiting') for (const account of fitting.tight) blocked.add(account)
      if (patient) return undefined
      throw overloaded('Other calls hold the money that this one needs, and have not given it back in time')
    }
    const id = newId('rsv')
    const { key, call, subject, purpose } = request
    const { hold: held, affordable } = fitting
    const exhausted = affordable < request.wanted ? exhaustedOf(accounts) : null
    const billingCode = accounts.find(({ budget }) => budget.billingCode !== null)?.budget.billingCode
    this.options.journal.append({
      kind: 'reserve',
      reservation: id,
      key,
      ...(call === undefined ? {} : { call }),
      subject,
      purpose: { ...purpose, ...(billingCode ? { billingCode } : {}) },
      affordable,
      lines: linesOf(places, { reserved: held, spent: 0 }),
    })
    this.leases.renew(id)
    return { reservation: id, held, affordable, limited: isLimited(accounts), exhausted }
  }

  /** The call is made again, so whoever held money for it before is gone, and what the provider charges is not known. */
  private bookLost(book: Book, { call, key }: ReserveRequest): void {
    if (call === undefined) return
    for (const lost of book.heldBefore(call, key)) {
      this.settleWith(lost, { microUsd: lost.amount, input: 0, output: 0, maybe: true })
    }
  }

  /** Also those whose writing failed towards their caller, and which are stored all the same. */
  private leaseAll(book: Book): void {
    for (const { id, state } of book.reservations.values()) {
      if (state === 'open' && !this.leases.has(id)) this.leases.renew(id)
    }
  }

  private find(book: Book, id: string): Reservation {
    const reservation = book.reservations.get(id)
    if (!reservation) throw new AgentError('not_found', `There is no reservation ${id}`)
    return reservation
  }

  /** In the windows in which the money was held, also where a new one has begun; budgets that are gone left out. */
  private accountsOf(book: Book, { accounts }: Reservation) {
    return accounts.flatMap(({ budget: id, window }) => {
      const budget = book.budget(id)
      return budget ? [{ budget, window, balance: book.balance({ budget: id, window }) }] : []
    })
  }
}

function outcomeOf<T>(work: () => T): Decided<T> {
  try {
    return { value: work() }
  } catch (error) {
    return { error }
  }
}

function isLimited(accounts: readonly Account[]): boolean {
  return accounts.some(({ budget }) => !budget.unlimited)
}

/** Whether a hard limit is passed, with so much more spent. */
function isOver(accounts: readonly Account[], more = 0): boolean {
  return accounts.some((account) => isHard(account) && leftIn(account) < more)
}

function alertOf({ budget, window, balance }: { budget: BudgetRecord; window: string; balance: { spent: number } }) {
  return { budget, window, spent: balance.spent }
}

/** Says which of them pays for no more. */
function exhaustedOf(accounts: readonly Account[]): Exhausted | null {
  const account = tightest(accounts)
  if (!account) return null
  const { budget } = account
  const left = Math.max(0, leftIn(account))
  const message = `${nameOf(budget)} had ${dollars(left)} left for this answer, and that paid for no more of it`
  return { budgetId: budget.id, limitMicroUsd: budget.limit, leftMicroUsd: left, message }
}

function refusal(budget: BudgetRecord, left: number, minimum: number): string {
  const said = `${nameOf(budget)} has ${dollars(Math.max(0, left))} left; this call needs at least ${dollars(minimum)}`
  if (!isGuestDefault(budget)) return said
  return `${said}. A call with the owner token is not under it; the owner sets another with ledger::set_budget in the realm guest`
}

function nameOf(budget: BudgetRecord): string {
  const { agent, session, run } = budget
  const owner =
    agent !== undefined
      ? `the agent ${agent}`
      : session !== undefined
        ? `the session ${session}`
        : run !== undefined
          ? `the run ${run}`
          : `the realm ${budget.realm}`
  const per = budget.period === 'total' ? 'in all' : `per ${budget.period}`
  return `The ${isGuestDefault(budget) ? 'default ' : ''}budget of ${owner} (${dollars(budget.limit)} ${per})`
}

function dollars(microUsd: number): string {
  return `$${(microUsd / 1_000_000).toFixed(6).replace(/(\.\d{2}\d*?)0+$/, '$1')}`
}

function over({ id, state }: Reservation): AgentError {
  return new AgentError('conflict', `The reservation ${id} is over: it was ${state.replace('_', ' ')}`)
}

function overloaded(message: string): AgentError {
  return new AgentError('overloaded', `${message}; try again shortly`, { details: { retryAfterMs: 1_000 } })
}
