import { backup, DatabaseSync, type SQLOutputValue, type StatementSync } from 'node:sqlite'
import { EngineError, type ErrorBody } from '@agentos/protocol'
import { BESIDE, type PageSize } from '../core/ports.ts'
import { judge, type StoredBatch, slotOf } from './batch.ts'
import { diskError, isOfOneBatch } from './disk-error.ts'
import { assertSupported, migrate } from './migrations.ts'
import { checksumOfCounter, namesOf, type Page, pageOf, prefixEnd, type StoredRow, seal } from './record.ts'
import { SyncedMark } from './synced-mark.ts'

/** `versions` has one entry a write. */
export type BatchOutcome = { ok: true; versions: number[] } | { ok: false; error: ErrorBody }

export const COLUMNS = 'seq, partition, key, value, version, expires, crc'

/** Adds a record; its row's number is the sequence of this first write. Parameters in the order of `COLUMNS`. */
export const INSERT =
  'INSERT INTO records (created_seq, partition, key, value, version, expires, crc) VALUES (?, ?, ?, ?, ?, ?, ?)'

/** The same, or in its place what is written now. */
const PUT = `${INSERT} ON CONFLICT (partition, key) DO UPDATE SET updated_seq = excluded.created_seq,
  value = excluded.value, version = excluded.version, expires = excluded.expires, crc = excluded.crc`

/** The records' file, as the store's thread holds it: one writer, and the reads that may take long. */
export class RecordDatabase {
  private readonly path: string
  private db: DatabaseSync
  private statements: Map<string, StatementSync> = new Map()
  private broken = false
  /** Highest sequence that the transaction under way has written. */
  private written = 0
  private readonly mark: SyncedMark

  /** Migrates what an older version wrote. Throws `data_too_new` for a database of a newer version. */
  constructor(path: string) {
    this.path = path
    this.mark = new SyncedMark(path)
    this.db = this.open()
  }

  private open(): DatabaseSync {
    const db = new DatabaseSync(this.path, { timeout: 200 })
    assertSupported(db, this.path)
    db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 2000')
    db.exec('PRAGMA journal_size_limit = 67108864; PRAGMA cache_size = -16384')
    if (process.platform === 'darwin') db.exec('PRAGMA fullfsync = 1; PRAGMA checkpoint_fullfsync = 1')
    migrate(db)
    return db
  }

  lastSeq(): number {
    return Math.max(lastSeqOf(this.db), this.counter('last_seq'))
  }

  /** One transaction for all batches; returns after it is on disk. A batch that may not happen fails alone. */
  commit(batches: readonly StoredBatch[], now: number): BatchOutcome[] {
    try {
      if (this.broken) this.reopen()
      this.db.exec('BEGIN IMMEDIATE')
      this.written = 0
      const outcomes = batches.map((batch) => this.apply(batch, now))
      this.db.exec('COMMIT')
      this.mark.advance(this.written)
      return outcomes
    } catch (error) {
      this.rollback()
      if (isOfOneBatch(error) && batches.length > 1) return batches.flatMap((batch) => this.commit([batch], now))
      // After a failed sync nobody knows what the connection's caches are worth.
      this.broken = !isOfOneBatch(error)
      const body = diskError(error)
      return batches.map(() => ({ ok: false, error: body }))
    }
  }

  private apply(batch: StoredBatch, now: number): BatchOutcome {
    const verdict = judge(batch, (key) => slotOf(this.row(batch.partition, key), now))
    if (!verdict.ok) return verdict
    const put = this.prepare(PUT)
    batch.writes.forEach((write, index) => {
      if (!verdict.changes[index]) return
      const { key, json: value, seq, expires } = write
      const row = seal({ partition: batch.partition, key, value, version: verdict.versions[index] ?? 0, seq, expires })
      put.run(row.seq, row.partition, row.key, row.value, row.version, row.expires, row.crc)
      this.written = Math.max(this.written, row.seq)
    })
    return { ok: true, versions: verdict.versions }
  }

