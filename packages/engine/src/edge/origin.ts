import type { IncomingMessage } from 'node:http'

/** Names under which this machine reaches itself. */
const LOOPBACK_NAMES = ['127.0.0.1', 'localhost', '[::1]']

export interface OriginOptions {
  /** Ports of ours: a `Host` names one of them, and pages that we serve come from them. */
  ports: readonly number[]
  /** Further names under which we are reached, with or without a port (`agentos.example`, `10.0.0.5:3111`). */
  hosts: readonly string[]
  /** Further origins whose pages may call us (`http://localhost:5173`). */
  origins: readonly string[]
}

/**
 * Decides whose requests are heard. A page of another origin, or a name that somebody pointed at this machine (DNS
 * rebinding), reaches loopback through the user's browser; `Origin` and `Host` give it away.
 */
export class OriginGuard {
  private readonly hosts = new Set<string>()
  private readonly anyPort = new Set<string>()
  private readonly origins: ReadonlySet<string>

  constructor(options: OriginOptions) {
    for (const port of options.ports) {
      for (const name of LOOPBACK_NAMES) {
        this.hosts.add(`${name}:${port}`)
        // Clients leave the default port out.
        if (port === 80) this.hosts.add(name)
      }
    }
    for (const host of options.hosts) {
      const lower = host.toLowerCase()
      if (/:\d+$/.test(lower)) this.hosts.add(lower)
      else this.anyPort.add(lower)
    }
    this.origins = new Set(options.origins.map((origin) => origin.toLowerCase().replace(/\/$/, '')))
  }

  hostIsWelcome(host: string | undefined): boolean {
    if (host === undefined) return false
    const lower = host.toLowerCase()
    return this.hosts.has(lower) || this.anyPort.has(lower.replace(/:\d+$/, ''))
  }

  /** No `Origin` is welcome: only browsers send one, and they always do where it matters. */
  originIsWelcome(origin: string | undefined): boolean {
    if (origin === undefined) return true
    const lower = origin.toLowerCase()
    if (this.origins.has(lower)) return true
    const host = /^https?:\/\/([^/]+)$/.exec(lower)?.[1]
    return host !== undefined && this.hostIsWelcome(host)
  }

  welcome(request: IncomingMessage): boolean {
    return this.hostIsWelcome(request.headers.host) && this.originIsWelcome(request.headers.origin)
  }
}
