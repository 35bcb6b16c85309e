import { existsSync, statSync } from 'node:fs'
import type { DatabaseSync } from 'node:sqlite'
import { wasUsed } from './data-format.ts'
import { formatOf } from './migrations.ts'
import { lastSeqOf } from './record-database.ts'
import type { Mark } from './synced-mark.ts'

/** What tells of the records that a folder had, without them. */
export interface Known {
  /** It had a store: see `wasUsed`. */
  used: boolean
  /** Records up to this sequence were acknowledged: see `SyncedMark`. */
  seq: number
}

/** `mark` is the one of the folder's store. */
export function knownOf(folder: string, mark: Mark | undefined): Known {
  return { used: wasUsed(folder), seq: mark?.seq ?? 0 }
}

/** Whether there is no database at all: no file, or an empty one. */
export function isAbsent(path: string): boolean {
  return !existsSync(path) || statSync(path).size === 0
}

/** Says what is missing where there is no database, although there was one. */
export function lossWithout(path: string, { used, seq }: Known): string | undefined {
  if (!used && seq === 0) return undefined
  return `${path} is missing${existsSync(path) ? ': it is empty' : ''}, and its folder was used${upTo(seq)}`
}

/** Says what is missing of what was acknowledged. A log that is gone is no loss where the database holds all of it. */
export function lossIn(db: DatabaseSync, path: string, { used, seq }: Known): string | undefined {
  if (formatOf(db) === 0) {
    return used || seq > 0
      ? `${path} holds nothing, and its folder was used${upTo(seq)}; its log is missing`
      : undefined
  }
  const last = lastKnownSeq(db)
  if (last >= seq) return undefined
  return `${path} holds records up to sequence ${last}${upTo(seq)}; its log, or a newer file, is missing`
}

const upTo = (seq: number): string => (seq === 0 ? '' : `, and records up to sequence ${seq} were acknowledged`)

function lastKnownSeq(db: DatabaseSync): number {
  const counter = db.prepare("SELECT number FROM counters WHERE name = 'last_seq'").get()
  return Math.max(lastSeqOf(db), Number(counter?.number ?? 0))
}
