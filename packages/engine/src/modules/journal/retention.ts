import type { ErrorBody } from '@agentos/protocol'
import type { ModuleHost } from '../../core/module.ts'
import type { StoreRecord, StoreWrite, Timer } from '../../core/ports.ts'
import { DiskWait } from '../disk-wait.ts'
import { inTurn } from '../firing.ts'
import { FINISHED, type FinishedRecord, listKey, listPartition, runPartition } from './partitions.ts'

const PAGE = 200
const BATCH = 500
const SWEEP_EVERY_MS = 3_600_000
/** Not at once: a start has better things to do. */
const FIRST_SWEEP_MS = 60_000
const DISK_WAIT_MS = { first: 1_000, last: SWEEP_EVERY_MS }

/** Removes runs that have been over for long enough, oldest first. */
export class Retention {
  private readonly host: ModuleHost
  private readonly keptMs: number
  private readonly disk: DiskWait
  private timer: Timer | undefined

  constructor(host: ModuleHost, keptMs: number) {
    this.host = host
    this.keptMs = keptMs
    const { ports } = host
    this.disk = new DiskWait(ports, 'Runs that are over cannot be removed', {}, DISK_WAIT_MS)
    this.schedule(FIRST_SWEEP_MS)
  }

  stop(): void {
    if (this.timer) this.host.ports.timers.clear(this.timer)
    this.timer = undefined
    this.disk.stop()
  }

  private schedule(delayMs: number): void {
    this.timer = this.host.ports.timers.set(delayMs, () => this.sweep())
  }

  private sweep(): void {
    const { store, clock } = this.host.ports
    const before = clock.now() - this.keptMs
    store.range(FINISHED, { limit: PAGE }, (records, error, next) => {
      if (!this.timer) return
      if (error) return this.later(error)
      const due = records.filter(({ key }) => Number.parseInt(key, 10) < before)
      const isMoreDue = next !== undefined && due.length === records.length
      this.removeAll(due, () => this.schedule(isMoreDue ? 1 : SWEEP_EVERY_MS))
    })
  }

  private removeAll(due: StoreRecord[], done: () => void): void {
    let failed: ErrorBody | undefined
    inTurn(
      due,
      (record, next) => {
        // What the disk does not do for one it does not do for the others either.
        if (failed) return next()
        this.remove(record, (error) => {
          failed = error
          next()
        })
      },
      () => {
        if (failed) return this.later(failed)
        this.disk.answered()
        done()
      },
    )
  }

  private later(error: ErrorBody): void {
    this.disk.failed(error, () => this.sweep())
  }

  /** The run first and its place in this index last: what is left by a crash is found again. */
  private remove({ key, value }: StoreRecord, done: (error?: ErrorBody) => void): void {
    const { store } = this.host.ports
    const { id, realm, createdAt } = value as FinishedRecord
    const partition = runPartition(realm, id)
    const page = (): void => {
      store.range(partition, { limit: BATCH }, (records, error) => {
        if (error) return done(error)
        if (records.length > 0) {
          const writes = records.map((record): StoreWrite => ({ op: 'delete', partition, key: record.key }))
          return store.write(writes, (outcome) => (outcome.ok ? page() : done(outcome.error)))
        }
        const listed: StoreWrite = { op: 'delete', partition: listPartition(realm), key: listKey(createdAt, id) }
        store.write([listed], (unlisted) => {
          if (!unlisted.ok) return done(unlisted.error)
          store.write([{ op: 'delete', partition: FINISHED, key }], (outcome) =>
            done(outcome.ok ? undefined : outcome.error),
          )
        })
      })
    }
    page()
  }
}
