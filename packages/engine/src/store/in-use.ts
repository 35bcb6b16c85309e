import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { EngineError } from '@agentos/protocol'

/**
 * Throws `store_in_use` where another process has the database open, by the locks that Linux shows: a program that does
 * not take the store's own lock. Elsewhere that has to do.
 */
export function assertUnused(path: string): void {
  const holder = holderOf(path)
  if (holder === undefined) return
  throw new EngineError('store_in_use', `Process ${holder} has ${path} open; stop it first`)
}

/** Number of another process that has a lock on the file, where the system shows that. */
export function holderOf(path: string): number | undefined {
  return holdersOf(path)[0]
}

/**
 * Number of another process that has the database open under a lock file that was deleted or moved away since, where the
 * system shows that: whoever makes a new one does not have the store for himself. A lock file is an empty one that is
 * locked as a whole.
 */
export function holderOfAnother(database: string): number | undefined {
  const held = locks().filter(({ kind }) => kind === 'WRITE')
  return holdersOf(database).find((pid) => {
    const inodes = held.filter((lock) => lock.pid === pid).map(({ inode }) => inode)
    return openFilesOf(pid).some(({ size, ino }) => size === 0 && inodes.includes(ino))
  })
}

function holdersOf(path: string): number[] {
  if (!existsSync(path)) return []
  const { ino } = statSync(path)
  return locks().flatMap(({ inode, pid }) => (inode === ino ? [pid] : []))
}

/** Those of other processes, as Linux shows them. */
function locks(): { kind: string; pid: number; inode: number }[] {
  if (!existsSync('/proc/locks')) return []
  return readFileSync('/proc/locks', 'utf8')
    .split('\n')
    .flatMap((line) => {
      const [, kind = '', pid, inode] = / (READ|WRITE) +(\d+) [0-9a-f]+:[0-9a-f]+:(\d+) /.exec(line) ?? []
      return pid === undefined || Number(pid) === process.pid ? [] : [{ kind, pid: Number(pid), inode: Number(inode) }]
    })
}

/** What a process has open, whatever became of its names; nothing where it is gone, or somebody else's. */
function openFilesOf(pid: number): { ino: number; size: number }[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).flatMap(
      (fd) => statSync(`/proc/${pid}/fd/${fd}`, { throwIfNoEntry: false }) ?? [],
    )
  } catch {
    return []
  }
}
