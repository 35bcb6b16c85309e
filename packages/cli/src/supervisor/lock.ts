import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Refusal } from '../refusal.ts'
import { commandOf, isAlive } from './process-table.ts'

/** Tells the supervisor to start the engine anew: for when the engine, which else passes it on, does not answer. */
export const RESTART_ENGINE = 'SIGUSR2'

export interface LockFile {
  pid: number
  /** Command line of the holder: tells it from a stranger that got its number after a restart of the machine. */
  command: string
  /** Address of its page. */
  address: string
}

/** Only one supervisor works on a data folder. Returns how to give the lock back. */
export function takeLock(data: string, address: string): () => void {
  const path = join(data, 'agentos.pid')
  const mine: LockFile = { pid: process.pid, command: commandOf(process.pid) ?? '', address }
  for (;;) {
    try {
      writeFileSync(path, `${JSON.stringify(mine)}\n`, { flag: 'wx', mode: 0o600 })
      return () => {
        if (readLock(path)?.pid === process.pid) rmSync(path, { force: true })
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
    const holder = readLock(path)
    if (holder && isRunning(holder)) throw alreadyRunning(data, holder)
    clearStale(path)
  }
}

/** The running supervisor of a data folder, if there is one. */
export function runningSupervisor(data: string): LockFile | undefined {
  const holder = readLock(join(data, 'agentos.pid'))
  return holder && isRunning(holder) ? holder : undefined
}

/** Its process is there still, with or without the lock. */
export const isRunning = (holder: LockFile): boolean =>
  isAlive(holder.pid) && (holder.command === '' || commandOf(holder.pid) === holder.command)

function readLock(path: string): LockFile | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as LockFile
  } catch {
    return undefined
  }
}

/** By renaming, so that of two starters only one clears a given file. */
function clearStale(path: string): void {
  const aside = `${path}.stale-${process.pid}`
  try {
    renameSync(path, aside)
    rmSync(aside, { force: true })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
}

const alreadyRunning = (data: string, holder: LockFile): Refusal =>
  new Refusal(
    'already_running',
    'AgentOS is already running',
    `Process ${holder.pid} works on ${data}. Its page is ${holder.address}.`,
    [
      `To stop it: npm run agentos -- stop (or kill ${holder.pid}, or Ctrl-C where it runs).`,
      'To run a second one beside it: set AGENTOS_DATA to another folder and give it other ports in config.yaml.',
    ],
  )
