import type { Provider } from './catalogue.ts'

/** Reads `AGENTOS_LOCAL_MODELS`: `off`, or `name=url` pairs with commas between them. */
export function localServers(value: string): { servers: { name: string; baseUrl: string }[]; warnings: string[] } {
  const servers: { name: string; baseUrl: string }[] = []
  const warnings: string[] = []
  if (value === 'off') return { servers, warnings }
  for (const item of value.split(',')) {
    const [, name, baseUrl] = /^\s*([a-z0-9][a-z0-9._-]*)=(https?:\/\/\S+?)\/*\s*$/.exec(item) ?? []
    if (name === undefined || baseUrl === undefined)
      warnings.push(`AGENTOS_LOCAL_MODELS: "${item}" is not name=url; ignored`)
    else servers.push({ name, baseUrl })
  }
  return { servers, warnings }
}

export interface LocalServer {
  provider: string
  models: string[]
}

/** An answer that did not come in time is believed no longer than this: a busy host says nothing about the next seconds. */
const BUSY_MS = 2_000

export interface LocalProbeOptions {
  /** Lists the models that an address offers; rejects where nothing answers in time. */
  list: (provider: Provider, signal: AbortSignal) => Promise<string[]>
  now?: () => number
  /** How long an answer, or a refused connection, is believed. @default 10_000 */
  keepMs?: number
  /** @default 1_000 */
  timeoutMs?: number
}

/** Finds model servers that listen on this host: asked when somebody wants to know, and not again for ten seconds. */
export class LocalServers {
  private readonly options: Required<LocalProbeOptions>
  private readonly providers: Provider[]
  private found: { at: number; servers: Promise<LocalServer[]> } | undefined

  constructor(providers: Provider[], options: LocalProbeOptions) {
    this.providers = providers
    this.options = { now: Date.now, keepMs: 10_000, timeoutMs: 1_000, ...options }
  }

  running(): Promise<LocalServer[]> {
    const now = this.options.now()
    if (!this.found || now - this.found.at > this.options.keepMs) this.found = { at: now, servers: this.probe() }
    return this.found.servers
  }

  private async probe(): Promise<LocalServer[]> {
    const { list, keepMs, timeoutMs } = this.options
    let isLate = false
    const ask = async (provider: Provider): Promise<LocalServer> => {
      const signal = AbortSignal.timeout(timeoutMs)
      try {
        return { provider: provider.name, models: await list(provider, signal) }
      } catch (error) {
        isLate ||= signal.aborted
        throw error
      }
    }
    const answers = await Promise.allSettled(this.providers.map(ask))
    if (isLate && this.found) this.found.at = this.options.now() - keepMs + BUSY_MS
    const running = answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []))
    return running.filter((server) => server.models.length > 0)
  }
}
