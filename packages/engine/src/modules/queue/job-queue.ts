import { EngineError, type ErrorBody } from '@agentos/protocol'
import type { CallContext } from '../../core/context.ts'
import { isOfGuests } from '../../core/guest-share.ts'
import { type Loss, MOST_LOSSES, pauseAfter } from '../../core/losses.ts'
import type { CallResult, ModuleHost } from '../../core/module.ts'
import { overloaded } from '../../core/overload.ts'
import type { StoreOutcome, StoreWrite } from '../../core/ports.ts'
import { DiskWait, isUnanswered } from '../disk-wait.ts'
import { type KeyedWork, KeyRecords } from '../keys/key-records.ts'
import { type Chosen, DeadLetters } from './dead-letters.ts'
import { count, guestBytes } from './guest-jobs.ts'
import {
  basePartition,
  binderOf,
  type DeadLetter,
  deadKey,
  displayName,
  groupPartition,
  type Job,
  jobKey,
  type QueueId,
  type StoredJob,
  storedContext,
} from './job.ts'
import { Lanes } from './lanes.ts'
import { backoffMs, groupOf, type QueueSettings } from './settings.ts'

/** Failures of the way to the function, where it was never reached: the job waits, and this was no attempt. */
const UNDELIVERED = new Set([
  'worker_unavailable',
  'overloaded',
  'shutting_down',
  'channel_send_failed',
  'approval_required',
  'store_unavailable',
])
/** How soon a job whose function is away is tried again, and how long it may wait like that. */
const AWAY_RETRY_MS = { first: 500, last: 5_000 }
const MAX_AWAY_MS = 3_600_000
/** After a start clients need time to come back: so long a missing function is away, not missing. */
const START_GRACE_MS = 30_000

export interface NewJob {
  id: string
  functionId: string
  data: unknown
  context: CallContext
  /** Installed worker that puts it there. */
  worker?: string
}

export interface Attempt {
  job: StoredJob
  context: CallContext
  /** It has been handed to the function's process. */
  onSent(): void
  done(result: CallResult): void
}

/** Takes one job to its function. Absent where nobody is there to take any. */
export type Consumer = (attempt: Attempt) => void

/**
 * One queue of one realm. A job is on disk before it is accepted and leaves the disk after its function answered, so it
 * is delivered at least once. The lease on a job is the call that delivers it: it ends with the call's deadline, with
 * its worker's connection, or with the engine, and an answer of an older lease reaches nobody.
 */
export class JobQueue {
  readonly id: QueueId
  readonly name: string
  readonly dead: DeadLetters
  private readonly host: ModuleHost
  private readonly base: string
  private readonly keys: KeyRecords
  private readonly consumer: () => Consumer | undefined
  private readonly lanes: Lanes
  private readonly reads: DiskWait
  private readonly notes: DiskWait
  private readonly startedAt: number
  private config: QueueSettings
  private count = 0
  private active = 0
  private lastOrder = 0
  private pumping = false
  private stopped = false

  constructor(parts: {
    host: ModuleHost
    id: QueueId
    settings: QueueSettings
    consumer: () => Consumer | undefined
    startedAt: number
  }) {
    this.host = parts.host
    this.id = parts.id
    this.name = displayName(parts.id)
    this.base = basePartition(parts.id)
    this.keys = new KeyRecords(parts.host.ports)
    this.config = parts.settings
    this.consumer = parts.consumer
    this.startedAt = parts.startedAt
    this.lanes = new Lanes(parts.host.ports, parts.settings.fifo, () => this.pump())
    this.dead = new DeadLetters(parts.host, parts.id.realm)
    const { ports } = parts.host
    this.reads = new DiskWait(ports, 'Jobs cannot be read and wait', { queue: this.name })
    this.notes = new DiskWait(ports, 'Deliveries are not noted yet, and their groups wait', { queue: this.name })
  }

  get settings(): QueueSettings {
    return this.config
  }

  set settings(settings: QueueSettings) {
    this.config = settings
    this.lanes.setOrdered(settings.fifo)
  }

