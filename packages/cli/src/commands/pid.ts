import type { Command } from 'commander'
import { print, printJson } from '../output.ts'
import { Refusal } from '../refusal.ts'
import { runningSupervisor } from '../supervisor/lock.ts'
import { type ProcessStatus, readStatus } from '../supervisor/status-file.ts'
import { connect, type GlobalOptions } from './connect.ts'

export function addPid(program: Command): void {
  program
    .command('pid')
    .description('process ids of a worker, or of the engine: kill -9 $(npm run -s agentos -- pid memory)')
    .argument('<worker>', 'a worker’s name, engine or supervisor')
    .action((name: string, _options: object, command: Command) => {
      const { data } = connect(command).paths
      const supervisor = runningSupervisor(data)
      const status = supervisor && readStatus(data)
      if (!status) {
        throw new Refusal('unreachable', 'AgentOS does not run', `Nothing supervises ${data}.`, ['npm start'])
      }
      const pids = name === 'supervisor' ? [status.pid] : pidsOf(name, status.processes)
      if (command.optsWithGlobals<GlobalOptions>().json) return printJson(pids)
      print(pids.join(' '))
    })
}

/** Of all the processes that a worker has. Throws where it has none, so that nobody kills nothing and believes it. */
export function pidsOf(name: string, processes: readonly ProcessStatus[]): number[] {
  const own = processes.filter((process) => process.name === name || process.name.startsWith(`${name}.`))
  if (own.length === 0) {
    const known = processes.map((process) => process.name).join(', ')
    throw new Refusal('not_found', 'There is no such worker', `${name} is not installed.`, [`There are: ${known}`])
  }
  const pids = own.flatMap(({ pid }) => (pid === undefined ? [] : [pid]))
  if (pids.length > 0) return pids
  throw new Refusal('not_running', 'It has no process now', `${name} is ${own[0]!.state}.`, [
    'npm run agentos -- status',
  ])
}