  /** Reads no further than its page goes. */
  range(partition: string, options: { prefix?: string; after?: string } & PageSize, now: number): Page<StoredRow> {
    const { prefix = '', after, limit } = options
    const further = after !== undefined && Buffer.compare(Buffer.from(after), Buffer.from(prefix)) >= 0
    const rows = this.prepare(
      `SELECT ${COLUMNS} FROM records WHERE partition = ? AND key ${further ? '>' : '>='} ? AND key < ?
       AND value IS NOT NULL AND (expires IS NULL OR expires > ?) ORDER BY key LIMIT ?`,
    ).iterate(partition, further ? after : prefix, prefixEnd(prefix), now, limit + 1)
    return pageOf(mapped(rows, toRow), options)
  }

  /** Jumps from partition to partition along the index, so that large ones cost no more than small ones. */
  partitions(prefix: string, options: { after?: string; maxBytes?: number }, now: number): Page<string> {
    const next = (from: '>=' | '>') =>
      this.prepare(
        `SELECT partition FROM records INDEXED BY records_by_partition WHERE partition ${from} ? AND partition < ?
         AND value IS NOT NULL AND (expires IS NULL OR expires > ?) AND key < ? ORDER BY partition LIMIT 1`,
      )
    return namesOf(this.walk(prefix, next, options.after, now, BESIDE), options.maxBytes)
  }

  changes(prefix: string, options: { after: number } & PageSize): Page<StoredRow> {
    const pruned = this.counter('pruned_seq')
    if (options.after > 0 && options.after < pruned) {
      throw new EngineError(
        'history_pruned',
        `Deletions up to sequence ${pruned} are forgotten, so changes after ${options.after} would miss some; start again from 0`,
        { details: { pruned } },
      )
    }
    const bySeq = this.prepare(
      `SELECT ${COLUMNS} FROM records INDEXED BY records_by_partition WHERE partition = ? AND seq = ?`,
    )
    const places = this.changedAfter(prefix, options.after, options.limit + 1)
    return pageOf(
      mapped(places, ({ partition, seq }) => toRow(bySeq.get(partition, seq)!)),
      options,
    )
  }

  /** Where the next `count` changes lie, by seq; what they hold is not read. */
  private changedAfter(prefix: string, after: number, count: number): { partition: string; seq: number }[] {
    const next = (from: '>=' | '>') =>
      this.prepare(
        `SELECT partition FROM records WHERE partition ${from} ? AND partition < ? ORDER BY partition LIMIT 1`,
      )
    const ofOne = this.prepare(
      `SELECT seq FROM records INDEXED BY records_by_partition
       WHERE partition = ? AND seq > ? AND seq < ? AND key < ? ORDER BY seq LIMIT ?`,
    )
    let places: { partition: string; seq: number }[] = []
    let end = Number.MAX_SAFE_INTEGER
    const cut = (): void => {
      places = places.sort((a, b) => a.seq - b.seq).slice(0, count)
      if (places.length === count) end = places.at(-1)!.seq
    }
    for (const partition of this.walk(prefix, next, undefined)) {
      for (const { seq } of ofOne.iterate(partition, after, end, BESIDE, count)) {
        places.push({ partition, seq: Number(seq) })
      }
      if (places.length > 2 * count) cut()
    }
    cut()
    return places
  }

  /** Records whose time is up, oldest first. */
  expired(now: number, limit: number): { partition: string; key: string; version: number }[] {
    const rows = this.prepare(
      'SELECT partition, key, version FROM records WHERE expires IS NOT NULL AND expires <= ? ORDER BY expires LIMIT ?',
    ).all(now, limit)
    return rows.map((row) => ({
      partition: String(row.partition),
      key: String(row.key),
      version: Number(row.version),
    }))
  }

