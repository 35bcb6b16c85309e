import type { ErrorBody } from '@agentos/protocol'
import type { ModuleHost } from '../../core/module.ts'
import { overloaded } from '../../core/overload.ts'
import type { StoreRecord } from '../../core/ports.ts'
import { DiskWait } from '../disk-wait.ts'
import { inTurn } from '../firing.ts'
import { toNamedFunction } from './delivery.ts'
import { basePartition, type DeadLetter, QUEUES, type QueueId, readPartition, type StoredJob } from './job.ts'
import { JobQueue } from './job-queue.ts'
import { DEFAULT_SETTINGS, type QueueSettings } from './settings.ts'
import type { Subscriptions } from './subscriptions.ts'

const PAGE = 500
/** Calls that may wait while the queues are read after a start. */
const MAX_EARLY = 10_000

/** All queues of all realms. After a start they are read from the store before anything is taken in or delivered. */
export class Queues {
  readonly named: ReadonlyMap<string, QueueSettings>
  private readonly host: ModuleHost
  private readonly subscriptions: Subscriptions
  private readonly startedAt: number
  private readonly byBase = new Map<string, JobQueue>()
  private early: (() => void)[] | undefined = []
  private readonly disk: DiskWait
  private stopped = false

  constructor(host: ModuleHost, named: ReadonlyMap<string, QueueSettings>, subscriptions: Subscriptions) {
    this.host = host
    this.named = named
    this.subscriptions = subscriptions
    this.startedAt = host.ports.clock.monotonic()
    this.disk = new DiskWait(host.ports, 'The queues cannot be read and wait')
  }

  /** Runs now, or after the queues have been read. */
  whenLoaded(run: () => void): void {
    if (!this.early) return run()
    if (this.early.length < MAX_EARLY) return void this.early.push(run)
    throw overloaded('The queues are still being read after the start; try again shortly')
  }

  /** The queue, made at first use. */
  get(id: QueueId): JobQueue {
    const base = basePartition(id)
    let queue = this.byBase.get(base)
    if (!queue) {
      const { host, startedAt } = this
      const consumer =
        id.kind === 'named'
          ? () => (this.early ? undefined : deliverNamed)
          : () => (this.early ? undefined : this.subscriptions.consumer(id))
      const deliverNamed = toNamedFunction(host)
      queue = new JobQueue({ host, id, settings: this.settingsOf(id), consumer, startedAt })
      this.byBase.set(base, queue)
      if (this.stopped) queue.stop()
    }
    return queue
  }

  all(): JobQueue[] {
    return [...this.byBase.values()]
  }

  /** Queues of a realm under a name: a named one, those of a topic, or that of one function of a topic. */
  matching(realm: string, name: string): JobQueue[] {
    if (this.named.has(name)) this.get({ realm, kind: 'named', name })
    return this.all().filter(({ id, name: display }) => {
      if (id.realm !== realm) return false
      return display === name || (id.kind === 'topic' && id.topic === name)
    })
  }

  load(): void {
    const again = (error: ErrorBody): void => this.disk.failed(error, () => this.load())
    this.subscriptions.load((failed) => {
      if (failed) return again(failed)
      const page = (after: string | undefined): void =>
        this.host.ports.store.partitions(QUEUES, after === undefined ? {} : { after }, (names, error, behind) => {
          if (error) return again(error)
          inTurn(
            names,
            (name, next) => this.read(name, next),
            () => (behind === undefined ? this.loaded() : page(behind)),
          )
        })
      page(undefined)
    })
  }

  stop(): void {
    this.stopped = true
    this.disk.stop()
    this.subscriptions.stop()
    for (const queue of this.byBase.values()) queue.stop()
  }

  private settingsOf(id: QueueId): QueueSettings {
    if (id.kind === 'topic') return this.subscriptions.settingsOf(id) ?? DEFAULT_SETTINGS
    // Taken out of config.yaml, it still delivers what it holds.
    return this.named.get(id.name) ?? DEFAULT_SETTINGS
  }

  private read(partition: string, done: () => void): void {
    const found = readPartition(partition)
    if (!found) return done()
    const queue = this.get(found.id)
    const restore = (record: StoreRecord): void => {
      const [kind, digits] = record.key.split('/')
      const order = Number(digits)
      if (kind === 'job') queue.restore(partition, found.group, order, record.value as StoredJob)
      else if (kind === 'dead') queue.restoreDead(partition, found.group, order, record.value as DeadLetter)
    }
    const page = (after: string | undefined): void => {
      const options = { limit: PAGE, ...(after === undefined ? {} : { after }) }
      this.host.ports.store.range(partition, options, (records, error, next) => {
        if (this.stopped) return
        if (error) return this.disk.failed(error, () => page(after))
        this.disk.answered()
        for (const record of records) restore(record)
        if (next === undefined) done()
        else page(next)
      })
    }
    page(undefined)
  }

  private loaded(): void {
    const early = this.early ?? []
    this.early = undefined
    const { log } = this.host.ports
    const waiting = this.all().reduce((sum, queue) => sum + queue.depth, 0)
    if (waiting > 0) log.info({ jobs: waiting }, 'Jobs from before the start are delivered')
    for (const queue of this.byBase.values()) {
      queue.dead.sort()
      queue.pump()
    }
    for (const run of early) run()
  }
}