  /** Jobs that are not yet done, those under way too. */
  get depth(): number {
    return this.count
  }

  /** Does it not hold this job yet? Throws where it is full then, or the data does not name its group. */
  isNew(given: NewJob): boolean {
    if (this.keys.knows(this.workOf(given))) return false
    this.assertRoom()
    return true
  }

  /**
   * Puts a job into the queue; `done` runs after it is durable, with the id that it has. A job that was put there under
   * the same idempotency key within a day is the same job.
   */
  add(given: NewJob, done: (outcome: StoreOutcome, id: string) => void): void {
    const work = this.workOf(given)
    this.keys.once(work, {
      first: () => this.put(given, work, done),
      again: (id) => done({ ok: true, records: [] }, id as string),
      failed: (error) => done({ ok: false, error: bodyOf(error) }, given.id),
    })
  }

  private workOf({ functionId, context, data }: NewJob): KeyedWork {
    const partition = groupPartition(this.base, groupOf(this.name, this.config, data))
    return { functionId, context, input: data ?? null, partition }
  }

  private assertRoom(): void {
    if (this.count < this.config.maxDepth) return
    throw overloaded(`Queue ${this.name} holds ${this.count} jobs; try again when some are done`)
  }

  private put(given: NewJob, work: KeyedWork, done: (outcome: StoreOutcome, id: string) => void): void {
    this.assertRoom()
    const { partition } = work
    const group = groupOf(this.name, this.config, given.data)
    const now = this.host.ports.clock.now()
    const { delayMs } = this.config
    const stored: StoredJob = {
      id: given.id,
      queue: this.name,
      function_id: given.functionId,
      data: given.data ?? null,
      attempts_made: 0,
      created_at: now,
      ...(delayMs > 0 ? { process_at: now + delayMs } : {}),
      ...(group === '' ? {} : { group_id: group }),
      context: storedContext(given.context),
      ...(given.worker === undefined ? {} : { worker: given.worker }),
    }
    const bytes = guestBytes(stored)
    if (isOfGuests(given.context)) this.host.guestShare.take('queued_bytes', bytes)
    else count(this.host.guestShare, bytes)
    const job: Job = {
      id: given.id,
      partition,
      group,
      order: this.nextOrder(),
      attempts: 0,
      bytes,
      readyAt: this.host.ports.clock.monotonic() + delayMs,
    }
    this.count += 1
    const write: StoreWrite = { op: 'put', partition, key: jobKey(job.order), value: stored }
    this.host.ports.store.write([write, ...this.keys.recordOf(work, given.id)], (outcome) => {
      if (!outcome.ok) this.gone(job)
      done(outcome, given.id)
      if (!outcome.ok) return
      this.lanes.add(job)
      this.pump()
    })
  }

  /** A job that was on disk when the engine started; called in their order. */
  restore(partition: string, group: string, order: number, stored: StoredJob): void {
    const { clock } = this.host.ports
    // The clock may have been set meanwhile: no longer than it would have waited anyway.
    const pause = stored.losses === undefined ? 0 : pauseAfter({ counts: true, repeated: true }, stored.losses)
    const most = Math.max(backoffMs(this.config, stored.attempts_made), this.config.delayMs, pause)
    const left = Math.min(Math.max((stored.process_at ?? 0) - clock.now(), 0), most)
    this.lastOrder = Math.max(this.lastOrder, order)
    const bytes = guestBytes(stored)
    this.come(bytes)
    const { id, attempts_made: attempts } = stored
    this.lanes.add({ id, partition, group, order, attempts, bytes, readyAt: clock.monotonic() + left })
  }

  /** A dead letter that was on disk when the engine started; called oldest first. */
  restoreDead(partition: string, group: string, order: number, letter: DeadLetter): void {
    this.lastOrder = Math.max(this.lastOrder, order)
    const expires = letter.failed_at + this.config.deadMs
    const { job, error } = letter
    const bytes = guestBytes(job, error)
    this.dead.add({ id: job.id, partition, group, order, expires, bytes, by: binderOf(job) }, this.config.maxDead)
  }

  private come(bytes: number): void {
    this.count += 1
    count(this.host.guestShare, bytes)
  }

