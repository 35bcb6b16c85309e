import { isOfGuests } from '../../core/guest-share.ts'
import type { BuiltinTriggerType, EngineModule, ModuleHost, TriggerBinding } from '../../core/module.ts'
import { ANSWER_BYTES, allWithin } from '../answer-size.ts'
import { identityOf, readConfig } from '../bindings.ts'
import { Input } from '../input.ts'
import { ANY, arrayOf, BOOLEAN, object, STRING } from '../json-schema.ts'
import { serve } from '../serve.ts'
import { ClockWatch } from './clock-watch.ts'
import { Job, type JobConfig } from './job.ts'
import { Schedule } from './schedule.ts'
import { Turns } from './turns.ts'

export interface CronModuleOptions {
  /** How long a run may take before its call is given up. @default 1 hour */
  deadlineMs?: number
}

/** The `cron` trigger type. */
class CronJobs implements BuiltinTriggerType {
  readonly id = 'cron'
  readonly description = 'Fires at the times of a cron expression'
  readonly configFormat = object({
    expression: STRING,
    'timezone?': STRING,
    'catchUp?': BOOLEAN,
    'condition_function_id?': STRING,
  })
  private readonly host: ModuleHost
  private readonly deadlineMs: number
  private readonly jobs = new Map<string, Job>()
  private readonly byTrigger = new Map<TriggerBinding, Job>()
  private readonly turns: Turns
  private readonly clock: ClockWatch

  constructor(host: ModuleHost, deadlineMs: number) {
    this.host = host
    this.clock = new ClockWatch(host.ports)
    this.turns = new Turns(host.ports.timers)
    this.deadlineMs = deadlineMs
  }

  bind(trigger: TriggerBinding): void {
    const ofGuests = isGuests(trigger)
    if (ofGuests) this.host.guestShare.take('schedules')
    try {
      this.byTrigger.set(trigger, this.jobOf(trigger))
    } catch (error) {
      if (ofGuests) this.host.guestShare.give('schedules')
      throw error
    }
  }

  private jobOf(trigger: TriggerBinding): Job {
    const config = readConfig(() => readJobConfig(trigger.config))
    const schedule = new Schedule(config.expression, config.timezone)
    const identity = identityOf(trigger, config)
    const existing = this.jobs.get(identity)
    if (existing) {
      // An installed worker's manifest and each of its processes may name the same schedule: it fires once.
      existing.bindings.push(trigger)
      return existing
    }
    const { host, deadlineMs, turns } = this
    const job = new Job({ host, identity, trigger, config, schedule, deadlineMs, turns })
    job.start((byMs) => this.clock.tell(byMs))
    this.jobs.set(identity, job)
    return job
  }

  unbind(trigger: TriggerBinding): void {
    const job = this.byTrigger.get(trigger)
    if (!job) return
    this.byTrigger.delete(trigger)
    if (isGuests(trigger)) this.host.guestShare.give('schedules')
    job.bindings.splice(job.bindings.indexOf(trigger), 1)
    if (job.bindings.length > 0) return
    job.stop()
    this.jobs.delete(job.identity)
  }

  stop(): void {
    this.clock.stop()
    for (const job of this.jobs.values()) job.stop()
  }

  /** When the clock was set back, and by how much; null where it was not since the start. */
  clockSetBack(): object | null {
    const { setBack } = this.clock
    return setBack ? { at_ms: setBack.at, by_ms: setBack.byMs } : null
  }

  rows(): ({ function_id: string } & Record<string, unknown>)[] {
    return [...this.jobs.values()].map((job) => ({
      job_id: job.bindings[0]!.id,
      function_id: job.bindings[0]!.functionId,
      worker: job.bindings[0]!.worker ?? null,
      expression: job.config.expression,
      timezone: job.config.timezone ?? 'UTC',
      next_ms: job.nextDue() ?? null,
      last_ms: job.lastDue,
      running: job.running,
      skipped: job.skipped,
    }))
  }
}

/** Schedules whose times are served at least once, over restarts too. */
export function createCronModule(options: CronModuleOptions = {}): EngineModule {
  let jobs: CronJobs | undefined
  return {
    name: 'cron',
    start(host: ModuleHost): void {
      const started = new CronJobs(host, options.deadlineMs ?? 3_600_000)
      jobs = started
      host.registerTriggerType(started)
      serve(
        host,
        {
          id: 'engine::cron::list',
          summary:
            'Schedules, when each is due next, how many of its times were skipped, and whether the clock was set back',
          effects: 'read',
          idempotent: true,
          access: 'owner',
          request_format: object({ 'function_id?': STRING }),
          response_format: object({ schedules: arrayOf(ANY), clock_set_back: ANY }),
        },
        (input, call) => {
          const functionId = input.optionalString('function_id')
          const rows = started.rows().filter((row) => functionId === undefined || row.function_id === functionId)
          const instead = 'ask for those of one function: engine::cron::list {function_id}'
          const schedules = allWithin(rows, ANSWER_BYTES, 'All schedules', instead)
          call.reply({ schedules, clock_set_back: started.clockSetBack() })
        },
      )
    },
    stop(): void {
      jobs?.stop()
    },
  }
}

function isGuests({ worker, grant }: TriggerBinding): boolean {
  return worker === undefined && isOfGuests(grant)
}

function readJobConfig(raw: unknown): JobConfig {
  const input = new Input('cron', raw)
  const timezone = input.optionalString('timezone')
  const condition = input.optionalString('condition_function_id')
  return {
    expression: input.string('expression'),
    catchUp: input.optionalBoolean('catchUp') ?? true,
    ...(timezone === undefined ? {} : { timezone }),
    ...(condition === undefined ? {} : { condition }),
  }
}
