import { existsSync, readFileSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { join } from 'node:path'
import { EngineError, type KnownSecrets } from '@agentos/protocol'
import type { EngineConfig } from './config.ts'
import { Catalogue } from './core/catalogue.ts'
import type { Grant } from './core/connection.ts'
import { Core } from './core/core.ts'
import type { GuestLimits } from './core/guest-share.ts'
import { IdleWatch } from './core/idle-watch.ts'
import type { Limits } from './core/limits.ts'
import type { EngineModule } from './core/module.ts'
import type { Log, Ports } from './core/ports.ts'
import { readDescriptors, readKnownContracts } from './descriptors.ts'
import { ChannelTable, createChannelsModule } from './edge/channels.ts'
import { coreView } from './edge/http/core-view.ts'
import { createHttpEdge, type HttpAddress, type HttpEdge } from './edge/http/edge.ts'
import { type Entered, enterRealm, GUESTS_ARE_OFF } from './edge/identity.ts'
import { OriginGuard } from './edge/origin.ts'
import { bearer, GUEST, Tokens } from './edge/tokens.ts'
import { WorkerSocketServer } from './edge/worker-socket.ts'
import { createCronModule } from './modules/cron/module.ts'
import { createEngineModule } from './modules/engine/functions.ts'
import { createJournalModule } from './modules/journal/module.ts'
import { createKeysModule } from './modules/keys/module.ts'
import { createPubsubModule } from './modules/pubsub/module.ts'
import { createQueueModule } from './modules/queue/module.ts'
import { createSecretsModule } from './modules/secrets/module.ts'
import { createStateModule } from './modules/state/module.ts'
import { createStoreModule } from './modules/store/module.ts'
import { createTracesModule } from './modules/traces/module.ts'
import { tellOfGuestRealm } from './realm-notice.ts'
import { wasUsed } from './store/data-format.ts'
import { openSqliteStore } from './store/sqlite-store.ts'
import { systemClock, systemIds, systemTimers } from './system-ports.ts'

export interface EngineOptions {
  config: EngineConfig
  dataDir: string
  /** Folder of what was built: `workers/*.json`, `contracts.json`, `console/`. */
  distDir: string
  /** File of the store's thread. */
  threadUrl: URL
  version: string
  log: Log
  /** What is blanked wherever something is written or an error is passed on. */
  secrets: KnownSecrets
}

export interface RunningEngine {
  readonly core: Core
  readonly workerPort: number
  readonly http: HttpAddress | undefined
  /** What its owner has to hear of at this start; the log has it too. */
  readonly notice: string | undefined
  /** Takes no new work, waits for what runs, and stops; everything accepted is on disk then. */
  stop(drainMs: number): Promise<void>
}

/** Puts the engine together: store, core, modules and edges, by name and in the order in which they start. */
export async function startEngine(options: EngineOptions): Promise<RunningEngine> {
  const { config, dataDir, log } = options
  const { agentos } = config
  if (agentos.guests && !isLoopback(config.manager.host)) {
    throw new EngineError(
      'forbidden',
      `Other machines reach workers' port on ${config.manager.host}: set \`guests: false\` in config.yaml, or listen on 127.0.0.1`,
    )
  }
  const used = wasUsed(dataDir)
  const store = await openSqliteStore({
    folder: dataDir,
    threadUrl: options.threadUrl,
    clock: systemClock,
    log,
    limits: agentos.store.remembered_deletions === undefined ? {} : { deletions: agentos.store.remembered_deletions },
    traces: { maxBytes: agentos.traces.disk_bytes, maxAgeMs: agentos.traces.retention_days * 24 * 60 * 60 * 1000 },
  })
  const notice = tellOfGuestRealm(dataDir, used, log)
  const ports: Ports = { clock: systemClock, timers: systemTimers, ids: systemIds, store, log }
  const descriptors = readDescriptors(`${options.distDir}/workers`)
  const catalogue = new Catalogue(descriptors, readKnownContracts(`${options.distDir}/contracts.json`))
  const core = new Core({
    ports,
    catalogue,
    limits: limitsOf(agentos),
    guestLimits: guestLimitsOf(agentos),
    guestsMay: agentos.guests === false ? {} : agentos.guests.allow,
    workerConfig: (worker) => config.workers.get(worker),
    secrets: options.secrets,
  })
  const names = descriptors.map((descriptor) => descriptor.name)
  learnTokens(options.secrets, dataDir, names)
  const tokens = new Tokens(dataDir, names, undefined, (token) => options.secrets.learn(token))
  const channels = new ChannelTable(ports, core.guestShare)
  const connections = { spawns: 0, deaths: 0 }
  core.onEvent(({ type }) => {
    if (type === 'worker_connected') connections.spawns += 1
    if (type === 'worker_disconnected') connections.deaths += 1
  })
  const traces = createTracesModule({
    version: options.version,
    disk: store.traces,
    openWriter: (ref) => channels.openWriter(ref),
    settings: {
      sampling: agentos.traces.sampling,
      ringBytes: agentos.traces.ring_bytes,
      recordPayloads: agentos.traces.record_payloads,
    },
    secrets: options.secrets,
    workers: () => ({ ...connections, active: core.connections.size }),
  })
  const edge: HttpEdge | undefined = config.http
    ? createHttpEdge({
        core: coreView(core),
        facts: { runs: () => journal.counts(), jobs: () => queue?.counts() ?? { depth: 0, dead: 0 } },
        channels,
        tokens,
        settings: config.http,
        consoleDir: `${options.distDir}/console`,
        version: options.version,
      })
    : undefined
  const queue = config.queues
    ? createQueueModule({ queues: config.queues, maxDataBytes: agentos.max_value_bytes })
    : undefined
  const journal = createJournalModule({
    keptMs: agentos.journal.retention_days * 24 * 60 * 60 * 1000,
    openWriter: (ref) => channels.openWriter(ref),
  })
  const modules = [
    createEngineModule(core),
    createChannelsModule(channels),
    createStoreModule(store),
    createSecretsModule(options.secrets),
    createKeysModule({ ...agentos.keys, maxResultBytes: agentos.max_value_bytes }),
    traces,
    config.state ? createStateModule({ maxValueBytes: agentos.max_value_bytes }) : undefined,
    config.pubsub ? createPubsubModule() : undefined,
    config.cron ? createCronModule() : undefined,
    queue,
    journal,
    edge?.module,
  ].filter((module): module is EngineModule => module !== undefined)
  core.start(modules)
  new IdleWatch(core, agentos.workers.idle_ms).start()

  const identify = ({ headers }: IncomingMessage): Entered<Grant> => {
    const token = bearer(headers.authorization)
    const grant = token === undefined ? (agentos.guests ? GUEST : undefined) : tokens.grantOf(token)
    if (grant) return enterRealm(grant, headers['x-agentos-realm']?.toString())
    const unknown =
      'This token is not known here: send `Authorization: Bearer <token>` with the content of data/owner-token'
    return { ok: false, code: 'forbidden', message: token === undefined ? GUESTS_ARE_OFF : unknown }
  }
  // Any port: workers may come through a tunnel. It is the name that gives a rebound address away.
  const guard = new OriginGuard({ ports: [], hosts: [...LOOPBACK_NAMES, ...agentos.allowed_hosts], origins: [] })
  const sockets = new WorkerSocketServer({
    core,
    channels,
    host: config.manager.host,
    port: config.manager.port,
    identify,
    // Clients of the protocol send no Origin; a page that does has to be listed.
    welcome: ({ headers }) =>
      guard.hostIsWelcome(headers.host) &&
      (headers.origin === undefined || agentos.allowed_origins.includes(headers.origin)),
    ingest: (json, source) => traces.ingestOtlp(json, source),
  })
  const workerPort = await sockets.listen()
  const http = await edge?.listen()
  return {
    core,
    workerPort,
    http,
    notice,
    async stop(drainMs) {
      // Calls under way may end; jobs that wait are delivered after the next start.
      queue?.stop?.()
      journal.stop?.()
      await edge?.close(drainMs)
      await sockets.close()
      for (const module of modules) module.stop?.()
      await store.close()
    },
  }
}

/** Those of everybody, before one of them is ever shown: a log may hold one that was not used yet. */
function learnTokens(secrets: KnownSecrets, dataDir: string, workers: readonly string[]): void {
  for (const file of ['owner-token', ...workers.map((worker) => join('credentials', worker))]) {
    const path = join(dataDir, file)
    if (existsSync(path)) secrets.learn(readFileSync(path, 'utf8'))
  }
}

const LOOPBACK_NAMES = ['127.0.0.1', 'localhost', '[::1]']

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host.startsWith('127.')
}

function guestLimitsOf({ guests }: EngineConfig['agentos']): Partial<GuestLimits> {
  const given = guests === false ? {} : guests.limits
  return Object.fromEntries(Object.entries(given).filter(([, limit]) => limit !== undefined))
}

function limitsOf({ limits: given, heartbeat_ms: heartbeatMs }: EngineConfig['agentos']): Partial<Limits> {
  const limits: { [K in keyof Limits]: Limits[K] | undefined } = {
    inFlightPerWorker: given.in_flight_per_worker,
    inFlightPerRealm: given.in_flight_per_realm,
    queuedCalls: given.queued_calls,
    registrationsPerConnection: given.registrations_per_connection,
    registrationBytes: given.registration_bytes,
    frameBytes: given.frame_bytes,
    bufferedBytes: given.buffered_bytes,
    workerWaitMs: given.worker_wait_ms,
    heartbeatMs,
  }
  return Object.fromEntries(Object.entries(limits).filter(([, value]) => value !== undefined))
}
