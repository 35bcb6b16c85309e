import { EngineError } from '@agentos/protocol'
import * as z from 'zod'
import { Input } from '../input.ts'
import { integer, object, oneOf, STRING } from '../json-schema.ts'

/** How one queue delivers. Times are milliseconds. */
export interface QueueSettings {
  /** In order per group, one at a time in each; else in parallel. */
  fifo: boolean
  /** Field of a job's data that names its group; without one the whole queue is one group. */
  groupField?: string
  /** Attempts in total, then the job is a dead letter. */
  maxAttempts: number
  /** Deliveries at once; groups of a FIFO queue run side by side up to it. */
  concurrency: number
  backoffMs: number
  backoff: 'exponential' | 'fixed'
  /** How long one delivery may take, the lease on the job; past it the attempt has failed. */
  leaseMs: number
  /** How long a job waits before its first delivery. */
  delayMs: number
  /** Jobs that the queue holds; past it `overloaded`. */
  maxDepth: number
  /** How long dead letters are kept, and how many. */
  deadMs: number
  maxDead: number
}

export const DEFAULT_SETTINGS: QueueSettings = {
  fifo: false,
  maxAttempts: 3,
  concurrency: 10,
  backoffMs: 1_000,
  backoff: 'exponential',
  leaseMs: 300_000,
  delayMs: 0,
  maxDepth: 10_000,
  deadMs: 14 * 24 * 3_600_000,
  maxDead: 10_000,
}

const MAX_BACKOFF_MS = 3_600_000
const DAY_MS = 24 * 3_600_000

/** Delay before the attempt that follows the `attempts`-th, at most an hour. */
export function backoffMs(settings: QueueSettings, attempts: number): number {
  const factor = settings.backoff === 'fixed' ? 1 : 2 ** Math.max(0, attempts - 1)
  return Math.min(settings.backoffMs * factor, Math.max(settings.backoffMs, MAX_BACKOFF_MS))
}

const NamedQueue = z
  .strictObject({
    max_retries: z.int().min(0).max(1_000).default(DEFAULT_SETTINGS.maxAttempts),
    concurrency: z.int().positive().max(1_000).default(DEFAULT_SETTINGS.concurrency),
    type: z.enum(['standard', 'fifo']).default('standard'),
    message_group_field: z.string().min(1).optional(),
    backoff_ms: z.int().min(0).max(DAY_MS).default(DEFAULT_SETTINGS.backoffMs),
    // Read for the sake of existing files: jobs are handed over at once here, nothing polls.
    poll_interval_ms: z.int().positive().optional(),
    visibility_timeout_ms: z.int().min(1).max(DAY_MS).default(DEFAULT_SETTINGS.leaseMs),
    max_depth: z.int().positive().max(1_000_000).default(DEFAULT_SETTINGS.maxDepth),
    dlq_retention_days: z
      .number()
      .positive()
      .max(3_650)
      .default(DEFAULT_SETTINGS.deadMs / DAY_MS),
    dlq_max: z.int().positive().max(1_000_000).default(DEFAULT_SETTINGS.maxDead),
  })
  .refine((queue) => queue.type !== 'fifo' || queue.message_group_field !== undefined, {
    path: ['message_group_field'],
    message: 'a fifo queue needs message_group_field, the field of the data that names the group',
  })

/** `config:` of the `iii-queue` entry in config.yaml. */
export const QueueFile = z.strictObject({
  queue_configs: z.record(z.string().min(1), NamedQueue.prefault({})).default({}),
  adapter: z
    .strictObject({
      name: z.enum(['builtin', 'kv'], 'only the builtin adapter is there: jobs lie in the store under AGENTOS_DATA'),
      // Every job is on disk before it is accepted, which is more than either method promises at any interval.
      config: z
        .strictObject({
          store_method: z.enum(['in_memory', 'file_based']).optional(),
          save_interval_ms: z.int().positive().optional(),
        })
        .optional(),
    })
    .optional(),
})

/** Named queues of config.yaml; `default` is always one of them. */
export function namedQueues(file: z.output<typeof QueueFile>): Map<string, QueueSettings> {
  const queues = new Map<string, QueueSettings>([['default', DEFAULT_SETTINGS]])
  for (const [name, queue] of Object.entries(file.queue_configs)) {
    queues.set(name, {
      ...DEFAULT_SETTINGS,
      fifo: queue.type === 'fifo',
      ...(queue.message_group_field === undefined ? {} : { groupField: queue.message_group_field }),
      maxAttempts: Math.max(1, queue.max_retries),
      concurrency: queue.concurrency,
      backoffMs: queue.backoff_ms,
      leaseMs: queue.visibility_timeout_ms,
      maxDepth: queue.max_depth,
      deadMs: queue.dlq_retention_days * DAY_MS,
      maxDead: queue.dlq_max,
    })
  }
  return queues
}

/** What `subscriberSettings` reads. */
export const SUBSCRIBER_CONFIG = object({
  'type?': oneOf('standard', 'fifo', 'concurrent'),
  'maxRetries?': integer(0, 1_000),
  'messageGroupField?': STRING,
  'concurrency?': integer(1, 1_000),
  'backoffDelayMs?': integer(0, DAY_MS),
  'backoffType?': oneOf('exponential', 'fixed'),
  'visibilityTimeout?': integer(1, DAY_MS / 1_000),
  'delaySeconds?': integer(0, DAY_MS / 1_000),
})

/** `queue_config` of a `durable:subscriber` trigger; `maxRetries` counts the attempts after the first. */
export function subscriberSettings(raw: unknown): QueueSettings {
  const input = new Input('durable:subscriber queue_config', raw)
  const whole = (name: string, min: number, max: number) => input.optionalInteger(name, { min, max })
  const type = input.optionalOneOf('type', ['standard', 'fifo', 'concurrent'])
  const retries = whole('maxRetries', 0, 1_000)
  const groupField = input.optionalString('messageGroupField')
  return {
    ...DEFAULT_SETTINGS,
    fifo: type === 'fifo',
    ...(groupField === undefined ? {} : { groupField }),
    maxAttempts: retries === undefined ? DEFAULT_SETTINGS.maxAttempts : retries + 1,
    concurrency: whole('concurrency', 1, 1_000) ?? DEFAULT_SETTINGS.concurrency,
    backoffMs: whole('backoffDelayMs', 0, DAY_MS) ?? DEFAULT_SETTINGS.backoffMs,
    backoff: input.optionalOneOf('backoffType', ['exponential', 'fixed']) ?? 'exponential',
    leaseMs: seconds(whole('visibilityTimeout', 1, DAY_MS / 1_000)) ?? DEFAULT_SETTINGS.leaseMs,
    delayMs: seconds(whole('delaySeconds', 0, DAY_MS / 1_000)) ?? 0,
  }
}

function seconds(value: number | undefined): number | undefined {
  return value === undefined ? undefined : value * 1_000
}

/** Group of a job in a queue of this kind; empty where the whole queue is one. */
export function groupOf(queue: string, settings: QueueSettings, data: unknown): string {
  const { fifo, groupField } = settings
  if (!fifo || groupField === undefined) return ''
  const value = typeof data === 'object' && data !== null ? Reflect.get(data, groupField) : undefined
  if (value === undefined || value === null) {
    throw new EngineError(
      'enqueue_error',
      `FIFO queue '${queue}' needs the field '${groupField}' in the data: it is missing or null`,
    )
  }
  return typeof value === 'string' ? value : JSON.stringify(value)
}
