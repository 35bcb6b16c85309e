import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Refusal } from '../refusal.ts'
import { commandOf, hasEnded, startOf } from './process-table.ts'

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

/**
 * Ends what an earlier supervisor left behind when it was killed, and waits until all of it is gone: until then it has
 * its ports and the lock of the store. Returns their names. `graceMs` is for those that end when asked, `goneMs` for the
 * kernel to end the others.
 */
export async function sweepOrphans(
  data: string,
  { graceMs = 3_000, goneMs = 15_000 }: { graceMs?: number; goneMs?: number } = {},
): Promise<string[]> {
  const orphans = readPids(data)
    .filter(isOurs)
    .map((orphan) => ({ ...orphan, began: orphan.started ?? startOf(orphan.pid) }))
  for (const orphan of orphans) signal(orphan.pid, 'SIGTERM')
  const stubborn = await remaining(orphans, graceMs)
  for (const orphan of stubborn) signal(orphan.pid, 'SIGKILL')
  const left = await remaining(stubborn, goneMs)
  if (left.length > 0) throw notEnded(left)
  writePids(data, [])
  return orphans.map((orphan) => orphan.name)
}

type Orphan = OwnProcess & { began: string | undefined }

/** Those that are still there after this time. */
async function remaining(processes: Orphan[], ms: number): Promise<Orphan[]> {
  const deadline = Date.now() + ms
  for (;;) {
    const left = processes.filter(({ pid, began }) => !hasEnded(pid) && startOf(pid) === began)
    if (left.length === 0 || Date.now() >= deadline) return left
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
}

const notEnded = (left: Orphan[]): Refusal =>
  new Refusal(
    'orphan_left',
    'An earlier start is still there',
    `${left.map(({ name, pid }) => `${name} (process ${pid})`).join(', ')} was ended and is not gone.`,
    [`Wait until it is (ps ${left[0]?.pid}), then start again; a disk that does not answer holds its processes.`],
  )

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

/** One that is just being ended has no command line any more, and its ports still: it is known by its start alone. */
const isOurs = ({ pid, script, started }: OwnProcess): boolean =>
  !hasEnded(pid) &&
  (commandOf(pid)?.includes(script) ?? started !== undefined) &&
  (started === undefined || startOf(pid) === started)

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
