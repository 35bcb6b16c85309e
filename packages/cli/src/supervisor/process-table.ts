import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'

/** What the operating system knows of a process: `/proc` on Linux, `ps` and `lsof` elsewhere. */
export interface ProcessInfo {
  pid: number
  command: string
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** The command line with its arguments; `undefined` where there is no such process or it cannot be asked. */
export function commandOf(pid: number): string | undefined {
  if (process.platform !== 'linux') return run('ps', ['-o', 'command=', '-p', String(pid)])?.trim() || undefined
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim() || undefined
  } catch {
    return undefined
  }
}

/** When a process began, in a form that is only compared: a number that was given again began at another time. */
export function startOf(pid: number): string | undefined {
  if (process.platform !== 'linux') return run('ps', ['-o', 'lstart=', '-p', String(pid)])?.trim() || undefined
  try {
    return fieldsOf(readFileSync(`/proc/${pid}/stat`, 'utf8'))[22]
  } catch {
    return undefined
  }
}

/**
 * Whether a process has let go of all that it had, its ports too. One that nobody reaps stays in the table for ever
 * after that; one that is being ended has lost its command line long before.
 */
export function hasEnded(pid: number): boolean {
  if (!isAlive(pid)) return true
  if (process.platform !== 'linux')
    return (
      run('ps', ['-o', 'stat=', '-p', String(pid)])
        ?.trim()
        .startsWith('Z') ?? false
    )
  try {
    return saysEnded(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return true
  }
}

/**
 * Whether a line of `/proc/<pid>/stat` is that of a process all of whose threads are gone. The first one is often
 * gone before the others, and the ports are theirs until the last. Exported for its test.
 */
export function saysEnded(stat: string): boolean {
  const { 3: state = '', 20: threads } = fieldsOf(stat)
  return 'ZX'.includes(state) && Number(threads) <= 1
}

/** By the numbers of proc(5); counted from behind the name, which may hold blanks and brackets. */
const fieldsOf = (stat: string): string[] => ['', '', '', ...stat.slice(stat.lastIndexOf(')') + 2).split(' ')]

/** Memory in use in MB; `undefined` where it cannot be asked cheaply. */
export function residentMb(pid: number): number | undefined {
  try {
    const kb = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
    return kb === undefined ? undefined : Number(kb) / 1024
  } catch {
    return undefined
  }
}

/** Who listens on a TCP port of this host, where that can be found out. */
export function holderOf(port: number): ProcessInfo | undefined {
  const pid = process.platform === 'linux' ? listenerPid(port) : lsofPid(port)
  return pid === undefined ? undefined : { pid, command: commandOf(pid) ?? 'a process whose name cannot be read' }
}

function listenerPid(port: number): number | undefined {
  const inodes = new Set(['tcp', 'tcp6'].flatMap((table) => listeningInodes(readText(`/proc/net/${table}`), port)))
  if (inodes.size === 0) return undefined
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    if (openSockets(pid).some((inode) => inodes.has(inode))) return Number(pid)
  }
  return undefined
}

/** Rows of `/proc/net/tcp` in state LISTEN (0A) on this port. Exported for its test. */
export function listeningInodes(table: string, port: number): string[] {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  return table
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter((columns) => columns[1]?.endsWith(suffix) && columns[3] === '0A')
    .map((columns) => columns[9] as string)
}

function openSockets(pid: string): string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
      const inode = /^socket:\[(\d+)\]$/.exec(readLink(`/proc/${pid}/fd/${fd}`))?.[1]
      return inode === undefined ? [] : [inode]
    })
  } catch {
    return []
  }
}

function lsofPid(port: number): number | undefined {
  const pid = /^p(\d+)$/m.exec(run('lsof', ['-nP', `-iTCP:${port}`, '-sTCP:LISTEN', '-Fp']) ?? '')?.[1]
  return pid === undefined ? undefined : Number(pid)
}

function run(command: string, args: string[]): string | undefined {
  try {
    return execFileSync(command, args, { encoding: 'utf8', timeout: 2000, stdio: ['ignore', 'pipe', 'ignore'] })
  } catch {
    return undefined
  }
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

function readLink(path: string): string {
  try {
    return readlinkSync(path)
  } catch {
    return ''
  }
}
