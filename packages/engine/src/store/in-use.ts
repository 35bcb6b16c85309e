import { existsSync, readFileSync, statSync } from 'node:fs'
import { EngineError } from '@agentos/protocol'

/**
 * Throws `store_unavailable` where another process has the database open, by the locks that Linux shows. Elsewhere the
 * supervisor's own lock has to do.
 */
export function assertUnused(path: string): void {
  if (!existsSync(path) || !existsSync('/proc/locks')) return
  const { ino } = statSync(path)
  const holders = readFileSync('/proc/locks', 'utf8')
    .split('\n')
    .map((line) => / (\d+) [0-9a-f]+:[0-9a-f]+:(\d+) /.exec(line))
    .filter((match) => Number(match?.[2]) === ino && Number(match?.[1]) !== process.pid)
  const [holder] = holders
  if (!holder) return
  throw new EngineError('store_unavailable', `Process ${holder[1]} has ${path} open; stop it first`)
}
