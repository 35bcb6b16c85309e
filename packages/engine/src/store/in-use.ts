import { existsSync, readdirSync, readFileSync, readlinkSync, realpathSync, statSync } from 'node:fs'
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
 * Number of another process that has the database open under a lock file that was deleted since, where the system shows
 * that: whoever makes a new one does not have the store for himself.
 */
export function holderOfDeleted(lock: string, database: string): number | undefined {
  const deleted = `${realpathSync(lock)} (deleted)`
  return holdersOf(database).find((pid) => openFilesOf(pid).includes(deleted))
}

function holdersOf(path: string): number[] {
  if (!existsSync(path) || !existsSync('/proc/locks')) return []
  const { ino } = statSync(path)
  return readFileSync('/proc/locks', 'utf8')
    .split('\n')
    .map((line) => / (\d+) [0-9a-f]+:[0-9a-f]+:(\d+) /.exec(line))
    .filter((match) => Number(match?.[2]) === ino && Number(match?.[1]) !== process.pid)
    .map((match) => Number(match?.[1]))
}

/** Paths of what a process has open; none where it is gone, or somebody else's. */
function openFilesOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
      try {
        return [readlinkSync(`/proc/${pid}/fd/${fd}`)]
      } catch {
        return []
      }
    })
  } catch {
    return []
  }
}
