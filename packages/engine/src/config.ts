import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { parse } from 'yaml'
import * as z from 'zod'
import { checkEntries, isModule, refuseNewerLayout } from './config-entries.ts'
import { ConfigError } from './config-error.ts'
import { type GuestPower, POWER_NAMES } from './core/guest-powers.ts'
import type { GuestLimits as GuestBounds } from './core/guest-share.ts'
import { type HttpSettings, httpSettingsFrom, ORIGIN } from './edge/http/settings.ts'
import { namedQueues, QueueFile, type QueueSettings } from './modules/queue/settings.ts'

const Limits = z.strictObject({
  in_flight_per_worker: z.int().positive().optional(),
  in_flight_per_realm: z.int().positive().optional(),
  queued_calls: z.int().positive().optional(),
  registrations_per_connection: z.int().positive().optional(),
  registration_bytes: z.int().min(1024).optional(),
  frame_bytes: z.int().min(1024).optional(),
  buffered_bytes: z.int().min(1024).optional(),
  worker_wait_ms: z.int().nonnegative().optional(),
})

const amount = z.int().positive().optional()

/** Of all guests together; what is not given is as in `core/guest-share.ts`. */
const GuestLimits = z.strictObject({
  in_flight: amount,
  requests: amount,
  channels: amount,
  connections: amount,
  state_bytes: amount,
  writing_bytes: amount,
  registrations: amount,
  registration_bytes: amount,
  described_bytes: amount,
  queued_bytes: amount,
  schedules: z.int().nonnegative().optional(),
  spans_per_minute: z.int().nonnegative().optional(),
  call_ms: amount,
  engine_percent: z.int().min(1).max(100).optional(),
} satisfies Record<keyof GuestBounds, z.ZodType>)

const Allowed = z.strictObject({
  ...(Object.fromEntries(POWER_NAMES.map((power) => [power, z.boolean().default(true)])) as Record<
    GuestPower,
    z.ZodDefault<z.ZodBoolean>
  >),
})

/** What clients without a credential may do. */
const GuestTable = z.strictObject({ allow: Allowed.prefault({}), limits: GuestLimits.prefault({}) })

/** `true` is the table with its defaults; `false` lets no guest in. */
const Guests = z
  .unknown()
  .default(true)
  .transform((given, context): z.output<typeof GuestTable> | false => {
    if (given === false) return false
    if (given !== true && (typeof given !== 'object' || given === null)) {
      const message = `it is \`false\`, which lets no guest in, or a table \`{ allow, limits }\`, not ${JSON.stringify(given)}`
      context.addIssue({ code: 'custom', message })
      return z.NEVER
    }
    const table = GuestTable.safeParse(given === true ? {} : given)
    if (table.success) return table.data
    for (const { path, message } of table.error.issues) context.addIssue({ code: 'custom', path, message })
    return z.NEVER
  })

const Ours = z.strictObject({
  guests: Guests,
  guest_requests_per_minute: z.int().positive().default(6_000),
  allowed_hosts: z.array(z.string()).default([]),
  allowed_origins: z.array(ORIGIN).default([]),
  body_bytes: z
    .int()
    .positive()
    .default(4 * 1024 * 1024),
  max_value_bytes: z
    .int()
    .positive()
    .default(4 * 1024 * 1024),
  /** How often each peer is pinged. */
  heartbeat_ms: z.int().min(100).max(60_000).default(5_000),
  limits: Limits.default({}),
  keys: z
    .strictObject({
      /** Idempotency keys of one principal of a realm that are remembered. */
      kept: z.int().positive().default(100_000),
      /** Bytes of the results that are kept under them. */
      bytes: z
        .int()
        .positive()
        .default(256 * 1024 * 1024),
    })
    .prefault({}),
  // Beside `idle_ms` and `silent_ms` (the supervisor's) an entry for each worker that has settings: no worker's name has an underscore.
  workers: z
    .object({ idle_ms: z.int().positive().default(600_000), silent_ms: z.int().positive().default(30_000) })
    .catchall(z.strictObject({ instances: z.int().min(1).max(64) }))
    .prefault({}),
  store: z.strictObject({ remembered_deletions: z.int().nonnegative().optional() }).prefault({}),
  journal: z.strictObject({ retention_days: z.number().positive().default(7) }).prefault({}),
  traces: z
    .strictObject({
      record_payloads: z.boolean().default(false),
      ring_bytes: z
        .int()
        .positive()
        .default(16 * 1024 * 1024),
      disk_bytes: z
        .int()
        .positive()
        .default(256 * 1024 * 1024),
      retention_days: z.number().positive().default(7),
      sampling: z.number().min(0).max(1).default(1),
    })
    .prefault({}),
})

const Entry = z.looseObject({
  name: z.string(),
  config: z.record(z.string(), z.unknown()).optional(),
})

const File = z.strictObject({
  workers: z.array(Entry).default([]),
  modules: z.array(Entry).default([]),
  agentos: Ours.prefault({}),
})

/** What of `iii-observability` is ours under another name: there it wins over `agentos.traces.sampling`. */
const Sampling = z.object({ sampling_ratio: z.number().optional() })

