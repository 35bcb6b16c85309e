import { existsSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Command } from 'commander'
import { print, printJson } from '../output.ts'
import { resolvePaths } from '../paths.ts'
import { Refusal } from '../refusal.ts'
import { isRunning, type LockFile, runningSupervisor, takeLock } from '../supervisor/lock.ts'
import { sweepOrphans } from '../supervisor/orphans.ts'
import type { GlobalOptions } from './connect.ts'

/** Calls in flight get ten seconds, and workers three more after the engine. */
const LONGEST_MS = 60_000

export function addStop(program: Command): void {
  program
    .command('stop')
    .description('end the engine and every worker in order, and wait until all are gone')
    .action(async (_options: object, command: Command) => {
      const { data } = resolvePaths()
      const holder = runningSupervisor(data)
      const ended = holder ? await stopSupervisor(data, holder) : await endLeftBehind(data)
      if (command.optsWithGlobals<GlobalOptions>().json) return printJson({ data, ended })
      if (holder) print('AgentOS is stopped; no process is left.')
      else if (ended.length > 0) print(`Nobody supervised what still ran. It is ended: ${ended.join(', ')}.`)
      else print(`Nothing runs on ${data}.`)
    })
}

async function stopSupervisor(data: string, holder: LockFile): Promise<string[]> {
  const { pid, address } = holder
  if (!address.startsWith('http')) {
    throw new Refusal('busy', 'This is not stopped', `Process ${pid} restores or repairs the records of ${data}.`, [
      'Wait until it is done; ended in the middle it would leave the work to do again.',
    ])
  }
  try {
    process.kill(pid, 'SIGTERM')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw notAllowed(pid, error)
  }
  const deadline = Date.now() + LONGEST_MS
  // It gives its lock back before it ends, and until then has files of the data folder open.
  while (isRunning(holder)) {
    if (Date.now() > deadline) {
      throw new Refusal('still_stopping', 'It has not ended yet', `Process ${pid} was told to stop a minute ago.`, [
        `kill ${pid} a second time ends it at once, without waiting for calls in flight.`,
      ])
    }
    await sleep(50)
  }
  return ['supervisor', ...(await endLeftBehind(data))]
}

/** What a killed supervisor left running. */
async function endLeftBehind(data: string): Promise<string[]> {
  if (!existsSync(data)) return []
  const release = takeLock(data, 'none: it ends what an earlier start left running')
  try {
    return await sweepOrphans(data)
  } finally {
    release()
  }
}

const notAllowed = (pid: number, cause: unknown): Refusal =>
  new Refusal(
    'not_allowed',
    'It cannot be stopped from here',
    `Process ${pid} takes no signal from this user.`,
    ['Stop it as the user that ran npm start.'],
    cause,
  )
