import type { Logger } from 'pino'
import { knownSecrets } from './known-secrets.ts'

/**
 * The log of a process: JSON lines on stderr. pino is loaded here, not with the SDK. What `knownSecrets` knows is struck
 * out of every line before it is written.
 */
export async function openLog(name: string, level: string): Promise<Logger> {
  const { pino } = await import('./pino.ts')
  const hooks = { streamWrite: (line: string) => knownSecrets.line(line) }
  return pino({ name, level, hooks }, pino.destination({ fd: 2, sync: true }))
}
