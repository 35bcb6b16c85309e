import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { EngineError, expandHome, KnownSecrets } from '@agentos/protocol'
import { pino } from 'pino'
import { loadConfig } from './config.ts'
import { ConfigError } from './config-error.ts'
import { readDescriptors } from './descriptors.ts'
import { startEngine } from './engine.ts'
import { digestsOf, SupervisorChannel } from './supervisor-channel.ts'

/** Of its log, while whoever reads it is slow; what is more is left out. */
const WAITING_LOG_BYTES = 4 * 1024 * 1024

const VERSION = '0.1.0'
const DRAIN_MS = 10_000

/** What is blanked wherever something is written. Of what workers hold only fingerprints come here. */
const secrets = new KnownSecrets()

/** The engine as a process: settings from the environment, JSON lines on stderr, an orderly end on SIGTERM. */
async function main(env: NodeJS.ProcessEnv): Promise<void> {
  const supervisor = new SupervisorChannel(secrets)
  const here = dirname(fileURLToPath(import.meta.url))
  // Bundled it lies in `dist`; from source it takes from there what is built.
  const bundled = existsSync(join(here, 'store-thread.mjs'))
  const home = bundled ? dirname(here) : resolve(here, '../../..')
  const distDir = bundled ? here : join(home, 'dist')
  const given = (name: string) => (env[name] ? expandHome(env[name], homedir()) : undefined)
  const root = given('AGENTOS_ROOT') ?? home
  const dataDir = given('AGENTOS_DATA') ?? join(root, 'data')

  const descriptors = readDescriptors(join(distDir, 'workers'))
  // Where somebody starts it with the environment of everybody, it keeps none of what belongs to workers.
  const foreign = new Set(descriptors.flatMap((worker) => worker.secrets))
  for (const name of foreign) secrets.learn(env[name])
  const log = pino(
    {
      level: env.LOG_LEVEL ?? 'info',
      base: { name: 'engine', pid: process.pid },
      hooks: { streamWrite: (line: string) => secrets.line(line) },
    },
    pino.destination({ dest: 2, sync: false, maxLength: WAITING_LOG_BYTES }),
  )
  const installed = new Set(descriptors.map((worker) => worker.name))
  const config = loadConfig(given('AGENTOS_CONFIG') ?? join(root, 'config.yaml'), env, installed)
  for (const name of foreign) delete env[name]
  const threadFile = bundled ? join(here, 'store-thread.mjs') : join(here, 'store/thread.ts')
  const engine = await startEngine({
    config,
    dataDir,
    distDir,
    threadUrl: pathToFileURL(threadFile),
    version: VERSION,
    log,
    secrets,
  })
  log.info({ workers: engine.workerPort, http: engine.http?.url, data: dataDir }, 'The engine is up')
  // Whoever started it as a child with a channel learns the ports, which may have been chosen by the system.
  const { workerPort, http, notice } = engine
  const facts = { workerPort, http: http?.url, settings: digestsOf(config.workers) }
  supervisor.up(engine.core, notice === undefined ? facts : { ...facts, notice })

  let stopping = false
  const stop = (signal: string): void => {
    if (stopping) process.exit(130)
    stopping = true
    log.info({ signal }, 'The engine stops')
    engine.stop(DRAIN_MS).then(
      () => process.exit(0),
      (error: unknown) => {
        log.error({ err: error }, 'The engine did not stop cleanly')
        process.exit(1)
      },
    )
  }
  process.on('SIGTERM', stop)
  process.on('SIGINT', stop)
}

main(process.env).catch((error: unknown) => {
  const known = error instanceof ConfigError || error instanceof EngineError
  const text = known ? error.message : error instanceof Error ? (error.stack ?? error.message) : String(error)
  process.stderr.write(secrets.line(`${JSON.stringify({ level: 60, time: Date.now(), name: 'engine', msg: text })}\n`))
  process.exit(known ? 78 : 1)
})
