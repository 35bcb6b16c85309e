import { EngineError, type ErrorBody } from '@agentos/protocol'
import type { Ports, StoreOutcome, StoreWrite } from '../../core/ports.ts'
import { DiskWait, isUnanswered } from '../disk-wait.ts'
import type { Entry, NewEntry, RunHead } from './entry.ts'
import { entryKey, runPartition } from './partitions.ts'

const PAGE = 500

/** An entry to be written, and what has to be in its batch beside it. */
export type Noted = NewEntry & { beside?: readonly StoreWrite[] }

/** The records of one run. Entries are numbered in the order in which they are given, and become durable in that order. */
export class Journal {
  readonly partition: string
  private readonly ports: Ports
  private readonly onEntry: (n: number, entry: Entry) => void
  private last = 0
  /** Versions of the head that were made, and the newest that is durable. */
  private heads = 0
  private written = 0
  private readonly writes: DiskWait
  private readonly reads: DiskWait
  private stopped = false

  /** `onEntry` hears of each entry when it is durable. */
  constructor(ports: Ports, realm: string, run: string, onEntry: (n: number, entry: Entry) => void) {
    this.ports = ports
    this.partition = runPartition(realm, run)
    this.onEntry = onEntry
    this.writes = new DiskWait(ports, 'The journal of a run waits for the disk', { run })
    this.reads = new DiskWait(ports, 'A run waits until its journal can be read', { run })
  }

  /** Writes entries and the head in one batch. `done` hears of a refusal, and then nothing was written. */
  write(head: RunHead, entries: NewEntry[], done: (outcome: StoreOutcome) => void): void {
    const stamped = this.stamp(entries)
    this.ports.store.write(this.batch(stamped, head), (outcome) => {
      if (outcome.ok) this.tell(stamped)
      done(outcome)
    })
  }

  /**
   * Like `write`, but does not take no for an answer: `done` runs when it is durable, however long the disk is full.
   * Returns the number of the last entry.
   */
  insist(head: RunHead, entries: readonly Noted[], done: () => void): number {
    const stamped = this.stamp(entries)
    const besides = entries.flatMap(({ beside = [] }) => beside)
    this.heads += 1
    const revision = this.heads
    // As it is now: what it says later may need entries that are not written by then.
    head.updatedAt = this.ports.clock.now()
    const state: RunHead = { ...head, usage: { ...head.usage } }
    const attempt = (): void => {
      // What was refused before comes before it.
      if (this.writes.isWaiting) return this.writes.behind(attempt)
      const isNewest = revision > this.written
      if (!isNewest && stamped.length === 0) return done()
      this.ports.store.write(this.batch(stamped, isNewest ? state : undefined, besides), (outcome) => {
        if (outcome.ok) {
          this.writes.answered()
          this.written = Math.max(this.written, revision)
          this.tell(stamped)
          return done()
        }
        this.writes.failed(outcome.error, attempt)
      })
    }
    attempt()
    return this.last
  }

  /** An entry that nobody waits for: it becomes durable with what is written next, or shortly by itself. */
  note(entry: NewEntry): void {
    const stamped = this.stamp([entry])
    this.ports.store.write(this.batch(stamped), (outcome) => outcome.ok && this.tell(stamped), { relaxed: true })
  }

  /**
   * Reads an entry, now or when the disk answers; nobody is told of the time between. `done` gets `corrupt_record` where it
   * is not there, or not as it was written.
   */
  read(n: number, done: (entry: Entry | undefined, error?: ErrorBody) => void): void {
    let entry: Entry | undefined
    try {
      entry = this.ports.store.get(this.partition, entryKey(n))?.value as Entry | undefined
    } catch (error) {
      if (!(error instanceof EngineError)) throw error
      if (isUnanswered(error)) return this.reads.failed(error.toBody(), () => this.read(n, done))
      return done(undefined, error.toBody())
    }
    this.reads.answered()
    if (entry) done(entry)
    else done(undefined, { code: 'corrupt_record', message: `${entryKey(n)} of ${this.partition} is not there` })
  }

  /**
   * Reads all entries, oldest first; what is written from now on is numbered after them. A typed error that `each` throws
   * ends it.
   */
  load(each: (n: number, entry: Entry) => void, done: (error?: ErrorBody) => void): void {
    this.page(0, each, done)
  }

  /** Entries after this number, up to a limit or as many as one read gives; `more`: there are others behind them. */
  range(
    after: number,
    limit: number,
    done: (entries: [number, Entry][], error: ErrorBody | undefined, more: boolean) => void,
  ): void {
    const options = { prefix: 'e/', after: entryKey(after), limit }
    this.ports.store.range(this.partition, options, (records, error, next) => {
      done(
        records.map(({ key, value }) => [Number(key.slice(2)), value as Entry]),
        error,
        next !== undefined,
      )
    })
  }

  stop(): void {
    this.stopped = true
    this.writes.stop()
    this.reads.stop()
  }

  private page(after: number, each: (n: number, entry: Entry) => void, done: (error?: ErrorBody) => void): void {
    this.range(after, PAGE, (entries, error, more) => {
      if (this.stopped) return
      if (error) return done(error)
      try {
        for (const [n, entry] of entries) {
          this.last = Math.max(this.last, n)
          each(n, entry)
        }
      } catch (failure) {
        if (!(failure instanceof EngineError)) throw failure
        return done(failure.toBody())
      }
      const end = entries.at(-1)
      if (end && more) this.page(end[0], each, done)
      else done()
    })
  }

  private stamp(entries: readonly Noted[]): [number, Entry][] {
    const at = this.ports.clock.now()
    return entries.map(({ beside: _besides, ...entry }) => {
      this.last += 1
      return [this.last, { at, ...entry } as Entry]
    })
  }

  private batch(stamped: [number, Entry][], head?: RunHead, besides: readonly StoreWrite[] = []): StoreWrite[] {
    const { partition } = this
    const writes: StoreWrite[] = stamped.map(([n, value]) => ({ op: 'put', partition, key: entryKey(n), value }))
    writes.push(...besides)
    if (head) writes.push({ op: 'put', partition, key: 'head', value: head })
    return writes
  }

  private tell(entries: [number, Entry][]): void {
    for (const [n, entry] of entries) this.onEntry(n, entry)
  }
}
