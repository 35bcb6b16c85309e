import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { WorkerDescriptor } from '@agentos/protocol'
import { type IIIClient, type InitOptions, registerWorker } from '@agentos/sdk'
import { Child } from './child.ts'
import { freePort } from './free-port.ts'
import { type ApiOptions, type ApiReply, callApi } from './http-api.ts'
import { install } from './installation.ts'

/** An entry of config.yaml; one with the name of a default entry is merged into it. */
export interface ConfigEntry {
  name: string
  config?: Record<string, unknown>
}

export interface EngineOptions {
  config?: {
    workers?: ConfigEntry[]
    /** The part of config.yaml that is ours: limits, guests, traces. */
    agentos?: Record<string, unknown>
  }
  /**
   * For every process, beside the least that a process needs; nothing of the host's environment is passed on, and as
   * under the supervisor what one worker's manifest declares as a secret reaches that worker alone.
   */
  env?: Record<string, string>
  /** A data folder to go on with; it is kept at `stop`. @default a fresh one, removed at `stop` */
  dataDir?: string
  /** Where the built system is. @default `dist` of this checkout */
  dist?: string
  /** @default 'info' */
  logLevel?: 'info' | 'debug' | 'trace'
}

export interface SystemOptions extends EngineOptions {
  /** Names of the workers that are installed and run, each as a process; the others are not there at all. */
  workers: string[]
  /** For single workers, on top of `env`. */
  workerEnv?: Record<string, Record<string, string>>
}

export interface ClientOptions extends InitOptions {
  /** Connect with the owner's token. @default false: a guest */
  owner?: boolean
}

