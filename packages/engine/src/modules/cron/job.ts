import { EngineError } from '@agentos/protocol'
import type { CallResult, ModuleHost, TriggerBinding } from '../../core/module.ts'
import type { Log, StoreOutcome, StoreWrite, Timer } from '../../core/ports.ts'
import { DiskWait, isUnanswered } from '../disk-wait.ts'
import { fire } from '../firing.ts'
import { NOTICED_MS } from './clock-watch.ts'
import type { Schedule } from './schedule.ts'
import { ServedTimes, type StoredTimes } from './served-times.ts'
import type { Turns } from './turns.ts'

const RETRY_MS = { first: 1_000, last: 60_000 }
/** What is kept of a trigger that nobody declares any more. */
const KEPT_MS = 30 * 24 * 3_600_000
/** Failures of the way to the handler, not of the handler. */
const UNDELIVERED = new Set([
  'worker_unavailable',
  'function_not_found',
  'overloaded',
  'channel_send_failed',
  'invocation_stopped',
  'shutting_down',
  'store_unavailable',
])

export interface JobConfig {
  expression: string
  timezone?: string
  condition?: string
  catchUp: boolean
}

/** Stored under `schedule`. */
interface StoredSchedule extends StoredTimes {
  skipped: number
}

/** Stored under `firing` while its handler runs. */
interface Firing {
  due: number
}

/**
 * One schedule: a single loop that never overlaps itself. A firing is stored, by its due time, in the write that moves
 * the schedule on, and forgotten after its handler answered; so each is run at least once, over restarts too.
 */
export class Job {
  readonly identity: string
  readonly config: JobConfig
  /** The bindings that mean this schedule; the first one fires. */
  readonly bindings: TriggerBinding[]
  running = false
  skipped = 0
  private readonly host: ModuleHost
  private readonly schedule: Schedule
  private readonly deadlineMs: number
  private readonly partition: string
  /** What was due before it was missed while nobody served the schedule. */
  private boundAt: number
  private served: ServedTimes
  private readonly disk: DiskWait
  private readonly turns: Turns
  private timer: Timer | undefined
  private retryMs = RETRY_MS.first
  private stopped = false

  constructor(parts: {
    host: ModuleHost
    identity: string
    trigger: TriggerBinding
    config: JobConfig
    schedule: Schedule
    deadlineMs: number
    turns: Turns
  }) {
    this.host = parts.host
    this.identity = parts.identity
    this.config = parts.config
    this.bindings = [parts.trigger]
    this.schedule = parts.schedule
    this.deadlineMs = parts.deadlineMs
    this.turns = parts.turns
    this.partition = `cron/${parts.identity}`
    this.disk = new DiskWait(parts.host.ports, 'A schedule waits for the disk', { trigger_id: parts.trigger.id })
    this.boundAt = this.now()
    this.served = new ServedTimes(parts.schedule, undefined, this.boundAt)
  }

  get lastDue(): number {
    return this.served.last
  }

  nextDue(): number | undefined {
    return this.served.next()
  }

  /** `behind` hears by how much the clock is behind what is stored, in milliseconds, once that can be read. */
  start(behind: (byMs: number) => void): void {
    this.read(({ stored, firing }) => behind(this.takeUp(stored, firing)))
  }

  private takeUp(stored: StoredSchedule | undefined, firing: Firing | undefined): number {
    this.served = new ServedTimes(this.schedule, stored, this.boundAt)
    this.skipped = stored?.skipped ?? 0
    const behind = this.served.follow(this.boundAt)
    if (stored?.last !== this.served.last) this.write([this.scheduleWrite()], (outcome) => this.tellRefusal(outcome))
    if (firing) {
      // Its handler may have run before the engine went down: it has the same key, and runs again.
      this.running = true
      this.wake(0, () => this.run(firing.due))
    } else this.sleep()
    return behind
  }

  stop(): void {
    this.stopped = true
    this.disk.stop()
    if (this.timer) this.host.ports.timers.clear(this.timer)
  }

  private sleep(): void {
    const due = this.nextDue()
    if (due === undefined) return
    this.wake(Math.min(Math.max(due - this.now(), 0), NOTICED_MS), () => this.tick())
  }

  private tick(): void {
    const now = this.now()
    this.follow(now)
    const missed = this.served.due(now)
    if (!missed) return this.sleep()
    if (missed.due < this.boundAt && !this.config.catchUp) {
      this.skipped += missed.skipped + 1
      this.served.serve(missed.due, true)
      return this.sleep()
    }
    this.begin(missed)
  }

  /** Where the clock was set back. */
  private follow(now: number): void {
    if (this.served.follow(now) > 0) this.boundAt = Math.min(this.boundAt, now)
  }