const Listener = z.looseObject({
  host: z.string().default('127.0.0.1'),
  port: z.coerce.number().int().min(0).max(65_535),
})

export { ConfigError }

export interface EngineConfig {
  manager: { host: string; port: number }
  /** `undefined` where the file lists no HTTP. */
  http: Partial<HttpSettings> | undefined
  state: boolean
  pubsub: boolean
  cron: boolean
  /** Named queues; `undefined` where the file lists no queue. */
  queues: Map<string, QueueSettings> | undefined
  agentos: z.output<typeof Ours>
  /** `config:` of the entries that are not the engine's own. */
  workers: ReadonlyMap<string, unknown>
}

/** `${NAME:default}` over the raw text, before YAML is parsed, as the iii layout has it. */
export function expandVariables(text: string, env: NodeJS.ProcessEnv): string {
  return text.replace(/\$\{([^}:]+)(?::([^}]*))?\}/g, (_match, name: string, fallback: string | undefined) => {
    const value = env[name] ?? fallback
    if (value === undefined) {
      throw new ConfigError(`config.yaml asks for \${${name}}: set ${name}, or write \${${name}:default}`)
    }
    return value
  })
}

/**
 * Reads and checks config.yaml; a missing file is the default installation. `installed` names the workers that an entry
 * may be about. Throws a `ConfigError` for what is not there, and for a `config/` folder of the newer iii layout.
 */
export function loadConfig(path: string, env: NodeJS.ProcessEnv, installed?: ReadonlySet<string>): EngineConfig {
  refuseNewerLayout(join(dirname(path), 'config'), installed)
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') text = DEFAULT_CONFIG
    else throw new ConfigError(`config.yaml cannot be read: ${error instanceof Error ? error.message : String(error)}`)
  }
  return parseConfig(text, env, installed)
}

export function parseConfig(text: string, env: NodeJS.ProcessEnv, installed?: ReadonlySet<string>): EngineConfig {
  let document: unknown
  try {
    document = parse(expandVariables(text, env)) ?? {}
  } catch (error) {
    if (error instanceof ConfigError) throw error
    throw new ConfigError(`config.yaml is not valid YAML: ${error instanceof Error ? error.message : String(error)}`)
  }
  const file = check(File, document, 'config.yaml')
  const entries = [...file.modules, ...file.workers]
  checkEntries(entries, installed)
  checkWorkers(file.agentos.workers, installed)
  const find = (...names: string[]): z.output<typeof Entry> | undefined =>
    entries.find((entry) => names.includes(entry.name))
  const http = find('iii-http', 'http')
  const queue = find('iii-queue', 'queue')
  const { sampling_ratio: sampling } = check(Sampling, find('iii-observability')?.config ?? {}, 'iii-observability')
  const manager = check(Listener, { port: 49_134, ...find('iii-worker-manager')?.config }, 'iii-worker-manager')
  return {
    manager: { host: manager.host, port: manager.port },
    http: http && httpSettings(http.config, file.agentos),
    state: find('iii-state', 'state') !== undefined,
    pubsub: find('iii-pubsub', 'pubsub') !== undefined,
    cron: find('iii-cron', 'cron') !== undefined,
    queues: queue && namedQueues(check(QueueFile, queue.config ?? {}, 'iii-queue')),
    agentos: sampling === undefined ? file.agentos : withSampling(file.agentos, sampling),
    workers: new Map(entries.filter((entry) => !isModule(entry.name)).map((entry) => [entry.name, entry.config])),
  }
}

/** Entries beside `idle_ms` and `silent_ms` are about workers that are there. */
function checkWorkers(workers: object, installed?: ReadonlySet<string>): void {
  const unknown = Object.keys(workers).find((name) => !name.includes('_') && installed && !installed.has(name))
  if (unknown !== undefined) {
    throw new ConfigError(`config.yaml, at agentos.workers.${unknown}: no worker of this name is installed`)
  }
}

function httpSettings(config: unknown, ours: z.output<typeof Ours>): Partial<HttpSettings> {
  const settings = httpSettingsFrom(config)
  return {
    ...settings,
    guests: ours.guests !== false,
    guestRequestsPerMinute: ours.guest_requests_per_minute,
    allowedHosts: ours.allowed_hosts,
    allowedOrigins: [...(settings.allowedOrigins ?? []), ...ours.allowed_origins],
    bodyBytes: ours.body_bytes,
  }
}

function withSampling(ours: z.output<typeof Ours>, sampling: number): z.output<typeof Ours> {
  return { ...ours, traces: { ...ours.traces, sampling } }
}

const DEFAULT_CONFIG = `
workers:
  - name: iii-worker-manager
  - name: iii-http
  - name: iii-state
  - name: iii-pubsub
  - name: iii-cron
  - name: iii-queue
`

function check<S extends z.ZodType>(schema: S, value: unknown, where: string): z.output<S> {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const [issue] = result.error.issues
  const path = issue?.path.join('.') ?? ''
  throw new ConfigError(`${where}${path ? `, at ${path}` : ''}: ${issue?.message ?? 'not valid'}`)
}
