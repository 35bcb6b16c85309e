import { statSync } from 'node:fs'
import type { Command } from 'commander'
import type { Api } from '../api.ts'
import { addressOf, loadSettings } from '../config.ts'
import { assertEngineTakes } from '../config-check.ts'
import { readEnvironment } from '../dotenv.ts'
import { print, printJson } from '../output.ts'
import type { Paths } from '../paths.ts'
import { Refusal } from '../refusal.ts'
import { engineEnvironment } from '../supervisor/environment.ts'
import { RESTART_ENGINE, runningSupervisor } from '../supervisor/lock.ts'
import { readStatus, type SupervisorStatus } from '../supervisor/status-file.ts'
import { connect, type GlobalOptions } from './connect.ts'

export function addRestart(program: Command): void {
  program
    .command('restart')
    .description('start a worker anew (one that runs, is held, or is asleep) with .env as it is now; or the engine')
    .argument('<worker>', 'a worker’s name; engine for what config.yaml says')
    .action(async (worker: string, _options: object, command: Command) => {
      const { api, paths } = connect(command)
      const status = statusOfRunning(paths)
      if (status) await assertUsable(worker, paths, status)
      await order(worker, api, status)
      const needsEngine = worker !== 'engine' && status !== undefined && isNewer(paths.config, status)
      if (command.optsWithGlobals<GlobalOptions>().json) return printJson({ restarting: worker, needsEngine })
      const others = worker === 'engine' ? ', and after it the workers whose settings changed' : ''
      print(`${worker} is started anew${others}; npm run agentos -- status shows how it goes.`)
      if (needsEngine) {
        print(
          'config.yaml has changed since the engine started, which reads it for everybody, settings of workers too:',
        )
        print('  npm run agentos -- restart engine')
      }
    })
}

/** One that is only just starting has written none yet. */
function statusOfRunning({ data }: Paths): SupervisorStatus | undefined {
  const supervisor = runningSupervisor(data)
  const status = readStatus(data)
  return supervisor && status?.pid === supervisor.pid ? status : undefined
}

/** Nothing may be ended for a config.yaml with which it would not come back. */
async function assertUsable(worker: string, paths: Paths, status: SupervisorStatus): Promise<void> {
  const host = readEnvironment(paths.root, process.env)
  const { http, manager, variables } = loadSettings(paths.config, host)
  if (worker === 'engine') await assertEngineTakes(paths, engineEnvironment(variables, host, { paths }))
  // Everybody who runs knows the old ones.
  if (status.address === `http://${addressOf(http)}/` && status.workerAddress === addressOf(manager)) return
  throw new Refusal(
    'addresses_changed',
    'Nothing was restarted',
    'config.yaml has other addresses or ports than the system that runs.',
    ['npm run agentos -- stop', 'then npm start takes them.'],
  )
}

/** The engine passes it on to the supervisor, which is told itself where the engine does not answer. */
async function order(worker: string, api: Api, status: SupervisorStatus | undefined): Promise<void> {
  try {
    await api.call('engine::workers::restart', { name: worker })
  } catch (error) {
    const isOurs = status?.address === `${api.base}/`
    if (!isOurs || !(error instanceof Refusal) || error.code !== 'unreachable') throw error
    if (worker !== 'engine') throw engineIsDown(status, error)
    process.kill(status.pid, RESTART_ENGINE)
  }
}

function engineIsDown({ processes }: SupervisorStatus, cause: Refusal): Refusal {
  const { state, reason } = processes.find(({ name }) => name === 'engine') ?? {}
  return new Refusal(
    'engine_down',
    'Nothing was restarted',
    `The engine does not answer: it is ${state ?? 'not there'}${reason === undefined ? '' : ` (${reason})`}.`,
    ['npm run agentos -- restart engine starts it anew; npm run agentos -- logs engine says why it ended.'],
    cause,
  )
}

function isNewer(config: string, { processes }: SupervisorStatus): boolean {
  const engine = processes.find(({ name }) => name === 'engine')
  const changed = statSync(config, { throwIfNoEntry: false })?.mtimeMs
  return engine !== undefined && changed !== undefined && changed > engine.since
}
