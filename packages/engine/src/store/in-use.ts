import { existsSync, readFileSync, statSync } from 'node:fs'
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
  if (!existsSync(path) || !existsSync('/proc/locks')) return undefined
  const { ino } = statSync(path)
  const holders = readFileSync('/proc/locks', 'utf8')
    .split('\n')
    .map((line) => / (\d+) [0-9a-f]+:[0-9a-f]+:(\d+) /.exec(line))
    .filter((match) => Number(match?.[2]) === ino && Number(match?.[1]) !== process.pid)
  return holders[0] ? Number(holders[0][1]) : undefined
}
