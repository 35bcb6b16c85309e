import { join } from 'node:path'
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { EngineError, type ErrorBody } from '@agentos/protocol'
import {
  BESIDE,
  type Clock,
  type Log,
  type PageSize,
  type Store,
  type StoreOutcome,
  type StoreRecord,
  type StoreWrite,
} from '../core/ports.ts'
import type { BackupManifest } from './backup.ts'
import { accepted, judge, type Slot, type StoredBatch, slotOf, toStoredBatch } from './batch.ts'
import { diskError } from './disk-error.ts'
import type { Answer } from './messages.ts'
import { Overlay } from './overlay.ts'
import { type CommittedRow, RecentRows } from './recent-rows.ts'
import { isExpired, isLive, type StoredRow, toChange, toRecord, verify } from './record.ts'
import type { BatchOutcome } from './record-database.ts'
import { SqliteTraceStore } from './sqlite-trace-store.ts'
import { StoreLock } from './store-lock.ts'
import { StoreThread } from './store-thread.ts'
import { DEFAULT_TRACE_BOUNDS, type TraceBounds } from './trace-store.ts'

export interface SqliteStoreOptions {
  /** The data folder; `store.sqlite`, `traces.sqlite` and `format` lie in it. Created where it is missing. */
  folder: string
  /** The thread's file: `dist/store-thread.mjs`, or `thread.ts` from source. */
  threadUrl: URL
  clock: Clock
  log: Log
  limits?: Partial<StoreLimits>
  traces?: Partial<TraceBounds>
}

export interface StoreLimits {
  /** Bytes of accepted writes that may wait for the disk; past it a write is `overloaded`. @default 64 MiB */
  pendingBytes: number
  /** Longest time after which a relaxed write is on its way to the disk, in milliseconds. @default 50 */
  relaxedMs: number
  /** Deletions that are remembered for readers of `changes`. @default 100000 */
  deletions: number
  /** How often expired records are turned into deletions, in milliseconds. @default 30000 */
  sweepMs: number
  /** How often a disk that refused a write is tried again, in milliseconds. @default 1000 */
  probeMs: number
}

const DEFAULT_LIMITS: StoreLimits = {
  pendingBytes: 64 * 1024 * 1024,
  relaxedMs: 50,
  deletions: 100_000,
  sweepMs: 30_000,
  probeMs: 1_000,
}

/** So many writes of one turn of the event loop do not wait for its end: the disk works while the rest is read. */
const FLUSHED_AT_ONCE = 16

/** Of rows that are kept to be read again. */
const RECENT_BYTES = 4 * 1024 * 1024

const PROBE = { partition: 'store', key: `${BESIDE}probe` }

interface Queued {
  batch: StoredBatch
  bytes: number
  done: ((outcome: StoreOutcome) => void) | undefined
}

/**
 * Opens the data folder, which is then locked until the store is closed or its process ends. Rejects with `store_in_use`,
 * `data_too_new`, `data_missing`, `corrupt_record` or `store_unavailable`, each with its place.
 */
export async function openSqliteStore(options: SqliteStoreOptions): Promise<SqliteStore> {
  const data = { folder: options.folder, traces: { ...DEFAULT_TRACE_BOUNDS, ...options.traces } }
  const lock = StoreLock.take(options.folder)
  try {
    const { thread, lastSeq } = await StoreThread.start(options.threadUrl, data, options.log)
    return new SqliteStore(options, lock, thread, lastSeq)
  } catch (error) {
    lock.release()
    throw error
  }
}

/**
 * The embedded store. Point reads are answered here, from a read-only connection; writes are collected over one turn
 * of the event loop and go to the thread together, which answers after they are on disk.
 */
export class SqliteStore implements Store {
  /** The traces' file, served by the same thread. */
  readonly traces: SqliteTraceStore
  private readonly clock: Clock
  private readonly log: Log
  private readonly limits: StoreLimits
  private readonly lock: StoreLock
  private readonly thread: StoreThread
  private readonly reader: DatabaseSync
  private readonly byKey: StatementSync
  private readonly recent = new RecentRows(RECENT_BYTES)
  private readonly overlay = new Overlay()
  private readonly sweeper: NodeJS.Timeout
  private queue: Queued[] = []
  private pendingBytes = 0
  private flushSoon: NodeJS.Immediate | undefined
  private flushLater: NodeJS.Timeout | undefined
  private closed = false
  private seq: number
  private refusal: string | undefined
  private unreadable: string | undefined
  private probe: NodeJS.Timeout | undefined
  private readProbe: NodeJS.Timeout | undefined

