import type { StoredBatch, StoredWrite } from './batch.ts'
import type { StoredRow } from './record.ts'
import type { BatchOutcome } from './record-database.ts'

/** A row as readers of one key need it. */
export type CommittedRow = Omit<StoredRow, 'partition' | 'crc'>

interface Entry {
  /** `undefined` where the disk has no row of the key. */
  row: CommittedRow | undefined
  bytes: number
}

/** Values above this size are read from the disk each time, so that one of them does not push out all others. */
const LARGEST = 16 * 1024

/**
 * Rows that were read from the disk lately, kept up to date by what is committed since: to read a row through SQLite after
 * each commit means to read its pages anew. A commit changes only what is here and never adds to it. So what is
 * here is never older than what was read before: a row leaves, and comes back only from the disk.
 */
export class RecentRows {
  private readonly entries = new Map<string, Entry>()
  private readonly maxBytes: number
  private bytes = 0

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes
  }

  /** The row, or `undefined` for a key without one, as the disk says where it is not here. */
  get(partition: string, key: string, read: () => CommittedRow | undefined): CommittedRow | undefined {
    const id = idOf(partition, key)
    const entry = this.entries.get(id)
    if (!entry) {
      const row = read()
      this.keep(id, row)
      return row
    }
    // The map's order is that of their last use.
    this.entries.delete(id)
    this.entries.set(id, entry)
    return entry.row
  }

  /** To be told of each batch in the order in which they were committed. */
  settle(batch: StoredBatch, outcome: BatchOutcome): void {
    batch.writes.forEach((write, index) => {
      const id = idOf(batch.partition, write.key)
      const entry = this.entries.get(id)
      if (!entry) return
      if (outcome.ok) this.update(id, entry.row, write, outcome.versions[index] ?? 0)
      else this.drop(id)
    })
  }

  clear(): void {
    this.entries.clear()
    this.bytes = 0
  }

  private update(id: string, row: CommittedRow | undefined, write: StoredWrite, version: number): void {
    const { op, key, json: value, seq, expires } = write
    const isReadSince = row !== undefined && row.seq >= seq
    const changesNothing = op !== 'put' && (row?.value ?? null) === null
    if (!isReadSince && !changesNothing) this.keep(id, { key, value, version, seq, expires })
  }

  private keep(id: string, row: CommittedRow | undefined): void {
    this.drop(id)
    const size = row?.value?.length ?? 0
    if (size > LARGEST) return
    const bytes = 2 * (id.length + size) + 200
    this.entries.set(id, { row, bytes })
    this.bytes += bytes
    for (const oldest of this.entries.keys()) {
      if (this.bytes <= this.maxBytes) break
      this.drop(oldest)
    }
  }

  private drop(id: string): void {
    const entry = this.entries.get(id)
    if (!entry) return
    this.entries.delete(id)
    this.bytes -= entry.bytes
  }
}

function idOf(partition: string, key: string): string {
  return `${partition}\0${key}`
}
