import { overloaded } from '../../core/overload.ts'
import type { Clock, Store } from '../../core/ports.ts'
import { KEPT_MS, KEYS, type KeyRecord, type Slot } from './record.ts'

export interface ShelfLimits {
  /** Keys of one principal of a realm. */
  kept: number
  /** Bytes of the results under them. */
  bytes: number
}

interface Entry {
  createdAt: number
  bytes: number
  decided: boolean
}

interface Row {
  /** Oldest first. */
  entries: Map<string, Entry>
  bytes: number
}

const PAGE = 500
/** Beside its result: names, hash and what the store adds. */
const RECORD_BYTES = 300

/**
 * Which keys are on disk, oldest first for each principal, so that they stay bounded: past the bound the oldest whose
 * call is decided give way. It knows no results and no keys, only what to forget.
 */
export class Shelf {
  private readonly limits: ShelfLimits
  private readonly store: Store
  private readonly clock: Clock
  private readonly rows = new Map<string, Row>()

  constructor(limits: ShelfLimits, store: Store, clock: Clock) {
    this.limits = limits
    this.store = store
    this.clock = clock
  }

  /** Keys that are remembered. */
  get size(): number {
    let size = 0
    for (const { entries } of this.rows.values()) size += entries.size
    return size
  }

  /** A key is about to be noted. Throws where the bound is reached and none of the keys may be forgotten. */
  add({ partition, key }: Slot): void {
    const row = this.rowOf(partition)
    this.forget(row, partition)
    if (row.entries.size >= this.limits.kept && !row.entries.has(key)) {
      throw overloaded(
        `${row.entries.size} calls with an idempotency key are undecided; try again when some have ended`,
      )
    }
    this.put(row, key, { createdAt: this.clock.now(), bytes: RECORD_BYTES, decided: false })
  }

  /** Its result, of about so many bytes, is being recorded. */
  decide({ partition, key }: Slot, bytes: number): void {
    const row = this.rowOf(partition)
    const createdAt = row.entries.get(key)?.createdAt ?? this.clock.now()
    this.put(row, key, { createdAt, bytes: RECORD_BYTES + bytes, decided: true })
  }

  remove({ partition, key }: Slot): void {
    const row = this.rows.get(partition)
    if (!row) return
    this.drop(row, key)
    if (row.entries.size === 0) this.rows.delete(partition)
  }

  /** Reads what an earlier engine left. Keys are served before it is done; only the bound comes a little later. */
  restore(after?: string): void {
    this.store.partitions(KEYS, after === undefined ? {} : { after }, (partitions, _error, next) => {
      for (const partition of partitions) this.restoreRow(partition, [], undefined)
      if (next !== undefined) this.restore(next)
    })
  }

  private restoreRow(partition: string, found: [string, Entry][], after: string | undefined): void {
    this.store.range(partition, { limit: PAGE, ...(after === undefined ? {} : { after }) }, (records, _error, next) => {
      for (const { key, value } of records) {
        const { created_at: createdAt, outcome } = value as KeyRecord
        const bytes = RECORD_BYTES + (outcome ? JSON.stringify(outcome).length : 0)
        found.push([key, { createdAt, bytes, decided: outcome !== undefined }])
      }
      if (next !== undefined) return this.restoreRow(partition, found, next)
      const row = this.rowOf(partition)
      const since = [...row.entries]
      const known = new Map(since)
      found.sort(([, a], [, b]) => a.createdAt - b.createdAt)
      row.entries = new Map([...found.filter(([key]) => !known.has(key)), ...since])
      row.bytes = 0
      for (const { bytes } of row.entries.values()) row.bytes += bytes
      this.forget(row, partition)
      if (row.entries.size === 0) this.rows.delete(partition)
    })
  }

  /** Makes room for one more: what the store has let go by itself, and past the bounds the oldest that are decided. */
  private forget(row: Row, partition: string): void {
    const expired = this.clock.now() - KEPT_MS
    for (const [key, { createdAt, decided }] of row.entries) {
      const over = row.entries.size >= this.limits.kept || row.bytes > this.limits.bytes
      if (createdAt > expired && !over) return
      if (createdAt > expired && !decided) continue
      this.drop(row, key)
      if (createdAt > expired) this.store.write([{ op: 'delete', partition, key }], () => {})
    }
  }

  private rowOf(partition: string): Row {
    let row = this.rows.get(partition)
    if (!row) {
      row = { entries: new Map(), bytes: 0 }
      this.rows.set(partition, row)
    }
    return row
  }

  private put(row: Row, key: string, entry: Entry): void {
    row.bytes += entry.bytes - (row.entries.get(key)?.bytes ?? 0)
    row.entries.set(key, entry)
  }

  private drop(row: Row, key: string): void {
    row.bytes -= row.entries.get(key)?.bytes ?? 0
    row.entries.delete(key)
  }
}