  constructor(options: SqliteStoreOptions, lock: StoreLock, thread: StoreThread, lastSeq: number) {
    this.clock = options.clock
    this.log = options.log
    this.limits = { ...DEFAULT_LIMITS, ...options.limits }
    this.lock = lock
    this.thread = thread
    this.seq = lastSeq
    this.traces = new SqliteTraceStore(thread, options.clock, options.log)
    this.reader = new DatabaseSync(join(options.folder, 'store.sqlite'), { readOnly: true, timeout: 200 })
    this.byKey = this.reader.prepare(
      'SELECT seq, value, version, expires, crc FROM records WHERE partition = ? AND key = ?',
    )
    this.sweeper = setInterval(() => this.sweep(), this.limits.sweepMs).unref()
  }

  get(partition: string, key: string): StoreRecord | undefined {
    const row = this.committed(partition, key)
    return row && isLive(row, this.clock.now()) ? toRecord(row) : undefined
  }

  latest(partition: string, key: string): StoreRecord | undefined {
    const pending = this.overlay.latest(partition, key)
    if (!pending) return this.get(partition, key)
    if (pending.value === null || isExpired(pending.expires, this.clock.now())) return undefined
    return toRecord(pending)
  }

  nextVersion(partition: string, key: string): number {
    return this.slot(partition, key).version + 1
  }

  settled(partition: string, key: string, done: () => void): void {
    this.overlay.whenSettled(partition, key, done)
  }

  write(writes: StoreWrite[], done: (outcome: StoreOutcome) => void, options: { relaxed?: boolean } = {}): void {
    try {
      this.accept(writes, done, options.relaxed ?? false)
    } catch (error) {
      if (!(error instanceof EngineError)) throw error
      const body = error.toBody()
      queueMicrotask(() => done({ ok: false, error: body }))
    }
  }

  range(
    partition: string,
    options: { prefix?: string; after?: string } & PageSize,
    done: (records: StoreRecord[], error?: ErrorBody, next?: string) => void,
  ): void {
    this.flush()
    this.thread.request({ type: 'range', now: this.clock.now(), partition, ...options }, (answer) => {
      if (!answer.ok) return done([], answer.error)
      const { rows, more } = answer.value
      done(rows.map(toRecord), undefined, more ? rows.at(-1)!.key : undefined)
    })
  }

  partitions(
    prefix: string,
    options: { after?: string; maxBytes?: number },
    done: (names: string[], error?: ErrorBody, next?: string) => void,
  ): void {
    this.flush()
    this.thread.request({ type: 'partitions', now: this.clock.now(), prefix, ...options }, (answer) => {
      if (!answer.ok) return done([], answer.error)
      const { rows, more } = answer.value
      done(rows, undefined, more ? rows.at(-1) : undefined)
    })
  }

  changes(
    prefix: string,
    options: { after: number } & PageSize,
    done: (
      changes: (StoreRecord & { partition: string; deleted: boolean })[],
      error?: ErrorBody,
      next?: number,
    ) => void,
  ): void {
    this.flush()
    const now = this.clock.now()
    this.thread.request({ type: 'changes', prefix, ...options }, (answer) => {
      if (!answer.ok) return done([], answer.error)
      const { rows, more } = answer.value
      done(
        rows.map((row) => toChange(row, now)),
        undefined,
        more ? rows.at(-1)!.seq : undefined,
      )
    })
  }

  /**
   * Copies the records, with every write that was accepted before, into a new file `target` with its manifest beside it; everything else
   * goes on meanwhile. Secrets, tokens, logs, traces and indexes are not in it.
   */
  backup(target: string, done: (manifest: BackupManifest | undefined, error?: ErrorBody) => void): void {
    this.flush()
    this.thread.request({ type: 'backup', target }, (answer) =>
      answer.ok ? done(answer.value) : done(undefined, answer.error),
    )
  }

  trouble(): string | undefined {
    return this.refusal ?? this.unreadable
  }

  /** Writes what is accepted, then closes the files. What comes later is refused. */
  async close(): Promise<void> {
    this.closed = true
    clearInterval(this.sweeper)
    clearTimeout(this.probe)
    clearTimeout(this.readProbe)
    this.flush()
    // The last connection to close folds the log into the database, and only the thread's may write.
    await new Promise<void>((resolve) =>
      this.thread.request({ type: 'partitions', now: 0, prefix: '\0' }, () => resolve()),
    )
    this.reader.close()
    await this.thread.close()
    this.lock.release()
  }

