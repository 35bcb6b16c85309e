import { EngineError, type ErrorBody } from '@agentos/protocol'
import type { Clock, PageSize, Store, StoreOutcome, StoreRecord, StoreWrite, Timer, Timers } from '../core/ports.ts'
import { accepted, judge, type Slot, type StoredBatch, slotOf, toStoredBatch, type Verdict } from './batch.ts'
import { Overlay } from './overlay.ts'
import {
  compareKeys,
  isBeside,
  isExpired,
  isLive,
  namesOf,
  type Page,
  pageOf,
  type StoredRow,
  seal,
  toChange,
  toRecord,
} from './record.ts'

/** What survives a crash of the simulated engine: committed rows by partition and key, and the last sequence. */
export class MemoryDisk {
  readonly partitions = new Map<string, Map<string, StoredRow>>()
  lastSeq = 0
  /** Why it takes no write now. */
  refusal: string | undefined
  /** Why nothing can be read from it now. */
  unreadable: string | undefined

  row(partition: string, key: string): StoredRow | undefined {
    return this.partitions.get(partition)?.get(key)
  }

  put(row: StoredRow): void {
    const rows = this.partitions.get(row.partition)
    if (rows) rows.set(row.key, row)
    else this.partitions.set(row.partition, new Map([[row.key, row]]))
    this.lastSeq = Math.max(this.lastSeq, row.seq)
  }
}

export interface MemoryStoreOptions {
  clock: Clock
  timers: Timers
  /** Given again after a crash, it holds what was committed. */
  disk?: MemoryDisk
  /** Time from accepting a write to its commit; the simulator draws it. @default 0 */
  commitDelayMs?: () => number
}

/**
 * The store of the simulator. A write is accepted at once and committed by a timer, so a crash in between loses exactly
 * what was not acknowledged: stop the timers, and open another store on the same disk.
 */
export class MemoryStore implements Store {
  readonly disk: MemoryDisk
  private readonly clock: Clock
  private readonly timers: Timers
  private readonly commitDelayMs: () => number
  private readonly overlay = new Overlay()
  private queue: (() => void)[] = []
  private commitTimer: Timer | undefined
  private sweepTimer: Timer | undefined
  private seq: number

  constructor(options: MemoryStoreOptions) {
    this.disk = options.disk ?? new MemoryDisk()
    this.clock = options.clock
    this.timers = options.timers
    this.commitDelayMs = options.commitDelayMs ?? (() => 0)
    this.seq = this.disk.lastSeq
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
    let batch: StoredBatch
    let expected: Verdict
    try {
      batch = toStoredBatch(writes, () => ++this.seq)
      expected = judge(batch, (key) => this.slot(batch.partition, key))
    } catch (error) {
      const body = bodyOf(error)
      this.enqueue(() => done({ ok: false, error: body }))
      return
    }
    if (expected.ok) this.overlay.add(batch, expected.versions, expected.changes)
    if (options.relaxed) {
      const outcome = expected.ok ? accepted(batch, expected.versions) : expected
      this.timers.set(0, () => done(outcome))
    }
    this.enqueue(() => {
      const outcome = this.commit(batch)
      if (!options.relaxed) done(outcome)
    })
  }

  range(
    partition: string,
    options: { prefix?: string; after?: string } & PageSize,
    done: (records: StoreRecord[], error?: ErrorBody, next?: string) => void,
  ): void {
    const find = (): Page<StoredRow> => {
      const { prefix = '', after } = options
      const now = this.clock.now()
      const rows = [...(this.disk.partitions.get(partition)?.values() ?? [])]
        .filter((row) => isLive(row, now) && row.key.startsWith(prefix) && !isBeside(row.key))
        .filter((row) => after === undefined || compareKeys(row.key, after) > 0)
        .sort((a, b) => compareKeys(a.key, b.key))
      return pageOf(rows, options)
    }
    this.read(find, ({ rows, more }, error) => done(rows.map(toRecord), error, more ? rows.at(-1)!.key : undefined))
  }

