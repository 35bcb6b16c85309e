import { InvocationError } from '@agentos/sdk'
import { StateDouble } from '@agentos/testing'
import { Alarms } from './alarms.ts'
import type { Alert } from './alerts.ts'
import type { Subject } from './entry.ts'
import { guestBudget } from './guest-budget.ts'
import { Journal } from './journal.ts'
import { Ledger, type ReserveRequest } from './ledger.ts'

export const REALM: Subject = { realm: 'r' }
export const never = new AbortController().signal

/** A ledger on a state in memory, with a clock by hand, that can die and come back. */
export class Bench {
  readonly state = new StateDouble({ scopes: ['ledger-entries', 'ledger-checkpoint'] })
  readonly alerts: Alert[] = []
  /** Why checkpoints could not be written; `undefined`: now they can. */
  readonly problems: unknown[] = []
  alarms!: Alarms
  /** Nothing is told before; a process that dies before it tells never does. */
  mayTell: Promise<void> | undefined
  now = Date.parse('2026-11-22T12:00:00Z')
  ledger: Ledger
  private readonly waitMs: number
  /** What guests may spend a day by default; null lifts it. */
  guestCents: number | null = 500
  private keys = 0

  constructor(waitMs = 60_000) {
    this.waitMs = waitMs
    this.ledger = this.made()
  }

  /** The engine is lost at the next write, before it is stored or after. */
  fail(when: 'before' | 'after'): void {
    const fail = (functionId: string): void => {
      if (functionId !== 'state::set') return
      this.heal()
      throw new InvocationError({ code: 'engine_lost', message: `${when} it was stored` })
    }
    if (when === 'before') this.state.intercept(fail)
    else this.state.whenStored(fail)
  }

  heal(): void {
    this.state.intercept(undefined)
    this.state.whenStored(undefined)
  }

  /** As after kill -9: only what is stored is known. */
  async restart(): Promise<void> {
    this.ledger = this.made()
    await this.open()
  }

  /** Reads what is stored. */
  async open(): Promise<void> {
    await this.alarms.open()
    await this.ledger.open()
    await this.alarms.begin(this.ledger.book.sequence)
  }

  async budget(limit: number, more: object = {}): Promise<string> {
    const id = `bgt-${++this.keys}`
    await this.ledger.change(() => ({
      kind: 'budget',
      lines: [],
      budget: {
        id,
        ...REALM,
        period: 'total',
        timeZone: 'UTC',
        limit,
        unlimited: false,
        softThreshold: 0.8,
        hardLimit: true,
        billingCode: null,
        version: 1,
        createdAt: this.now,
        updatedAt: this.now,
        ...more,
      },
    }))
    return id
  }

  request(hold: number, more: Partial<ReserveRequest> = {}): ReserveRequest {
    const purpose = { provider: 'p', model: 'm' }
    const key = `key-${++this.keys}`
    return { key, subject: REALM, purpose, minimum: Math.min(hold, 1), hold, wanted: hold, ...more }
  }

  reserve(hold: number, more: Partial<ReserveRequest> = {}) {
    return this.ledger.reserve(this.request(hold, more), never)
  }

  settle(id: string, microUsd: number, maybe = false) {
    return this.ledger.settle(id, { microUsd, input: 1, output: 1, maybe })
  }

  balance(budget: string, window = 'total') {
    return this.ledger.book.balance({ budget, window })
  }

  private made(): Ledger {
    const now = () => this.now
    const { client: state } = this.state
    const publish = async (alert: Alert): Promise<void> => {
      await this.mayTell
      this.alerts.push(alert)
    }
    this.alarms = new Alarms({ state, publish, log: { warn: () => {} } })
    const { alarms } = this
    const journal = new Journal({
      state,
      now,
      fallback: guestBudget(this.guestCents, this.now),
      onCheckpoint: (error) => this.problems.push(error),
      onAlerts: (alerts, sequence) => alarms.raise(alerts, sequence),
    })
    const onRefused = (alert: Alert) => alarms.raise([alert])
    return new Ledger({ journal, now, monotonic: now, leaseMs: 1_000, waitMs: this.waitMs, onRefused })
  }
}
