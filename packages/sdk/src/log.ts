import type { Logger } from 'pino'

/** Shorter values are more often part of an ordinary word than a secret. */
const SHORTEST_SECRET = 8

/**
 * The log of a process: JSON lines on stderr. pino is loaded here, not with the SDK. Values that are secrets are struck
 * out of every line before it is written.
 */
export async function openLog(name: string, level: string, secrets: readonly string[] = []): Promise<Logger> {
  const { pino } = await import('./pino.ts')
  const hidden = secrets.filter((secret) => secret.length >= SHORTEST_SECRET)
  const options =
    hidden.length === 0
      ? { name, level }
      : {
          name,
          level,
          hooks: {
            streamWrite: (line: string) => hidden.reduce((text, secret) => text.replaceAll(secret, '[redacted]'), line),
          },
        }
  return pino(options, pino.destination({ fd: 2, sync: true }))
}