  private accept(writes: StoreWrite[], done: (outcome: StoreOutcome) => void, relaxed: boolean): void {
    if (this.closed) throw new EngineError('store_unavailable', 'The store is closing')
    if (this.pendingBytes > this.limits.pendingBytes) {
      throw new EngineError('overloaded', 'Too many writes wait for the disk; try again shortly', {
        details: { retryAfterMs: 100 },
      })
    }
    const batch = toStoredBatch(writes, () => ++this.seq)
    const expected = judge(batch, (key) => this.slot(batch.partition, key))
    if (expected.ok) this.overlay.add(batch, expected.versions, expected.changes)
    const bytes = batch.writes.reduce((sum, write) => sum + 64 + (write.json?.length ?? 0), 0)
    if (relaxed) {
      const outcome = expected.ok ? accepted(batch, expected.versions) : expected
      queueMicrotask(() => done(outcome))
      if (!expected.ok) return
    }
    this.pendingBytes += bytes
    this.queue.push({ batch, bytes, done: relaxed ? undefined : done })
    if (relaxed) this.flushLater ??= setTimeout(() => this.flush(), this.limits.relaxedMs)
    else if (this.queue.length >= FLUSHED_AT_ONCE) this.flush()
    else this.flushSoon ??= setImmediate(() => this.flush())
  }

  private flush(): void {
    clearImmediate(this.flushSoon)
    clearTimeout(this.flushLater)
    this.flushSoon = undefined
    this.flushLater = undefined
    if (this.queue.length === 0) return
    const queue = this.queue
    this.queue = []
    const lost = this.lock.lost()
    if (lost !== undefined) {
      const error = { code: 'store_unavailable', message: lost }
      return queueMicrotask(() => this.finish(queue, { ok: false, error }))
    }
    const batches = queue.map(({ batch }) => batch)
    this.thread.request({ type: 'commit', now: this.clock.now(), batches }, (answer) => this.finish(queue, answer))
  }

  private finish(queue: Queued[], answer: Answer<'commit'>): void {
    queue.forEach(({ batch, bytes, done }, index) => {
      const outcome: BatchOutcome = answer.ok ? answer.value[index]! : answer
      this.pendingBytes -= bytes
      this.recent.settle(batch, outcome)
      this.overlay.remove(batch)
      this.learn(outcome)
      if (done) done(outcome.ok ? accepted(batch, outcome.versions) : outcome)
      else if (!outcome.ok) this.log.error({ partition: batch.partition, ...outcome.error }, 'A relaxed write was lost')
    })
  }

  /** Where nobody else writes, a record of its own finds out that the disk takes writes again. */
  private learn(outcome: BatchOutcome): void {
    if (outcome.ok) this.refusal = undefined
    else if (outcome.error.code === 'store_unavailable') {
      if (this.refusal === undefined) this.log.error(outcome.error, 'The disk refuses writes')
      this.refusal = outcome.error.message
      if (this.closed) return
      clearTimeout(this.probe)
      const write = { op: 'put', ...PROBE, value: this.clock.now() } as const
      this.probe = setTimeout(() => this.write([write], () => {}), this.limits.probeMs).unref()
    }
  }

  private committed(partition: string, key: string): CommittedRow | undefined {
    return this.recent.get(partition, key, () => this.read(partition, key))
  }

  /** Where nobody else reads, a read of its own finds out that the disk answers again. */
  private learnUnreadable(error: ErrorBody): void {
    if (this.unreadable === undefined) this.log.error(error, 'The disk does not answer reads')
    this.unreadable = error.message
    if (this.closed) return
    clearTimeout(this.readProbe)
    this.readProbe = setTimeout(() => {
      try {
        this.byKey.get(PROBE.partition, PROBE.key)
        this.unreadable = undefined
      } catch (failure) {
        this.learnUnreadable(diskError(failure))
      }
    }, this.limits.probeMs).unref()
  }

  private read(partition: string, key: string): StoredRow | undefined {
    let row: ReturnType<StatementSync['get']>
    try {
      row = this.byKey.get(partition, key)
    } catch (error) {
      const body = diskError(error)
      if (body.code === 'store_unavailable') this.learnUnreadable(body)
      throw new EngineError(body.code === 'corrupt_record' ? body.code : 'store_unavailable', body.message, {
        cause: error,
      })
    }
    return row && verify({ partition, key, ...(row as Omit<StoredRow, 'partition' | 'key'>) })
  }

  private slot(partition: string, key: string): Slot {
    const now = this.clock.now()
    return this.overlay.slot(partition, key, now) ?? slotOf(this.committed(partition, key), now)
  }

  private sweep(): void {
    const limit = 1_000
    this.thread.request({ type: 'expired', now: this.clock.now(), limit }, (answer) => {
      if (!answer.ok || this.closed) return
      for (const { partition, key, version } of answer.value) {
        this.seq += 1
        const write = { key, json: null, expected: version, becomes: null, expires: null, seq: this.seq }
        this.queue.push({ batch: { partition, writes: [{ op: 'expire', ...write }] }, bytes: 0, done: () => {} })
      }
      this.flush()
      if (this.lock.lost() !== undefined) return
      this.thread.request({ type: 'prune', keep: this.limits.deletions }, () => this.recent.clear())
      if (answer.value.length === limit) this.sweep()
    })
  }
}
