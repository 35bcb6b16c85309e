import type { DatabaseSync } from 'node:sqlite'
import { formatOf } from './migrations.ts'
import { checksum, checksumOfCounter, type StoredRow } from './record.ts'
import { COLUMNS, toRow } from './record-database.ts'

/** One thing that is not as it was written. */
export type Damage =
  | { kind: 'log'; path: string; offset: number; text: string }
  | { kind: 'record'; partition: string; key: string; seq: number; text: string }
  | { kind: 'counter'; name: string; text: string }
  | { kind: 'structure'; text: string }
  /** Records that were acknowledged are not there at all. */
  | { kind: 'missing'; text: string }

/** What a walk over records has seen so far; `done` says whether that is all of them. */
export interface Walk {
  records: number
  live: number
  partitions: Set<string>
  lastSeq: number
  /** Number of the last row that was read. */
  lastRow: number
  damage: Damage[]
  done: boolean
}

const SLICE = 500

export function beginWalk(): Walk {
  return { records: 0, live: 0, partitions: new Set(), lastSeq: 0, lastRow: 0, damage: [], done: false }
}

/** Checks the next records, in the order of their rows. */
export function walkOn(db: DatabaseSync, walk: Walk): void {
  const rows = db
    .prepare(
      `SELECT rowid AS number, ${COLUMNS} FROM records NOT INDEXED WHERE rowid > ? ORDER BY rowid LIMIT ${SLICE}`,
    )
    .all(walk.lastRow)
  for (const each of rows) {
    const row = toRow(each)
    walk.records += 1
    if (row.value !== null) walk.live += 1
    walk.partitions.add(row.partition)
    walk.lastSeq = Math.max(walk.lastSeq, row.seq)
    walk.lastRow = Number(each.number)
    if (checksum(row) !== row.crc) walk.damage.push(damagedRecord(row))
  }
  walk.done = rows.length < SLICE
}

export function damagedRecord(row: StoredRow): Damage {
  const { partition, key, seq } = row
  const text = `the record '${key}' of ${partition} (sequence ${seq}) does not match its checksum`
  return { kind: 'record', partition, key, seq, text }
}

/** What SQLite finds wrong in trees and indexes, and counters that are not what was written. */
export function checkStructure(db: DatabaseSync): Damage[] {
  const found: Damage[] = []
  try {
    for (const { integrity_check: text } of db.prepare('PRAGMA integrity_check(20)').all()) {
      if (text !== 'ok') found.push({ kind: 'structure', text: String(text) })
    }
    if (formatOf(db) < 2) return found
    for (const { name, number, crc } of db.prepare('SELECT name, number, crc FROM counters').all()) {
      if (checksumOfCounter(String(name), Number(number)) === crc) continue
      found.push({ kind: 'counter', name: String(name), text: `the counter '${name}' does not match its checksum` })
    }
  } catch (error) {
    found.push({ kind: 'structure', text: error instanceof Error ? error.message : String(error) })
  }
  return found
}