  /** Forgets all but the latest `keep` deletions; how far is remembered, for readers of `changes`. */
  prune(keep: number): void {
    const oldest = this.prepare(
      'SELECT seq FROM records INDEXED BY records_deleted WHERE value IS NULL ORDER BY seq DESC LIMIT 1 OFFSET ?',
    ).get(keep)
    if (!oldest) return
    const last = this.lastSeq()
    this.db.exec('BEGIN IMMEDIATE')
    try {
      this.prepare('DELETE FROM records WHERE value IS NULL AND seq <= ?').run(Number(oldest.seq))
      this.setCounter('pruned_seq', Number(oldest.seq))
      this.setCounter('last_seq', last)
      this.db.exec('COMMIT')
      this.mark.advance(last)
    } catch (error) {
      this.rollback()
      throw error
    }
  }

  /** Copies what is committed now, step by step on another thread, while commits go on. */
  async copyTo(path: string): Promise<void> {
    // Of its own, and in one read transaction: it neither waits for our writes nor begins again at each of them.
    const source = new DatabaseSync(this.path, { readOnly: true, timeout: 1_000 })
    try {
      source.exec('BEGIN; SELECT count(*) FROM counters')
      await backup(source, path, { rate: 1_024 })
    } finally {
      source.close()
    }
  }

  close(): void {
    this.mark.close()
    this.db.close()
  }

  private row(partition: string, key: string): StoredRow | undefined {
    const row = this.prepare(`SELECT ${COLUMNS} FROM records WHERE partition = ? AND key = ?`).get(partition, key)
    return row && toRow(row)
  }

  /** Partitions under a prefix and behind `after`, each found from the one before. */
  private *walk(
    prefix: string,
    next: (from: '>=' | '>') => StatementSync,
    after: string | undefined,
    ...more: (number | string)[]
  ): Generator<string> {
    const end = prefixEnd(prefix)
    let found = after === undefined ? next('>=').get(prefix, end, ...more) : next('>').get(after, end, ...more)
    while (found) {
      const name = String(found.partition)
      yield name
      found = next('>').get(name, end, ...more)
    }
  }

  private counter(name: string): number {
    const row = this.prepare('SELECT number, crc FROM counters WHERE name = ?').get(name)
    if (!row) return 0
    const number = Number(row.number)
    if (checksumOfCounter(name, number) === row.crc) return number
    throw new EngineError('corrupt_record', `The counter '${name}' of ${this.path} does not match its checksum`)
  }

  private setCounter(name: string, number: number): void {
    const sql = 'INSERT OR REPLACE INTO counters (name, number, crc) VALUES (?, ?, ?)'
    this.prepare(sql).run(name, number, checksumOfCounter(name, number))
  }

  private prepare(sql: string): StatementSync {
    let statement = this.statements.get(sql)
    if (!statement) {
      statement = this.db.prepare(sql)
      this.statements.set(sql, statement)
    }
    return statement
  }

  private rollback(): void {
    try {
      if (this.db.isTransaction) this.db.exec('ROLLBACK')
    } catch {
      this.broken = true
    }
  }

  private reopen(): void {
    this.statements = new Map()
    try {
      this.db.close()
    } catch {
      // It could not be used any more; that is why it is opened anew.
    }
    this.db = this.open()
    this.mark.forget()
    this.broken = false
  }
}

/** The highest sequence of a record, of any format; from partition to partition, for only within one there is an index. */
export function lastSeqOf(db: DatabaseSync): number {
  const { seq } = db
    .prepare(
      `WITH RECURSIVE partitions (name) AS (
         SELECT min(partition) FROM records
         UNION ALL
         SELECT (SELECT min(partition) FROM records WHERE partition > name) FROM partitions WHERE name IS NOT NULL
       )
       SELECT max((SELECT max(seq) FROM records WHERE partition = name)) AS seq FROM partitions`,
    )
    .get() as { seq: number | null }
  return seq ?? 0
}

/** One by one, as they are asked for. */
function* mapped<A, B>(items: Iterable<A>, map: (item: A) => B): Generator<B> {
  for (const item of items) yield map(item)
}

export function toRow(row: Record<string, SQLOutputValue>): StoredRow {
  return {
    seq: Number(row.seq),
    partition: String(row.partition),
    key: String(row.key),
    value: row.value === null ? null : String(row.value),
    version: Number(row.version),
    expires: row.expires === null ? null : Number(row.expires),
    crc: Number(row.crc),
  }
}
