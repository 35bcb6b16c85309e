import type { ModuleHost } from '../../core/module.ts'
import type { StoreRecord, StoreWrite, Timer } from '../../core/ports.ts'
import { inTurn } from '../firing.ts'
import { FINISHED, type FinishedRecord, listKey, listPartition, runPartition } from './partitions.ts'

const PAGE = 200
const BATCH = 500
const SWEEP_EVERY_MS = 3_600_000
/** Not at once: a start has better things to do. */
const FIRST_SWEEP_MS = 60_000

/** Removes runs that have been over for long enough, oldest first. */
export class Retention {
  private readonly host: ModuleHost
  private readonly keptMs: number
  private timer: Timer | undefined

  constructor(host: ModuleHost, keptMs: number) {
    this.host = host
    this.keptMs = keptMs
    this.schedule(FIRST_SWEEP_MS)
  }

  stop(): void {
    if (this.timer) this.host.ports.timers.clear(this.timer)
    this.timer = undefined
  }

  private schedule(delayMs: number): void {
    this.timer = this.host.ports.timers.set(delayMs, () => this.sweep())
  }

  private sweep(): void {
    const { store, clock } = this.host.ports
    const before = clock.now() - this.keptMs
    store.range(FINISHED, { limit: PAGE }, (records, error) => {
      if (!this.timer) return
      if (error) return this.schedule(SWEEP_EVERY_MS)
      const due = records.filter(({ key }) => Number.parseInt(key, 10) < before)
      inTurn(
        due,
        (record, next) => this.remove(record, next),
        () => this.schedule(due.length === PAGE ? 1 : SWEEP_EVERY_MS),
      )
    })
  }

  /** The run first and its place in this index last: what is left by a crash is found again. */
  private remove({ key, value }: StoreRecord, done: () => void): void {
    const { store } = this.host.ports
    const { id, realm, createdAt } = value as FinishedRecord
    const partition = runPartition(realm, id)
    const page = (): void => {
      store.range(partition, { limit: BATCH }, (records, error) => {
        if (error) return done()
        if (records.length > 0) {
          const writes = records.map((record): StoreWrite => ({ op: 'delete', partition, key: record.key }))
          return store.write(writes, (outcome) => (outcome.ok ? page() : done()))
        }
        store.write([{ op: 'delete', partition: listPartition(realm), key: listKey(createdAt, id) }], () => {})
        store.write([{ op: 'delete', partition: FINISHED, key }], () => done())
      })
    }
    page()
  }
}
