import { crc32 } from 'node:zlib'
import { EngineError } from '@agentos/protocol'
import { BESIDE, PAGE_BYTES, type PageSize, type StoreRecord } from '../core/ports.ts'

/** Schema of the store's database and of the data folder; a higher number on disk is refused. */
export const DATA_FORMAT = 3

/** A record as it lies on disk. `value` is JSON text; `null` marks a deletion. */
export interface StoredRow {
  partition: string
  key: string
  value: string | null
  version: number
  seq: number
  expires: number | null
  crc: number
}

/** CRC-32 over everything that a reader relies on. */
export function checksum(row: Omit<StoredRow, 'crc'>): number {
  return crc32(
    `${row.partition}\0${row.key}\0${row.version}\0${row.seq}\0${row.expires ?? ''}\0${row.value === null ? '-' : `=${row.value}`}`,
  )
}

export function checksumOfCounter(name: string, number: number): number {
  return crc32(`${name}\0${number}`)
}

export function seal(row: Omit<StoredRow, 'crc'>): StoredRow {
  return { ...row, crc: checksum(row) }
}

/** Throws `corrupt_record`, naming the place, where the row is not what was written. */
export function verify(row: StoredRow): StoredRow {
  if (checksum(row) === row.crc) return row
  throw new EngineError(
    'corrupt_record',
    `The record '${row.key}' of ${row.partition} (sequence ${row.seq}) does not match its checksum; it is not served`,
    { details: { partition: row.partition, key: row.key, seq: row.seq } },
  )
}

export function isExpired(expires: number | null | undefined, now: number): boolean {
  return expires !== null && expires !== undefined && expires <= now
}

export function isLive(row: Pick<StoredRow, 'value' | 'expires'>, now: number): boolean {
  return row.value !== null && !isExpired(row.expires, now)
}

export function toRecord(row: Omit<StoredRow, 'partition' | 'crc'>): StoreRecord {
  return {
    key: row.key,
    value: row.value === null ? undefined : JSON.parse(row.value),
    version: row.version,
    seq: row.seq,
    ...(row.expires === null ? {} : { expires: row.expires }),
  }
}

/** A change of a partition as readers of `changes` see it: what expired counts as deleted. */
export function toChange(row: StoredRow, now: number): StoreRecord & { partition: string; deleted: boolean } {
  const deleted = !isLive(row, now)
  return { ...toRecord(deleted ? { ...row, value: null } : row), partition: row.partition, deleted }
}

/** A part of what was asked for. */
export interface Page<T> {
  rows: T[]
  /** Others come behind the last of these. */
  more: boolean
}

/** What an answer has of a row beside its key and value. */
const ROW_BYTES = 50

/** The first rows, verified, as many as fit; those behind them are not read. */
export function pageOf(rows: Iterable<StoredRow>, { limit, maxBytes = PAGE_BYTES }: PageSize): Page<StoredRow> {
  const taken: StoredRow[] = []
  let bytes = 0
  for (const row of rows) {
    bytes += ROW_BYTES + Buffer.byteLength(row.key) + Buffer.byteLength(row.value ?? '')
    if (taken.length === limit || (taken.length > 0 && bytes > maxBytes)) return { rows: taken, more: true }
    taken.push(verify(row))
  }
  return { rows: taken, more: false }
}

/** The first names, as many as fit. */
export function namesOf(names: Iterable<string>, maxBytes = PAGE_BYTES): Page<string> {
  const taken: string[] = []
  let bytes = 0
  for (const name of names) {
    bytes += ROW_BYTES + Buffer.byteLength(name)
    if (taken.length > 0 && bytes > maxBytes) return { rows: taken, more: true }
    taken.push(name)
  }
  return { rows: taken, more: false }
}

/** Order of keys: by their UTF-8 bytes, as SQLite compares text. */
export function compareKeys(a: string, b: string): number {
  return a === b ? 0 : Buffer.compare(Buffer.from(a), Buffer.from(b))
}

/** An upper bound for every key that starts with a prefix, and is not beside the records. */
export function prefixEnd(prefix: string): string {
  return prefix.startsWith(BESIDE) ? BESIDE : prefix + BESIDE
}

export function isBeside(key: string): boolean {
  return key.startsWith(BESIDE)
}
