import { crc32 } from 'node:zlib'
import { EngineError } from '@agentos/protocol'
import { BESIDE, type StoreRecord } from '../core/ports.ts'

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
