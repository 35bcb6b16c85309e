import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

/** What the engine listens on where nothing else is said. */
const DEFAULTS = [3111, 49134]

/**
 * The ports of this installation: those of config.yaml, of the environment, and of the address that this worker itself
 * is connected to.
 */
export async function findOwnPorts(root: string, env: NodeJS.ProcessEnv = process.env): Promise<Set<number>> {
  const text = await readFile(env.AGENTOS_CONFIG || join(root, 'config.yaml'), 'utf8').catch(() => '')
  const found = [
    ...DEFAULTS,
    env.AGENTOS_HTTP_PORT,
    env.AGENTOS_WORKER_PORT,
    portOf(env.III_URL),
    ...(await read(text, env)),
  ]
  return new Set(found.map(Number).filter((port) => Number.isInteger(port) && port > 0))
}

async function read(text: string, env: NodeJS.ProcessEnv): Promise<unknown[]> {
  const expanded = text.replaceAll(
    /\$\{(\w+)(?::([^}]*))?\}/g,
    (_all, name: string, fallback = '') => env[name] || fallback,
  )
  const { parse } = await import('yaml')
  const config = parse(expanded) as { workers?: unknown } | null
  if (!Array.isArray(config?.workers)) return []
  return config.workers.map((entry: { config?: { port?: unknown } } | null) => entry?.config?.port)
}

function portOf(url: string | undefined): string | undefined {
  return url && URL.canParse(url) ? new URL(url).port : undefined
}