  private gone({ bytes }: Job): void {
    this.count -= 1
    count(this.host.guestShare, -bytes)
  }

  /** Hands over what may run now. */
  pump(): void {
    // A delivery that ends at once is taken up by the loop below, not by a deeper stack.
    if (this.pumping) return
    this.pumping = true
    while (!this.stopped && !this.reads.isWaiting && this.active < this.config.concurrency) {
      const consumer = this.consumer()
      const job = consumer && this.lanes.take()
      if (!job) break
      this.active += 1
      this.deliver(job, consumer)
    }
    this.pumping = false
  }

  /** No more deliveries. What is under way may still succeed; what fails from now on comes again after the start. */
  stop(): void {
    this.stopped = true
    this.reads.stop()
    this.notes.stop()
    this.lanes.stop()
  }

  /** Dead letters go back to the end of the queue, with all attempts before them. */
  redrive(chosen: Chosen, done: (redriven: number, failed?: StoreOutcome) => void): void {
    this.dead.remove(
      chosen,
      (dead, letter) => {
        const order = this.nextOrder()
        const { process_at: _due, losses: _losses, ...job } = letter.job
        const stored: StoredJob = { ...job, attempts_made: 0 }
        const { id, partition, group } = dead
        const readyAt = this.host.ports.clock.monotonic()
        return {
          write: { op: 'put', partition, key: jobKey(order), value: stored },
          after: () => {
            const bytes = guestBytes(stored)
            this.come(bytes)
            this.lanes.add({ id, partition, group, order, attempts: 0, bytes, readyAt })
          },
        }
      },
      (redriven, failed) => {
        done(redriven, failed)
        this.pump()
      },
    )
  }

  private deliver(job: Job, consumer: Consumer): void {
    const { clock, store, log } = this.host.ports
    let stored: StoredJob | undefined
    try {
      stored = store.get(job.partition, jobKey(job.order))?.value as StoredJob | undefined
      this.reads.answered()
    } catch (error) {
      if (error instanceof EngineError && isUnanswered(error)) return this.putOff(job, error)
      log.error({ err: error, queue: this.name, message_id: job.id }, 'A job cannot be read; it stays on disk')
    }
    if (!stored) {
      this.gone(job)
      return this.finish(job)
    }
    const read = stored
    let sent = false
    const deadline = clock.monotonic() + this.config.leaseMs
    consumer({
      job: read,
      context: { ...read.context, deadline, idempotencyKey: job.id },
      onSent: () => {
        sent = true
      },
      done: (result) => {
        if (sent) job.away = undefined
        if (result.ok) return this.succeeded(job)
        const error = `${result.error.code}: ${result.error.message}`
        if (result.lost) this.lost(job, read, error, result.lost)
        else this.failed(job, read, error, !sent && this.isAway(job, result))
      },
    })
  }

  private succeeded(job: Job): void {
    this.settle(job, [{ op: 'delete', partition: job.partition, key: jobKey(job.order) }], () => this.gone(job))
  }

  private failed(job: Job, stored: StoredJob, error: string, away: boolean): void {
    // The engine is stopping, and the failure is its own doing.
    if (this.stopped) return
    if (away) return this.wait(job)
    const tried = { ...stored, attempts_made: job.attempts + 1 }
    if (tried.attempts_made >= this.config.maxAttempts) return this.bury(job, tried, error)
    this.repeat(job, tried, error, backoffMs(this.config, tried.attempts_made))
  }

  /** The process that had it is gone. What was handed over last before that is suspected; the others come again at once. */
  private lost(job: Job, stored: StoredJob, error: string, loss: Loss): void {
    if (this.stopped) return
    if (!loss.counts) {
      job.readyAt = this.host.ports.clock.monotonic()
      this.lanes.putBack(job)
      return this.finish(job)
    }
    const losses = (stored.losses ?? 0) + 1
    const tried = { ...stored, attempts_made: job.attempts + 1, losses }
    if (losses < MOST_LOSSES) return this.repeat(job, tried, error, pauseAfter(loss, losses))
    this.bury(job, tried, `${losses} processes ended soon after they were given this job: ${error}`)
  }

