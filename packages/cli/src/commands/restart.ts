import { statSync } from 'node:fs'
import type { Command } from 'commander'
import { addressOf, loadSettings } from '../config.ts'
import { readEnvironment } from '../dotenv.ts'
import { print, printJson } from '../output.ts'
import type { Paths } from '../paths.ts'
import { Refusal } from '../refusal.ts'
import { runningSupervisor } from '../supervisor/lock.ts'
import { readStatus, type SupervisorStatus } from '../supervisor/status-file.ts'
import { connect, type GlobalOptions } from './connect.ts'

export function addRestart(program: Command): void {
  program
    .command('restart')
    .description('start a worker anew (one that runs, is held, or is asleep) with .env as it is now; or the engine')
    .argument('<worker>', 'a worker’s name; engine for what config.yaml says')
    .action(async (worker: string, _options: object, command: Command) => {
      const { api, paths } = connect()
      const status = runningSupervisor(paths.data) && readStatus(paths.data)
      if (status) assertSameAddresses(paths, status)
      await api.call('engine::workers::restart', { name: worker })
      const needsEngine = worker !== 'engine' && status !== undefined && isNewer(paths.config, status)
      if (command.optsWithGlobals<GlobalOptions>().json) return printJson({ restarting: worker, needsEngine })
      print(`${worker} is started anew; npm run agentos -- status shows how it goes.`)
      if (needsEngine) {
        print(
          'config.yaml has changed since the engine started, which reads it for everybody, settings of workers too:',
        )
        print('  npm run agentos -- restart engine')
      }
    })
}

/** Everybody who runs knows the old ones. Throws also where config.yaml cannot be used. */
function assertSameAddresses(paths: Paths, status: SupervisorStatus): void {
  const { http, manager } = loadSettings(paths.config, readEnvironment(paths.root, process.env))
  if (status.address === `http://${addressOf(http)}/` && status.workerAddress === addressOf(manager)) return
  throw new Refusal(
    'addresses_changed',
    'Nothing was restarted',
    'config.yaml has other addresses or ports than the system that runs.',
    ['npm run agentos -- stop', 'then npm start takes them.'],
  )
}

function isNewer(config: string, { processes }: SupervisorStatus): boolean {
  const engine = processes.find(({ name }) => name === 'engine')
  const changed = statSync(config, { throwIfNoEntry: false })?.mtimeMs
  return engine !== undefined && changed !== undefined && changed > engine.since
}