/** A running system of real processes. */
export interface System {
  /** `http://127.0.0.1:<port>` */
  readonly httpUrl: string
  /** `ws://127.0.0.1:<port>`, for workers and clients. */
  readonly wsUrl: string
  readonly ownerToken: string
  readonly dataDir: string
  readonly engine: Child
  readonly workers: Readonly<Record<string, Child>>
  /** A new connection; closed at `stop`. */
  client(options?: ClientOptions): IIIClient
  api<T = unknown>(method: string, path: string, body?: unknown, options?: ApiOptions): Promise<ApiReply<T>>
  /** What a process wrote, or all of them. */
  logs(name?: string): string
  /** Resolves when `/ready` says so: engine and workers are up, for example again after a restart. */
  ready(): Promise<void>
  stop(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

const PORT_ATTEMPTS = 3
const READY_LIMIT_MS = 30_000

/** Starts an engine and these workers on free ports with a data folder of their own; resolves when all of them serve. */
export async function startSystem(options: SystemOptions): Promise<System> {
  const dist = await install(options.dist ?? join(import.meta.dirname, '../../../dist'), options.workers)
  const root = await mkdtemp(join(tmpdir(), 'agentos-test-'))
  const dataDir = options.dataDir ?? join(root, 'data')
  const ownerToken = await ensureToken(join(dataDir, 'owner-token'))
  const place: Place = {
    dist,
    root,
    dataDir,
    ownerToken,
    logLevel: options.logLevel ?? 'info',
    env: options.env ?? {},
    secrets: new Set(
      (await Promise.all(options.workers.map((name) => describedAs(dist, name)))).flatMap((w) => w.secrets),
    ),
  }
  const started: Child[] = []
  try {
    const { engine, httpUrl, wsUrl } = await startOnFreePorts(place, options.config ?? {})
    started.push(engine)
    const workers: Record<string, Child> = {}
    for (const name of options.workers) {
      const child = await prepareWorker(place, wsUrl, name, options.workerEnv?.[name] ?? {})
      workers[name] = child
      started.push(child)
    }
    await Promise.all(Object.values(workers).map((worker) => worker.start()))
    await untilReady(httpUrl, AbortSignal.timeout(READY_LIMIT_MS))
    return makeSystem(place, options.dataDir === undefined, { engine, workers, httpUrl, wsUrl })
  } catch (error) {
    await Promise.all(started.map((child) => child.kill()))
    await rm(root, { recursive: true, force: true, maxRetries: 5 })
    throw error
  }
}

/** An engine and nothing else. */
export function startEngine(options: EngineOptions = {}): Promise<System> {
  return startSystem({ ...options, workers: [] })
}

interface Place {
  dist: string
  root: string
  dataDir: string
  ownerToken: string
  logLevel: string
  env: Record<string, string>
  /** Names of the variables that belong to single workers. */
  secrets: ReadonlySet<string>
}

interface Parts {
  engine: Child
  workers: Record<string, Child>
  httpUrl: string
  wsUrl: string
}

function makeSystem(place: Place, ownsData: boolean, { engine, workers, httpUrl, wsUrl }: Parts): System {
  const { root, dataDir, ownerToken } = place
  const clients: IIIClient[] = []
  const children = [...Object.values(workers), engine]
  let stopped: Promise<void> | undefined
  const end = async (): Promise<void> => {
    await Promise.all(clients.map((client) => client.shutdown()))
    await Promise.all(Object.values(workers).map((worker) => worker.stop()))
    await engine.stop()
    if (ownsData) await rm(dataDir, { recursive: true, force: true, maxRetries: 5 })
    await rm(root, { recursive: true, force: true, maxRetries: 5 })
  }
  const stop = (): Promise<void> => {
    stopped ??= end()
    return stopped
  }
  return {
    httpUrl,
    wsUrl,
    ownerToken,
    dataDir,
    engine,
    workers,
    client({ owner = false, ...options } = {}) {
      const client = registerWorker(wsUrl, { ...(owner ? { credential: ownerToken } : {}), ...options })
      clients.push(client)
      return client
    },
    api: (method, path, body, options = {}) => callApi(httpUrl, ownerToken, method, path, body, options),
    logs: (name) =>
      children
        .filter((child) => name === undefined || child.name === name)
        .map((child) => child.output())
        .join(''),
    ready: () => untilReady(httpUrl, AbortSignal.timeout(READY_LIMIT_MS)),
    stop,
    [Symbol.asyncDispose]: stop,
  }
}

/** Somebody may take a port between our looking and the engine's listening: then others are tried. */
async function startOnFreePorts(
  place: Place,
  config: NonNullable<EngineOptions['config']>,
): Promise<Omit<Parts, 'workers'>> {
  for (let attempt = 1; ; attempt += 1) {
    const [http, manager] = [await freePort(), await freePort()]
    const httpUrl = `http://127.0.0.1:${http}`
    await writeFile(join(place.root, 'config.yaml'), JSON.stringify(configFile(config, http, manager), null, 2))
    const engine = new Child({
      name: 'engine',
      script: join(place.dist, 'engine.mjs'),
      env: environment(place),
      cwd: place.root,
      ready: (_child, signal) => untilHealthy(httpUrl, signal),
    })
    try {
      await engine.start()
      return { engine, httpUrl, wsUrl: `ws://127.0.0.1:${manager}` }
    } catch (error) {
      if (attempt >= PORT_ATTEMPTS || !engine.output().includes('EADDRINUSE')) throw error
    }
  }
}

async function prepareWorker(place: Place, wsUrl: string, name: string, own: Record<string, string>): Promise<Child> {
  const script = join(place.dist, 'workers', `${name}.mjs`)
  const { env: declared, secrets } = await describedAs(place.dist, name)
  const defaults = Object.fromEntries(Object.entries(declared).filter(([, value]) => value !== ''))
  return new Child({
    name,
    script,
    env: {
      ...defaults,
      ...environment(place, secrets),
      III_URL: wsUrl,
      AGENTOS_CREDENTIAL: await ensureToken(join(place.dataDir, 'credentials', name)),
      AGENTOS_VALIDATE_OUTPUT: '1',
      ...own,
    },
    cwd: place.root,
    ready: (child, signal) => child.wrote(/"msg":"serving"/, signal),
  })
}

/** The least that a process needs, and where things are: tests must not depend on the host's keys and settings. */
function environment(
  { root, dataDir, logLevel, env, secrets }: Place,
  own: readonly string[] = [],
): Record<string, string> {
  const given = Object.entries(env).filter(([name]) => !secrets.has(name) || own.includes(name))
  return {
    PATH: process.env.PATH ?? '',
    HOME: root,
    TMPDIR: process.env.TMPDIR ?? tmpdir(),
    TZ: 'UTC',
    LOG_LEVEL: logLevel,
    AGENTOS_ROOT: root,
    AGENTOS_CONFIG: join(root, 'config.yaml'),
    AGENTOS_DATA: dataDir,
    ...Object.fromEntries(given),
  }
}

async function describedAs(dist: string, name: string): Promise<WorkerDescriptor> {
  return JSON.parse(await readFile(join(dist, 'workers', `${name}.json`), 'utf8')) as WorkerDescriptor
}

function configFile(config: NonNullable<EngineOptions['config']>, http: number, manager: number): object {
  const defaults: ConfigEntry[] = [
    { name: 'iii-worker-manager', config: { host: '127.0.0.1', port: manager } },
    { name: 'iii-http', config: { host: '127.0.0.1', port: http } },
    { name: 'iii-state' },
    { name: 'iii-pubsub' },
    { name: 'iii-cron' },
    { name: 'iii-queue' },
  ]
  const given = config.workers ?? []
  const merged = defaults.map((entry) => {
    const more = given.find(({ name }) => name === entry.name)?.config
    return more ? { ...entry, config: { ...entry.config, ...more } } : entry
  })
  const others = given.filter(({ name }) => !defaults.some((entry) => entry.name === name))
  // Any port of this address: a test may put a proxy in front.
  return { workers: [...merged, ...others], agentos: { allowed_hosts: ['127.0.0.1'], ...config.agentos } }
}

/** All installed workers are up. */
const untilReady = (httpUrl: string, signal: AbortSignal): Promise<void> => untilOk(`${httpUrl}/ready`, signal)
/** The engine answers. */
const untilHealthy = (httpUrl: string, signal: AbortSignal): Promise<void> => untilOk(`${httpUrl}/health`, signal)

/** Resolves when this address answers with a status of success. */
export async function untilOk(url: string, signal: AbortSignal): Promise<void> {
  let last: unknown = 'no answer'
  for (;;) {
    if (signal.aborted) throw new Error(`${url} did not become ready: ${String(last)}`, { cause: signal.reason })
    try {
      const response = await fetch(url, { signal })
      last = `${response.status} ${await response.text()}`
      if (response.ok) return
    } catch (error) {
      last = error
    }
    await delay(25)
  }
}

/** As the set-up writes them: one line, mode 600. An existing one is kept. */
async function ensureToken(path: string): Promise<string> {
  await mkdir(join(path, '..'), { recursive: true, mode: 0o700 })
  const token = randomBytes(32).toString('base64url')
  try {
    await writeFile(path, `${token}\n`, { mode: 0o600, flag: 'wx' })
    return token
  } catch {
    return (await readFile(path, 'utf8')).trim()
  }
}