  private repeat(job: Job, tried: StoredJob, error: string, delay: number): void {
    const { clock } = this.host.ports
    const { attempts_made: attempts, function_id } = tried
    const about = { queue: this.name, message_id: job.id, function_id, attempts }
    this.host.logOf(tried.context).info(about, `A delivery failed and will be tried again: ${error}`)
    const readyAt = clock.monotonic() + delay
    const value: StoredJob = { ...tried, process_at: clock.now() + delay }
    const write: StoreWrite = { op: 'put', partition: job.partition, key: jobKey(job.order), value }
    this.settle(job, [write], () => {
      job.attempts = attempts
      job.readyAt = readyAt
      this.lanes.putBack(job)
    })
  }

  private bury(job: Job, tried: StoredJob, error: string): void {
    const { clock } = this.host.ports
    const { partition } = job
    const { attempts_made: attempts, function_id } = tried
    const about = { queue: this.name, message_id: job.id, function_id, attempts }
    this.host.logOf(tried.context).warn(about, `A job is a dead letter after its last attempt: ${error}`)
    const now = clock.now()
    const value: DeadLetter = { job: tried, error, failed_at: now }
    const expires = now + this.config.deadMs
    const batch: StoreWrite[] = [
      { op: 'delete', partition, key: jobKey(job.order) },
      { op: 'put', partition, key: deadKey(job.order), value, expires },
    ]
    this.settle(job, batch, () => {
      this.gone(job)
      const { id, group, order } = job
      const bytes = guestBytes(tried, error)
      this.dead.add({ id, partition, group, order, expires, bytes, by: binderOf(tried) }, this.config.maxDead)
    })
  }

  /**
   * Notes on disk how a delivery went, however long the disk refuses: what was done is not done again, unless the engine
   * dies before. The group goes on after that, so that no later job is done before it.
   */
  private settle(job: Job, batch: StoreWrite[], noted: () => void): void {
    const note = (): void =>
      this.host.ports.store.write(batch, (outcome) => {
        if (!outcome.ok) return this.notes.failed(outcome.error, note)
        this.notes.answered()
        noted()
        this.finish(job)
      })
    note()
  }

  /** The disk did not answer what the job is: it keeps its place, and the queue waits with it. */
  private putOff(job: Job, error: EngineError): void {
    this.reads.failed(error.toBody(), () => this.pump())
    this.lanes.putBack(job)
    this.finish(job)
  }

  /** It did not reach its function: it stays at the head of its group, or lets the others of a standard queue pass. */
  private wait(job: Job): void {
    const tries = job.away?.tries ?? 1
    const delay = Math.min(AWAY_RETRY_MS.first * 2 ** (tries - 1), AWAY_RETRY_MS.last)
    job.readyAt = this.host.ports.clock.monotonic() + delay
    if (this.config.fifo) this.lanes.putBack(job)
    else this.lanes.add(job)
    this.finish(job)
  }

  private finish(job: Job): void {
    this.lanes.release(job)
    this.active -= 1
    this.pump()
  }

  /** Was it only the way to the function that failed? For a while such a job waits; a missing function is a failure. */
  private isAway(job: Job, result: CallResult & { ok: false }): boolean {
    const now = this.host.ports.clock.monotonic()
    const { code } = result.error
    const missing = code === 'function_not_found'
    if (missing ? now - this.startedAt >= START_GRACE_MS : !UNDELIVERED.has(code)) return false
    job.away = { since: job.away?.since ?? now, tries: (job.away?.tries ?? 0) + 1 }
    return now - job.away.since < MAX_AWAY_MS
  }

  /** Rises over restarts too, and never repeats within a queue. */
  private nextOrder(): number {
    this.lastOrder = Math.max(this.lastOrder + 1, this.host.ports.clock.now() * 1_000)
    return this.lastOrder
  }
}

function bodyOf(error: unknown): ErrorBody {
  if (error instanceof EngineError) return error.toBody()
  return { code: 'internal', message: error instanceof Error ? error.message : String(error) }
}
