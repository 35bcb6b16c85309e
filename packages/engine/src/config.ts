import { readFileSync } from 'node:fs'
import { parse } from 'yaml'
import * as z from 'zod'
import { type HttpSettings, httpSettingsFrom } from './edge/http/settings.ts'
import { namedQueues, QueueFile, type QueueSettings } from './modules/queue/settings.ts'

/** A mistake in config.yaml, in words for the person who wrote it. */
export class ConfigError extends Error {}

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

const Ours = z.strictObject({
  guests: z.boolean().default(true),
  guest_requests_per_minute: z.int().positive().default(6_000),
  allowed_hosts: z.array(z.string()).default([]),
  allowed_origins: z.array(z.string()).default([]),
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
  // Beside `idle_ms` an entry for each worker that has settings: no worker's name has an underscore.
  workers: z
    .object({ idle_ms: z.int().positive().default(600_000) })
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

const Listener = z.looseObject({
  host: z.string().default('127.0.0.1'),
  port: z.coerce.number().int().min(0).max(65_535),
})

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

const BUILTIN = new Set([
  'iii-worker-manager',
  'iii-engine-functions',
  'iii-observability',
  'iii-telemetry',
  'configuration',
  'iii-http',
  'http',
  'iii-state',
  'state',
  'iii-pubsub',
  'pubsub',
  'iii-cron',
  'cron',
  'iii-queue',
  'queue',
])

/** Modules of the layout that this release does not have; naming them is an error, not a silent nothing. */
const LATER = new Set(['iii-stream', 'iii-bridge', 'iii-exec', 'iii-http-functions', 'iii-sandbox'])

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

/** Reads and checks config.yaml; a missing file is the default installation. */
export function loadConfig(path: string, env: NodeJS.ProcessEnv): EngineConfig {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') text = DEFAULT_CONFIG
    else throw new ConfigError(`config.yaml cannot be read: ${error instanceof Error ? error.message : String(error)}`)
  }
  return parseConfig(text, env)
}

export function parseConfig(text: string, env: NodeJS.ProcessEnv): EngineConfig {
  let document: unknown
  try {
    document = parse(expandVariables(text, env)) ?? {}
  } catch (error) {
    if (error instanceof ConfigError) throw error
    throw new ConfigError(`config.yaml is not valid YAML: ${error instanceof Error ? error.message : String(error)}`)
  }
  const file = check(File, document, 'config.yaml')
  const entries = [...file.modules, ...file.workers]
  for (const { name } of entries) {
    if (LATER.has(name)) throw new ConfigError(`config.yaml lists ${name}, which this release does not have; remove it`)
  }
  const find = (...names: string[]): z.output<typeof Entry> | undefined =>
    entries.find((entry) => names.includes(entry.name))
  const http = find('iii-http', 'http')
  const queue = find('iii-queue', 'queue')
  const manager = check(Listener, { port: 49_134, ...find('iii-worker-manager')?.config }, 'iii-worker-manager')
  return {
    manager: { host: manager.host, port: manager.port },
    http: http && httpSettings(http.config, file.agentos),
    state: find('iii-state', 'state') !== undefined,
    pubsub: find('iii-pubsub', 'pubsub') !== undefined,
    cron: find('iii-cron', 'cron') !== undefined,
    queues: queue && namedQueues(check(QueueFile, queue.config ?? {}, 'iii-queue')),
    agentos: file.agentos,
    workers: new Map(entries.filter((entry) => !BUILTIN.has(entry.name)).map((entry) => [entry.name, entry.config])),
  }
}

function httpSettings(config: unknown, ours: z.output<typeof Ours>): Partial<HttpSettings> {
  try {
    const settings = httpSettingsFrom(config)
    return {
      ...settings,
      guests: ours.guests,
      guestRequestsPerMinute: ours.guest_requests_per_minute,
      allowedHosts: ours.allowed_hosts,
      allowedOrigins: [...(settings.allowedOrigins ?? []), ...ours.allowed_origins],
      bodyBytes: ours.body_bytes,
    }
  } catch (error) {
    if (!(error instanceof z.ZodError)) throw error
    const [issue] = error.issues
    throw new ConfigError(`iii-http, at ${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'not valid'}`)
  }
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
