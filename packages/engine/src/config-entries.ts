import { readdirSync } from 'node:fs'
import * as z from 'zod'
import { ConfigError } from './config-error.ts'
import { httpSettingsSchema } from './edge/http/settings.ts'
import { QueueFile } from './modules/queue/settings.ts'

export interface ConfigEntry {
  name: string
  config?: Record<string, unknown> | undefined
}

/** Only a value that says what is done anyway; `instead` says to whoever wrote another one what there is. */
const only = <V extends string | number | boolean>(value: V, instead: string) => z.literal(value, instead).optional()

const NO_ADAPTER = 'values lie in the store under AGENTOS_DATA; no other adapter is there in this release'

/** `adapter:` of a module that keeps things: `kv` is what our store is. */
const storeAdapter = z
  .strictObject({
    name: z.enum(['kv', 'builtin'], `only kv is there: ${NO_ADAPTER}`),
    config: z
      .strictObject({
        // Every value is on disk before the answer, which is more than either method promises at any interval.
        store_method: z.enum(['in_memory', 'file_based']).optional(),
        save_interval_ms: z.int().positive().optional(),
        // One engine owns the store, so its schedules need no lock.
        lock_ttl_ms: z.int().positive().optional(),
        lock_index: z.string().optional(),
      })
      .optional(),
  })
  .optional()

const localAdapter = z
  .strictObject({
    name: z.literal('local', 'only local is there: messages go to the subscribers of this engine'),
    config: z.strictObject({}).optional(),
  })
  .optional()

const ONE_LISTENER =
  'a listener with rules of its own is not there in this release: whoever connects is told apart by its token'

const Manager = z.strictObject({
  host: z.string().optional(),
  port: z.coerce.number().int().min(0).max(65_535).optional(),
  rbac: z.undefined(ONE_LISTENER).optional(),
  middleware_function_id: z.undefined(ONE_LISTENER).optional(),
})

const Observability = z.strictObject({
  enabled: only(true, 'traces, logs and metrics are always on'),
  exporter: only('memory', 'spans are kept here and exported nowhere'),
  sampling_ratio: z.number().min(0).max(1).optional(),
  metrics_enabled: only(true, 'metrics are always on'),
  metrics_exporter: only('memory', 'metrics are read at /metrics and exported nowhere'),
  logs_enabled: only(true, 'logs are always on'),
  logs_exporter: only('memory', 'logs are kept here and exported nowhere'),
  logs_console_output: only(true, 'the engine always writes its log; LOG_LEVEL says how much'),
})

/** Modules of the engine by their two names in the iii layout, with what may stand under `config:`. */
const MODULES: readonly { names: readonly string[]; config: z.ZodType }[] = [
  { names: ['iii-worker-manager'], config: Manager },
  { names: ['iii-engine-functions'], config: z.strictObject({}) },
  { names: ['iii-observability'], config: Observability },
  { names: ['iii-telemetry'], config: z.strictObject({ enabled: only(false, 'nothing is sent to anybody') }) },
  { names: ['iii-http', 'http'], config: httpSettingsSchema },
  { names: ['iii-state', 'state'], config: z.strictObject({ adapter: storeAdapter }) },
  { names: ['iii-pubsub', 'pubsub'], config: z.strictObject({ adapter: localAdapter }) },
  { names: ['iii-cron', 'cron'], config: z.strictObject({ adapter: storeAdapter }) },
  { names: ['iii-queue', 'queue'], config: QueueFile },
]

/** Modules of the layout that this release does not have; naming them is an error, not a silent nothing. */
const LATER = new Set([
  ...['iii-stream', 'stream', 'iii-bridge', 'bridge', 'iii-exec', 'exec', 'iii-http-functions', 'http-functions'],
  ...['iii-sandbox', 'sandbox', 'iii-worker-ops', 'configuration'],
])

/** How the layout starts workers that it does not build in. */
const STARTS: Record<string, string> = {
  image: 'no container is started here',
  worker_path: 'workers are installed as folders under workers/',
}

export function isModule(name: string): boolean {
  return moduleOf(name) !== undefined
}

/** Refuses what the file asks for and would not get, all of it in one `ConfigError`. */
export function checkEntries(entries: readonly ConfigEntry[], installed?: ReadonlySet<string>): void {
  const problems: string[] = []
  const seen = new Set<unknown>()
  for (const entry of entries) {
    const { name } = entry
    const module = moduleOf(name)
    if (LATER.has(name)) problems.push(`lists ${name}, which this release does not have; remove it`)
    else if (!module && installed && !installed.has(name)) {
      problems.push(`lists ${name}, which is neither a module of the engine nor an installed worker`)
    }
    if (seen.has(module ?? name)) problems.push(`lists ${name} a second time; one entry of each is there`)
    seen.add(module ?? name)
    for (const key of Object.keys(entry)) {
      if (key === 'name' || key === 'config') continue
      problems.push(`${name}, at ${key}: ${STARTS[key] ?? 'not a key of an entry, which has name and config'}`)
    }
    if (module) problems.push(...issuesOf(name, module.config.safeParse(entry.config ?? {}).error))
  }
  if (problems.length > 0) throw new ConfigError(`config.yaml: ${problems.join('; ')}`)
}

/**
 * The newer generation of the layout keeps settings in `config/<module>.yaml`, those of workers too. They are not read here, so where there
 * are such files the start is refused.
 */
export function refuseNewerLayout(folder: string, installed?: ReadonlySet<string>): void {
  const files = filesOf(folder).filter((file) => {
    const name = /^(.+)\.ya?ml$/.exec(file)?.[1]
    return name !== undefined && (isModule(name) || LATER.has(name) || installed?.has(name))
  })
  if (files.length === 0) return
  throw new ConfigError(
    `${files.map((file) => `config/${file}`).join(', ')}: settings in a folder are not read; move them under \`config:\` of the entry of that name in config.yaml`,
  )
}

function moduleOf(name: string): (typeof MODULES)[number] | undefined {
  return MODULES.find(({ names }) => names.includes(name))
}

function issuesOf(name: string, error: z.ZodError | undefined): string[] {
  return (error?.issues ?? []).map(
    ({ path, message }) => `${name}${path.length > 0 ? `, at ${path.join('.')}` : ''}: ${message}`,
  )
}

function filesOf(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}