  private begin({ due, skipped }: { due: number; skipped: number }): void {
    this.running = true
    const before = { times: this.served.stored, skipped: this.skipped }
    this.served.serve(due, skipped > 0)
    this.skipped += skipped
    const firing: StoreWrite = { op: 'put', partition: this.partition, key: 'firing', value: { due }, ...this.kept() }
    this.write([this.scheduleWrite(), firing], (outcome) => {
      if (outcome.ok) {
        this.disk.answered()
        return this.run(due)
      }
      this.running = false
      this.served = new ServedTimes(this.schedule, before.times, due)
      this.skipped = before.skipped
      this.disk.failed(outcome.error, () => this.tick())
    })
  }

  private run(due: number): void {
    const [trigger] = this.bindings
    if (!trigger) return
    const context = this.host.contextFor(trigger, { deadlineMs: this.deadlineMs })
    const payload = {
      trigger: 'cron',
      job_id: trigger.id,
      scheduled_time: rfc3339(due),
      actual_time: rfc3339(this.now()),
    }
    const { condition } = this.config
    const event = { payload, context: { ...context, idempotencyKey: `cron:${this.identity}:${due}` } }
    fire(this.host, trigger, { ...event, ...(condition ? { condition } : {}) }, (result) => this.ran(due, result))
  }

  private ran(due: number, result: CallResult | undefined): void {
    // Nobody counts what falls due for a schedule that is gone.
    if (this.stopped) return this.conclude(due)
    if (result && !result.ok && UNDELIVERED.has(result.error.code)) return this.runLater(due)
    this.retryMs = RETRY_MS.first
    this.follow(this.now())
    const during = this.served.due(this.now())
    if (during) {
      const skipped = during.skipped + 1
      this.skipped += skipped
      this.served.serve(during.due)
      this.log().info({ trigger_id: this.bindings[0]?.id, skipped }, 'Cron ticks fell into the run before them')
    }
    this.conclude(due)
  }

  private conclude(due: number): void {
    this.read(({ firing }) => {
      // Unbound meanwhile, and perhaps bound anew: then the schedule is no longer this job's to move.
      const batch: StoreWrite[] = this.stopped ? [] : [this.scheduleWrite()]
      if (firing?.due === due) batch.push({ op: 'delete', partition: this.partition, key: 'firing' })
      if (batch.length === 0) return
      this.write(batch, (outcome) => {
        if (!outcome.ok && isUnanswered(outcome.error)) {
          return this.disk.failed(outcome.error, () => this.conclude(due))
        }
        this.tellRefusal(outcome)
        this.running = false
        this.sleep()
      })
    })
  }

  /** It did not reach its handler. It stays stored, and is tried again until a later one takes its place. */
  private runLater(due: number): void {
    const delay = this.retryMs
    this.retryMs = Math.min(this.retryMs * 2, RETRY_MS.last)
    this.wake(delay, () => {
      this.follow(this.now())
      const later = this.served.due(this.now())
      if (later) this.begin({ due: later.due, skipped: later.skipped + 1 })
      else this.run(due)
    })
  }

  private wake(delayMs: number, run: () => void): void {
    if (this.stopped) return
    if (this.timer) this.host.ports.timers.clear(this.timer)
    this.timer = this.host.ports.timers.set(delayMs, () =>
      this.turns.take(() => {
        if (!this.stopped) run()
      }),
    )
  }

  private scheduleWrite(): StoreWrite {
    const value: StoredSchedule = { ...this.served.stored, skipped: this.skipped }
    return { op: 'put', partition: this.partition, key: 'schedule', value, ...this.kept() }
  }

  /** What an installed worker declares is kept for good; anybody else's until long after its next time. */
  private kept(): { expires?: number } {
    if (this.bindings[0]?.worker !== undefined) return {}
    const now = this.now()
    return { expires: Math.max(now, this.nextDue() ?? now) + KEPT_MS }
  }

  /** What is stored, now or when the disk answers. */
  private read(done: (found: { stored: StoredSchedule | undefined; firing: Firing | undefined }) => void): void {
    const { store } = this.host.ports
    let stored: StoredSchedule | undefined
    let firing: Firing | undefined
    try {
      stored = store.latest(this.partition, 'schedule')?.value as StoredSchedule | undefined
      firing = store.latest(this.partition, 'firing')?.value as Firing | undefined
    } catch (error) {
      if (!(error instanceof EngineError)) throw error
      return this.disk.failed(error.toBody(), () => this.read(done))
    }
    done({ stored, firing })
  }

  private write(batch: StoreWrite[], done: (outcome: StoreOutcome) => void): void {
    this.host.ports.store.write(batch, done)
  }

  private tellRefusal(outcome: StoreOutcome): void {
    if (outcome.ok) return this.disk.answered()
    const { code, message } = outcome.error
    this.log().error({ trigger_id: this.bindings[0]?.id, code }, `A schedule was not stored: ${message}`)
  }

  private log(): Log {
    const [trigger] = this.bindings
    return trigger ? this.host.logOf(trigger.grant) : this.host.ports.log
  }

  private now(): number {
    return this.host.ports.clock.now()
  }
}

/** As the protocol writes UTC. */
function rfc3339(ms: number): string {
  return new Date(ms).toISOString().replace(/(?:\.000)?Z$/, '+00:00')
}
