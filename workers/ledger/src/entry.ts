import type { Period } from '@agentos/contracts/ledger'

/** A budget as it is stored; its balance is not part of it. */
export interface BudgetRecord {
  id: string
  realm: string
  agent?: string
  session?: string
  run?: string
  period: Period
  timeZone: string
  /** Integer micro-dollars per period. */
  limit: number
  unlimited: boolean
  softThreshold: number
  hardLimit: boolean
  billingCode: string | null
  version: number
  /** Epoch milliseconds. */
  createdAt: number
  updatedAt: number
}

/** For whom money is spent. */
export interface Subject {
  realm: string
  agent?: string
  session?: string
  run?: string
}

/** What an entry changes in one account: a budget in one of its windows. Micro-dollars, negative where money comes back. */
export interface Line {
  budget: string
  window: string
  reserved: number
  spent: number
}

/** What is counted in the daily sums; negative where a booking is corrected. */
export interface Count {
  microUsd: number
  maybe: number
  input: number
  output: number
  events: number
}

export interface Purpose {
  provider: string
  model: string
  billingCode?: string
  mission?: string
}

/** What a spend was answered with, for those that come again under its key; the hash is of its input. */
export interface Booked {
  id: string
  at: number
  overdraft: boolean
  hash: string
}

type Kind =
  | { kind: 'budget'; budget: BudgetRecord }
  | { kind: 'budget_deleted'; budget: string }
  | {
      kind: 'reserve'
      reservation: string
      key: string
      call?: string
      subject: Subject
      purpose: Purpose
      affordable: number
    }
  | { kind: 'extend'; reservation: string }
  | { kind: 'settle'; reservation: string; count: Count }
  | { kind: 'maybe_charged'; reservation: string; count: Count }
  | { kind: 'release'; reservation: string }
  | { kind: 'spend'; id: string; key?: string; booked?: Booked; subject: Subject; purpose: Purpose; count: Count }

/** One transaction: everything that it changes stands in this one record, so it is there whole or not at all. */
export type Entry = Kind & {
  /** From 1, without gaps. */
  sequence: number
  /** Epoch milliseconds. */
  at: number
  lines: Line[]
}

/** An entry before it has its place. */
export type Draft = Kind & { lines: Line[] }

/** Key under which an entry is stored: sorts as the sequence does. */
export function entryKey(sequence: number): string {
  return String(sequence).padStart(15, '0')
}

/** Name of a balance. */
export function accountKey({ budget, window }: { budget: string; window: string }): string {
  return `${budget}@${window}`
}
