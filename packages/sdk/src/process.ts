import { readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { expandHome } from '@agentos/protocol'
import { loadDescriptor } from './describe.ts'
import { knownSecrets } from './known-secrets.ts'
import { openLog } from './log.ts'
import { RunningWorker } from './running-worker.ts'
import type { RunOptions, WorkerDefinition } from './worker.ts'

const DEFAULT_URL = 'ws://127.0.0.1:49134'

/**
 * Runs a worker as this process: settings from the environment, log on stderr, ends on SIGTERM or SIGINT after the calls
 * in flight; a second signal ends it at once.
 */
export async function runProcess(definition: WorkerDefinition, options: RunOptions): Promise<void> {
  const { env } = process
  const dataDir = expandHome(env.AGENTOS_DATA || join(env.AGENTOS_ROOT || process.cwd(), 'data'), homedir())
  const descriptor = await loadDescriptor(options.descriptor ?? env.AGENTOS_DESCRIPTOR)
  for (const name of ['AGENTOS_CREDENTIAL', ...(descriptor?.secrets ?? [])]) knownSecrets.learn(env[name])
  const log = await openLog(definition.name, env.LOG_LEVEL || 'info')

  const fail = (error: unknown, message: string): never => {
    log.fatal({ err: error }, message)
    process.exit(1)
  }
  process.on('uncaughtException', (error) => fail(error, 'an error that nothing caught ends this process'))
  process.on('unhandledRejection', (error) => fail(error, 'a rejection that nothing handled ends this process'))

  const running = RunningWorker.start(definition, {
    url: env.III_URL || DEFAULT_URL,
    credential: () => env.AGENTOS_CREDENTIAL || credentialFile(dataDir, definition.name),
    dataDir,
    log,
    ...(descriptor ? { descriptor } : {}),
  })

  let started = false
  let stopping = false
  const stop = (signal: NodeJS.Signals): void => {
    const exitCode = signal === 'SIGINT' ? 130 : 143
    if (stopping) process.exit(exitCode)
    stopping = true
    log.info({ signal }, 'stopping')
    // Before the first connect there is nothing to drain, and `running` may wait for an engine for ever.
    const ended = started ? running.then((worker) => worker.stop()) : Promise.resolve()
    ended.then(
      () => process.exit(0),
      (error: unknown) => fail(error, 'the worker did not stop cleanly'),
    )
  }
  process.on('SIGTERM', stop)
  process.on('SIGINT', stop)

  try {
    await running
    started = true
    log.info({ functions: definition.functions.length }, 'serving')
  } catch (error) {
    fail(error, 'the worker could not start')
  }
}

/** Written by the set-up or the engine, possibly after this process began: read again at each attempt to connect. */
function credentialFile(dataDir: string, worker: string): string | undefined {
  try {
    const credential = readFileSync(join(dataDir, 'credentials', worker), 'utf8').trim() || undefined
    knownSecrets.learn(credential)
    return credential
  } catch {
    return undefined
  }
}
