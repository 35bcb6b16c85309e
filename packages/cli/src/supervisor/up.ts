import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { KnownSecrets } from '@agentos/protocol'
import { pino } from 'pino'
import { Api } from '../api.ts'
import { addressOf, loadSettings } from '../config.ts'
import { readEnvironment } from '../dotenv.ts'
import type { Paths } from '../paths.ts'
import { Refusal } from '../refusal.ts'
import { ensureCredential, ensureOwnerToken, storedKeys } from './credentials.ts'
import { prepareDataFolder } from './data-folder.ts'
import { Development, describeAll } from './develop.ts'
import { readInstalled } from './installed.ts'
import type { LaunchContext } from './launch.ts'
import { RESTART_ENGINE, takeLock } from './lock.ts'
import { LogFile } from './log-file.ts'
import { sweepOrphans } from './orphans.ts'
import { assertPortsFree } from './ports.ts'
import { commandOf } from './process-table.ts'
import { gatherFacts, renderSummary } from './summary.ts'
import { Supervisor } from './supervisor.ts'
import { readUnbuilt } from './unbuilt.ts'
import { View } from './view.ts'

/** One Ctrl-C reaches us from the terminal and again from every process that passes it on. */
const SAME_SIGNAL_MS = 500

/** Starts everything, stays until it is told to stop, and resolves with the exit code when no process is left. */
export async function up(paths: Paths, options: Pick<LaunchContext, 'dev' | 'retryHeldMs'>): Promise<number> {
  const view = new View()
  const secrets = new KnownSecrets()
  const read = (): LaunchContext => {
    const host = readEnvironment(paths.root, process.env)
    const settings = loadSettings(paths.config, host)
    // The model router offers its demo only where nobody but this host can ask.
    return { paths, settings, host: { ...host, AGENTOS_BIND: settings.http.host }, secrets, ...options }
  }
  const context = read()
  const { settings } = context
  if (!settings.httpListed) {
    throw new Refusal(
      'http_missing',
      'config.yaml opens no HTTP port',
      'It lists no iii-http, which the page, the API and this command need.',
      ['Add “- name: iii-http” under workers.'],
    )
  }
  const base = `http://${addressOf(settings.http)}`
  prepareDataFolder(paths.data)
  const release = takeLock(paths.data, `${base}/`)
  const served = markServed(paths.dist)
  try {
    const swept = await sweepOrphans(paths.data)
    if (swept.length > 0) view.warn(`ended what an earlier start left running: ${swept.join(', ')}`)
    await assertPortsFree(settings)
    return await supervise(context, read, base, view)
  } finally {
    rmSync(served, { force: true })
    release()
  }
}

/** Says to set-up that what is built is in use: it is not replaced under those who run it. */
function markServed(dist: string): string {
  const folder = join(dist, '.cache', 'served')
  const file = join(folder, String(process.pid))
  mkdirSync(folder, { recursive: true })
  writeFileSync(file, commandOf(process.pid) ?? '')
  return file
}

async function supervise(
  context: LaunchContext,
  reload: () => LaunchContext,
  base: string,
  view: View,
): Promise<number> {
  const { paths, dev } = context
  const unbuilt = readUnbuilt(paths.dist)
  // In development the sources themselves run, and these do not; else what was built before.
  const descriptors = dev ? await describeAll(paths, view, Object.keys(unbuilt)) : readInstalled(paths.dist)
  const token = ensureOwnerToken(paths.data)
  for (const value of [token, ...storedKeys(paths.data)]) context.secrets.learn(value)
  for (const { name } of descriptors) ensureCredential(paths.data, name)
  const api = new Api(base, token)
  const file = new LogFile(join(paths.data, 'logs', 'supervisor.jsonl'))
  const log = pino({ name: 'supervisor', level: context.host.LOG_LEVEL ?? 'info', base: {} }, file)

  const ending = Promise.withResolvers<Refusal | undefined>()
  const supervisor = new Supervisor({ context, reload, api, log, view })
  for (const [name, text] of Object.entries(unbuilt)) supervisor.markUnbuilt(name, text)
  const stopListening = onStopSignals(
    (name) => {
      log.info({ signal: name }, 'stopping')
      ending.resolve(undefined)
    },
    () => supervisor.kill(),
  )
  const restartEngine = () => void supervisor.renew('engine')
  process.on(RESTART_ENGINE, restartEngine)
  let development: Development | undefined
  let ended = false
  const started = supervisor.start(descriptors).then(async () => {
    if (ended) return
    view.progress('Asking what is there')
    const facts = await gatherFacts(api)
    if (ended) return
    view.block(renderSummary({ ...facts, base, processes: supervisor.statuses(), dataDir: paths.data, dev }))
    if (dev) development = new Development(paths, supervisor, view)
  })
  started.catch((error) => ending.resolve(error))
  const problem = await ending.promise
  ended = true
  const settled = development?.close()
  await supervisor.stop()
  await settled
  stopListening()
  process.off(RESTART_ENGINE, restartEngine)
  if (problem) throw problem
  view.done('stopped; no process is left')
  return 0
}

/** The first signal stops in order, a second one at once. Returns how to stop listening. */
function onStopSignals(first: (name: string) => void, second: () => void): () => void {
  let since: number | undefined
  const listener = (name: string) => {
    if (since === undefined) {
      since = Date.now()
      first(name)
    } else if (Date.now() - since > SAME_SIGNAL_MS) {
      second()
    }
  }
  const names = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
  for (const name of names) process.on(name, listener)
  return () => {
    for (const name of names) process.off(name, listener)
  }
}