  partitions(
    prefix: string,
    { after, maxBytes }: { after?: string; maxBytes?: number },
    done: (names: string[], error?: ErrorBody, next?: string) => void,
  ): void {
    const find = (): Page<string> => {
      const now = this.clock.now()
      const names: string[] = []
      for (const [name, rows] of this.disk.partitions) {
        if (name.startsWith(prefix) && [...rows.values()].some((row) => isLive(row, now) && !isBeside(row.key)))
          names.push(name)
      }
      const behind = names.filter((name) => after === undefined || compareKeys(name, after) > 0)
      return namesOf(behind.sort(compareKeys), maxBytes)
    }
    this.read(find, ({ rows, more }, error) => done(rows, error, more ? rows.at(-1) : undefined))
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
    const find = (): Page<StoredRow> => {
      const rows: StoredRow[] = []
      for (const [name, partition] of this.disk.partitions) {
        if (name.startsWith(prefix))
          rows.push(...[...partition.values()].filter((row) => row.seq > options.after && !isBeside(row.key)))
      }
      rows.sort((a, b) => a.seq - b.seq)
      return pageOf(rows, options)
    }
    this.read(find, ({ rows, more }, error) => {
      const now = this.clock.now()
      done(
        rows.map((row) => toChange(row, now)),
        error,
        more ? rows.at(-1)!.seq : undefined,
      )
    })
  }

  trouble(): string | undefined {
    return this.disk.refusal ?? this.disk.unreadable
  }

  private committed(partition: string, key: string): StoredRow | undefined {
    const { unreadable } = this.disk
    if (unreadable !== undefined) throw new EngineError('store_unavailable', unreadable)
    return this.disk.row(partition, key)
  }

  private read<T>(find: () => Page<T>, done: (page: Page<T>, error?: ErrorBody) => void): void {
    this.enqueue(() => {
      const { unreadable } = this.disk
      if (unreadable === undefined) done(find())
      else done({ rows: [], more: false }, { code: 'store_unavailable', message: unreadable })
    })
  }

  private commit(batch: StoredBatch): StoreOutcome {
    if (this.disk.refusal !== undefined) {
      this.overlay.remove(batch)
      return { ok: false, error: { code: 'store_unavailable', message: this.disk.refusal } }
    }
    const verdict = judge(batch, (key) => slotOf(this.disk.row(batch.partition, key), this.clock.now()))
    if (verdict.ok) {
      batch.writes.forEach((write, index) => {
        if (!verdict.changes[index]) return
        const { key, json, seq, expires } = write
        const version = verdict.versions[index] ?? 0
        this.disk.put(seal({ partition: batch.partition, key, value: json, version, seq, expires }))
        if (expires !== null) this.sweepAt(expires)
      })
    }
    this.overlay.remove(batch)
    return verdict.ok ? accepted(batch, verdict.versions) : verdict
  }

  private slot(partition: string, key: string): Slot {
    const now = this.clock.now()
    return this.overlay.slot(partition, key, now) ?? slotOf(this.committed(partition, key), now)
  }

  private enqueue(run: () => void): void {
    this.queue.push(run)
    if (this.commitTimer) return
    this.commitTimer = this.timers.set(this.commitDelayMs(), () => {
      const queue = this.queue
      this.queue = []
      this.commitTimer = undefined
      for (const next of queue) next()
    })
  }

  /** Turns records whose time is up into deletions, so that readers of `changes` hear of it. */
  private sweepAt(expires: number): void {
    if (this.sweepTimer) return
    this.sweepTimer = this.timers.set(Math.max(1, expires - this.clock.now()), () => {
      this.sweepTimer = undefined
      let next: number | undefined
      for (const [partition, rows] of this.disk.partitions) {
        for (const row of rows.values()) {
          if (row.value === null || row.expires === null) continue
          if (!isExpired(row.expires, this.clock.now())) next = Math.min(next ?? row.expires, row.expires)
          else this.expire(partition, row)
        }
      }
      if (next !== undefined) this.sweepAt(next)
    })
  }

  private expire(partition: string, row: StoredRow): void {
    this.seq += 1
    const write = { key: row.key, json: null, expected: row.version, becomes: null, expires: null, seq: this.seq }
    this.enqueue(() => this.commit({ partition, writes: [{ op: 'expire', ...write }] }))
  }
}

function bodyOf(error: unknown): ErrorBody {
  if (error instanceof EngineError) return error.toBody()
  throw error
}
