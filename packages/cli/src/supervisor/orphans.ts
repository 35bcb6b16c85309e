import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { commandOf, isAlive, startOf } from './process-table.ts'

/** A process that this supervisor started: how to find it again after the supervisor was killed. */
export interface OwnProcess {
  name: string
  pid: number
  /** The script it runs; its command line must still name it, else the number belongs to a stranger by now. */
  script: string
  /** When it began, as `startOf` says: another process of ours, or of another installation, began at another time. */
  started?: string
}

export function writePids(data: string, processes: OwnProcess[]): void {
  writeAtomically(join(data, 'pids.json'), processes)
}

/** Ends what an earlier supervisor left behind when it was killed. Returns their names. */
export async function sweepOrphans(data: string): Promise<string[]> {
  const orphans = readPids(data).filter(isOurs)
  for (const orphan of orphans) signal(orphan.pid, 'SIGTERM')
  const deadline = Date.now() + 3000
  while (orphans.some(isOurs) && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 50))
  for (const orphan of orphans.filter(isOurs)) signal(orphan.pid, 'SIGKILL')
  writePids(data, [])
  return orphans.map((orphan) => orphan.name)
}

/** To the whole group where the process leads one, as children of the supervisor do; else to the process. */
export function signal(pid: number, name: NodeJS.Signals): void {
  if (!signalGroup(pid, name)) send(pid, name)
}

export const signalGroup = (pid: number, name: NodeJS.Signals): boolean => send(-pid, name)

function send(target: number, name: NodeJS.Signals): boolean {
  try {
    process.kill(target, name)
    return true
  } catch {
    return false
  }
}

const isOurs = (entry: OwnProcess): boolean =>
  isAlive(entry.pid) &&
  (commandOf(entry.pid) ?? '').includes(entry.script) &&
  (entry.started === undefined || startOf(entry.pid) === entry.started)

function readPids(data: string): OwnProcess[] {
  try {
    const list: unknown = JSON.parse(readFileSync(join(data, 'pids.json'), 'utf8'))
    return Array.isArray(list) ? list.filter((entry) => Number.isInteger(entry?.pid) && entry.script) : []
  } catch {
    return []
  }
}

/** A reader sees the old file or the new one, never half of one. */
export function writeAtomically(path: string, value: unknown): void {
  const next = `${path}.${process.pid}.new`
  writeFileSync(next, `${JSON.stringify(value, null, 2)}\n`, { mode: 0o600 })
  renameSync(next, path)
}
