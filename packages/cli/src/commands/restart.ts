import type { Command } from 'commander'
import { print, printJson } from '../output.ts'
import { connect, type GlobalOptions } from './connect.ts'

export function addRestart(program: Command): void {
  program
    .command('restart')
    .description('start a worker anew: one that runs, is held after ending too often, or is asleep')
    .argument('<worker>')
    .action(async (worker: string, _options: object, command: Command) => {
      const { api } = connect()
      await api.call('engine::workers::restart', { name: worker })
      if (command.optsWithGlobals<GlobalOptions>().json) return printJson({ restarting: worker })
      print(`${worker} is started anew; npm run agentos -- status shows how it goes.`)
    })
}
