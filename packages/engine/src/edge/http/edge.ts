import type { IncomingMessage, ServerResponse } from 'node:http'
import { EngineError } from '@agentos/protocol'
import type { Grant } from '../../core/connection.ts'
import { DEFAULT_REALM, GUEST_REALM } from '../../core/context.ts'
import { isOfGuests } from '../../core/guest-share.ts'
import type { EngineModule, ModuleHost } from '../../core/module.ts'
import { overloaded } from '../../core/overload.ts'
import type { ChannelTable } from '../channels.ts'
import { type Credentials, type Door, Identities } from '../identity.ts'
import { OriginGuard } from '../origin.ts'
import { SharedQuota } from '../quota.ts'
import { Sessions, sessionCookie } from '../session.ts'
import { GUEST } from '../tokens.ts'
import { type EdgeParts, serveContract } from './contract-route.ts'
import type { HttpCore } from './core-view.ts'
import { Exchange } from './exchange.ts'
import { Listeners } from './listeners.ts'
import { EdgeMetrics } from './metrics.ts'
import { openApi } from './openapi.ts'
import { type OwnRoute, ownRoutes } from './own-routes.ts'
import { byCatalogue, contractRoute, METHODS, type RouteMatch, Routes, triggerRoute } from './routes.ts'
import { DEFAULT_HTTP_SETTINGS, type HttpSettings, isLoopback } from './settings.ts'
import { StaticFiles } from './static-files.ts'
import type { SystemFacts } from './system-figures.ts'
import { serveTrigger } from './trigger-route.ts'

export interface HttpEdgeOptions {
  core: HttpCore
  /** What other modules count, for `/metrics`. */
  facts: SystemFacts
  channels: ChannelTable
  tokens: { grantOf(token: string): Grant | undefined }
  settings?: Partial<HttpSettings>
  /** Folder of the built page (`dist/console`); without it a plain page explains. */
  consoleDir?: string
  /** Version of this release, for OpenAPI. */
  version: string
}

export interface HttpAddress {
  port: number
  /** Addresses that are listened on. */
  addresses: string[]
  /** Of the page, without a slash at its end. */
  url: string
}

export interface HttpEdge {
  /** Provides the trigger type `http`. */
  readonly module: EngineModule
  readonly sessions: Sessions
  /** Puts up the routes that contracts declare; `listen` does it too. */
  addContracts(): void
  /** Rejects with the system's error where the port is taken, and with `forbidden` for an address that is not safe. */
  listen(): Promise<HttpAddress>
  /** Takes no new work, waits up to `drainMs` for requests in service, then ends all connections. */
  close(drainMs: number): Promise<void>
}

/** The HTTP server of the engine. Its module has to be started before it listens. */
export function createHttpEdge(options: HttpEdgeOptions): HttpEdge {
  let server: HttpServer | undefined
  const started = (): HttpServer => {
    if (!server) throw new Error('The module of the HTTP edge was not started')
    return server
  }
  return {
    module: {
      name: 'http',
      start(host) {
        server = new HttpServer(options, host)
      },
    },
    get sessions() {
      return started().sessions
    },
    addContracts: () => started().addContracts(),
    listen: () => started().listen(),
    close: async (drainMs) => server?.close(drainMs),
  }
}

class HttpServer {
  readonly sessions: Sessions
  private readonly host: ModuleHost
  private readonly core: HttpCore
  private readonly settings: HttpSettings
  private readonly parts: EdgeParts
  private readonly own: readonly OwnRoute[]
  private readonly ownByKey: ReadonlyMap<string, OwnRoute>
  private readonly routes: Routes
  private readonly files: StaticFiles
  private readonly identities: Identities
  private readonly metrics: EdgeMetrics
  private readonly listeners: Listeners
  private readonly inService = new Set<Exchange>()
  /** Of guests, who have a bound of their own; their streams too. */
  private readonly guestsInService = new Set<Exchange>()
  /** Declared paths: there are only so many. */
  private readonly labels = new Set<string>()
  private guard: OriginGuard
  private streams = 0
  private guestStreams = 0
  private url = ''
  private contractsAdded = false
  private draining = false
  private onIdle: (() => void) | undefined

  constructor(options: HttpEdgeOptions, host: ModuleHost) {
    this.host = host
    this.core = options.core
    this.settings = { ...DEFAULT_HTTP_SETTINGS, ...options.settings }
    this.sessions = new Sessions(host.ports)
    this.parts = {
      core: options.core,
      channels: options.channels,
      settings: this.settings,
      guestCallMs: host.guestShare.limits.call_ms,
      openStream: (exchange) => this.openStream(exchange),
    }
    this.files = new StaticFiles(options.consoleDir)
    this.identities = new Identities({
      tokens: options.tokens,
      sessions: this.sessions,
      guests: this.settings.guests,
      quota: new SharedQuota(this.settings.guestRequestsPerMinute, () => host.ports.clock.monotonic()),
    })
    this.own = ownRoutes({
      edge: this.parts,
      core: options.core,
      sessions: this.sessions,
      guests: this.settings.guests,
      metrics: () => this.metrics,
      openApi: ({ caller }) => this.document(options.version, caller.realm),
      url: () => this.url,
      draining: () => this.draining,
    })
    this.ownByKey = new Map(this.own.map((route) => [`${route.method} ${route.path}`, route]))
    this.routes = new Routes([
      ...this.own.map(({ method, path, yields = false }) => ({
        method,
        covers: (other: string) => other === path,
        yields,
      })),
      { method: 'GET', covers: (path) => this.files.covers(path) },
    ])
    this.listeners = new Listeners(
      this.settings,
      host.guestShare.limits.connections,
      (request, response) => void this.handle(request, response),
    )
    this.guard = this.guardOf(this.settings.port)
    const gauges = {
      inFlight: () => this.inService.size + this.guestsInService.size - this.guestStreams,
      streams: () => this.streams + this.guestStreams,
      connections: () => this.listeners.connections,
      channels: () => options.channels.size,
    }
    this.metrics = new EdgeMetrics(options.core, gauges, options.facts, () => host.guestShare.use())
    host.spans.subscribe((span) => this.metrics.span(span))
    host.registerTriggerType({
      id: 'http',
      description: 'Fires for HTTP requests to a path; the handler’s result is the answer',
      configFormat: CONFIG_FORMAT,
      bind: (trigger) => {
        this.addContracts()
        const route = triggerRoute(trigger)
        this.routes.add(route)
        if (!this.routes.takesOver(route)) return
        const who = { function_id: route.functionId, connection: trigger.workerId }
        host
          .logOf(trigger.grant)
          .warn(who, `${route.method} ${route.pattern.source} is now served by ${route.functionId}`)
      },
      unbind: (trigger) => this.routes.remove(trigger),
    })
  }

  async listen(): Promise<HttpAddress> {
    const open = this.settings.addresses.find((address) => !isLoopback(address))
    if (open !== undefined && this.settings.guests) {
      throw new EngineError(
        'forbidden',
        `Other machines reach the address ${open}: set \`guests: false\` under \`agentos:\` in config.yaml, so that every request needs a token, or listen on 127.0.0.1`,
      )
    }
    this.addContracts()
    const { port, addresses } = await this.listeners.listen()
    this.guard = this.guardOf(port)
    this.url = `http://127.0.0.1:${port}`
    return { port, addresses, url: this.url }
  }

  async close(drainMs: number): Promise<void> {
    this.draining = true
    const { timers } = this.host.ports
    if (this.isBusy()) {
      await new Promise<void>((resolve) => {
        const timer = timers.set(drainMs, resolve)
        this.onIdle = () => {
          timers.clear(timer)
          resolve()
        }
      })
    }
    await this.listeners.close()
  }

  private async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const exchange = new Exchange(request, response, {
      ports: this.host.ports,
      spans: this.host.spans,
      onFinish: (finished) => this.finished(finished),
    })
    try {
      if (this.draining) response.setHeader('connection', 'close')
      if (!this.isWelcome(exchange)) return
      await this.dispatch(exchange)
    } catch (error) {
      exchange.fail(error)
    }
  }

  /** Host and origin; answers the preflight of a page that may call us. */
  private isWelcome(exchange: Exchange): boolean {
    const host = exchange.header('host')
    const origin = exchange.header('origin')
    if (!this.guard.hostIsWelcome(host)) {
      throw new EngineError(
        'forbidden',
        `This system does not answer to the name ${(host ?? '').slice(0, 100)}. Use ${this.url}, or add the name to \`allowed_hosts\` under \`agentos:\` in config.yaml`,
      )
    }
    if (origin === undefined) return true
    if (!this.guard.originIsWelcome(origin)) {
      throw new EngineError(
        'forbidden',
        `Pages of ${origin.slice(0, 100)} may not call this system. If it is yours, add the origin to \`allowed_origins\` under \`agentos:\` in config.yaml`,
      )
    }
    const { response } = exchange
    response.setHeader('access-control-allow-origin', origin)
    response.setHeader('access-control-allow-credentials', 'true')
    response.setHeader('access-control-expose-headers', 'traceparent, x-trace-id, retry-after')
    response.setHeader('vary', 'origin')
    const wanted = exchange.header('access-control-request-method')
    if (exchange.method !== 'OPTIONS' || wanted === undefined) return true
    exchange.traced = false
    const taken = this.methodsOf(exchange, exchange.path)
    const { crossOriginMethods } = this.settings
    const methods = (taken.length > 0 ? taken : METHODS).filter(
      (method) => crossOriginMethods?.includes(method) ?? true,
    )
    exchange.send(204, {
      'access-control-allow-methods': methods.join(', '),
      'access-control-allow-headers': exchange.header('access-control-request-headers') ?? '*',
      'access-control-max-age': '600',
    })
    return false
  }

  private async dispatch(exchange: Exchange): Promise<void> {
    const { path } = exchange
    if (await this.dispatchTo(exchange, path)) return
    if (await this.files.serve(exchange)) return
    // The catalogue's names.
    const named = byCatalogue(path)
    if (named !== undefined && (await this.dispatchTo(exchange, named))) return
    const methods = this.methodsOf(exchange, path)
    if (methods.length > 0) {
      exchange.response.setHeader('allow', methods.join(', '))
      if (exchange.method === 'OPTIONS') return exchange.send(204, {})
      throw new EngineError('method_not_allowed', `${path} takes ${methods.join(', ')}`)
    }
    throw new EngineError('not_found', `No route for ${exchange.method} ${path.slice(0, 200)}; /openapi.json lists all`)
  }

  /** Serves the route of this path; `false` where there is none. */
  private async dispatchTo(exchange: Exchange, path: string): Promise<boolean> {
    const method = exchange.method
    const own = this.ownByKey.get(`${method === 'HEAD' ? 'GET' : method} ${path}`)
    const taken = own?.yields ? this.takenOver(exchange, own) : undefined
    if (own && !taken) {
      exchange.route = own.path
      exchange.traced = own.quiet !== true
      if (isOpen(own, exchange) || this.admit(exchange, own.access !== 'guest')) await own.handle(exchange)
      return true
    }
    const match = taken?.match ?? this.match(exchange, path)
    if (!match) return false
    const { route } = match
    exchange.route = route.pattern.source
    exchange.functionId = route.functionId
    if (!this.admit(exchange, false, taken?.door ?? doorOf(match))) return true
    if (route.kind === 'contract') await serveContract(exchange, match, this.parts)
    else await serveTrigger(exchange, match, this.parts)
    return true
  }

  /** The route of this path that the caller reaches: the installation's, or one of its own realm. */
  private match(exchange: Exchange, path: string): RouteMatch | undefined {
    const { method } = exchange
    const look = (find: (method: string) => RouteMatch | undefined): RouteMatch | undefined =>
      find(method) ?? (method === 'HEAD' ? find('GET') : undefined)
    const installed = look((wanted) => this.routes.find(wanted, path))
    if (installed) return installed
    if (this.isReserved(method, path)) return undefined
    const somebodys = look((wanted) => this.routes.findAnywhere(wanted, path))
    if (!somebodys) return undefined
    const realm = this.realmOf(exchange, doorOf(somebodys))
    // Whoever is not let in hears so, whosever route it is.
    if (realm === undefined) return somebodys
    return look((wanted) => this.routes.findIn(realm, wanted, path))
  }

  /** A file of the page, or another name of what the installation serves: no realm's route answers in its place. */
  private isReserved(method: string, path: string): boolean {
    const wanted = method === 'HEAD' ? 'GET' : method
    if (wanted === 'GET' && this.files.covers(path)) return true
    const named = byCatalogue(path)
    if (named === undefined) return false
    return this.ownByKey.has(`${wanted} ${named}`) || this.routes.find(wanted, named) !== undefined
  }

  /** What the owner put in this route's place, and who is let in there: probes bring no token, wherever they needed none. */
  private takenOver(exchange: Exchange, own: OwnRoute): { match: RouteMatch; door: Door } | undefined {
    const { method, path } = own
    if (!this.routes.findAnywhere(method, path)) return undefined
    const door = isOpen(own, exchange) ? 'theirs' : 'shared'
    const realm = this.realmOf(exchange, door)
    if (realm === undefined) return undefined
    const match =
      this.routes.takenOver(realm, method, path) ??
      (realm === GUEST_REALM ? this.routes.takenOver(DEFAULT_REALM, method, path) : undefined)
    return match && { match, door }
  }

  private realmOf(exchange: Exchange, door: Door): string | undefined {
    return this.identities.realmOf(credentialsOf(exchange), door)
  }

  /** Who is it, may they, and is there room? Answers itself where not. */
  private admit(exchange: Exchange, ownerOnly: boolean, door: Door = 'ours'): boolean {
    if (this.draining) {
      throw new EngineError('shutting_down', 'The system is stopping and takes no new work')
    }
    const site = exchange.header('sec-fetch-site')
    if ((site === 'cross-site' || site === 'same-site') && exchange.header('origin') === undefined) {
      throw new EngineError('forbidden', 'Another page sent this request; open the address yourself')
    }
    const identified = this.identities.identify(credentialsOf(exchange), door)
    if (!identified.ok) {
      const { code, message, retryAfterMs } = identified
      if (identified.staleCookie) exchange.response.setHeader('set-cookie', sessionCookie('', 0))
      exchange.problem({ code, message, ...(retryAfterMs === undefined ? {} : { details: { retryAfterMs } }) })
      return false
    }
    if (ownerOnly && identified.identity.principal.kind !== 'owner') {
      throw new EngineError(
        'forbidden',
        'This needs the owner token: send `Authorization: Bearer <token>` with the content of data/owner-token',
      )
    }
    // Its client has left meanwhile: nothing would give the place back.
    if (exchange.response.closed) return false
    exchange.identity = identified.identity
    if (isOfGuests(identified.identity)) {
      this.host.guestShare.take('requests')
      this.guestsInService.add(exchange)
    } else {
      this.listeners.knows(exchange.request.socket)
      if (this.inService.size >= this.settings.concurrency) {
        throw overloaded(`${this.inService.size} requests are in service; try again shortly`)
      }
      this.inService.add(exchange)
    }
    return true
  }

  /** A stream leaves the places of requests and takes one of the streams'; a guest's keeps its own. */
  private openStream(exchange: Exchange): (() => void) | undefined {
    const ofGuests = this.guestsInService.has(exchange)
    if (!ofGuests && this.streams >= this.settings.streams) {
      exchange.problem(overloaded(`${this.streams} streams are open; try again shortly`).toBody())
      return undefined
    }
    if (ofGuests) this.guestStreams += 1
    else this.streams += 1
    this.inService.delete(exchange)
    let open = true
    return () => {
      if (!open) return
      open = false
      if (ofGuests) this.guestStreams -= 1
      else this.streams -= 1
      this.idle()
    }
  }

  private finished(exchange: Exchange): void {
    this.inService.delete(exchange)
    if (this.guestsInService.delete(exchange)) this.host.guestShare.give('requests')
    const { method, response, durationMs } = exchange
    const known = (METHODS as readonly string[]).includes(method) ? method : 'other'
    this.metrics.request(known, this.routeLabel(exchange), response.statusCode, durationMs)
    this.idle()
  }

  /** Paths that guests bind are no labels: they could be any number. */
  private routeLabel(exchange: Exchange): string {
    if (exchange.route === '') return '(none)'
    if (this.ownByKey.has(`GET ${exchange.route}`) || this.ownByKey.has(`POST ${exchange.route}`)) return exchange.route
    return this.labels.has(exchange.route) ? exchange.route : '(trigger)'
  }

  private isBusy(): boolean {
    return this.inService.size + this.guestsInService.size + this.streams > 0
  }

  private idle(): void {
    if (this.draining && !this.isBusy()) this.onIdle?.()
  }

  private methodsOf(exchange: Exchange, path: string): string[] {
    const own = METHODS.filter((method) => this.ownByKey.has(`${method} ${path}`))
    const realm = this.realmOf(exchange, 'shared') ?? GUEST.realm
    const routed = this.routes
      .methodsOf(path, realm)
      .filter((method) => this.routes.find(method, path) !== undefined || !this.isReserved(method, path))
    const methods = new Set<string>([...own, ...routed])
    if (methods.has('GET')) methods.add('HEAD')
    return [...methods]
  }

  /** Routes of contracts stand from the start; all modules have registered by the first binding. */
  /** Puts up the routes that contracts declare, once. */
  addContracts(): void {
    if (this.contractsAdded) return
    this.contractsAdded = true
    for (const { owner, descriptor } of this.core.contracts()) {
      for (const http of descriptor.http) {
        try {
          this.routes.add(contractRoute(owner, descriptor.id, http))
          this.labels.add(http.path)
        } catch (error) {
          const reason = error instanceof Error ? error.message : String(error)
          this.core.routeRefused(owner, descriptor.id, `${http.method} ${http.path}`, reason)
        }
      }
    }
  }

  private document(version: string, realm: string): object {
    return openApi({
      version,
      url: this.url,
      own: this.own,
      routes: this.routes.all(realm),
      functions: this.core.functions(realm),
    })
  }

  private guardOf(port: number): OriginGuard {
    const { allowedHosts, allowedOrigins, addresses } = this.settings
    const bound = addresses.filter((address) => !isLoopback(address) && address !== '0.0.0.0' && address !== '::')
    const names = bound.map((address) => (address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`))
    return new OriginGuard({ ports: [port], hosts: [...allowedHosts, ...names], origins: allowedOrigins })
  }
}

function isOpen({ access }: OwnRoute, exchange: Exchange): boolean {
  return access === 'open' || (access === 'local' && isLoopback(exchange.request.socket.remoteAddress))
}

function credentialsOf(exchange: Exchange): Credentials {
  return {
    authorization: exchange.header('authorization'),
    cookie: exchange.header('cookie'),
    realm: exchange.header('x-agentos-realm'),
    source: sourceOf(exchange),
  }
}

/** Everybody on this machine has one address: there it is the connection that tells them apart. */
function sourceOf({ request: { socket } }: Exchange): string {
  const { remoteAddress = '', remotePort } = socket
  return isLoopback(remoteAddress) ? `${remoteAddress} ${remotePort}` : remoteAddress
}

/** Callers of foreign workers bring tokens of others; those of a webhook are judged by its installed worker alone. */
function doorOf({ route }: RouteMatch): Door {
  const isWebhook = /^\/?webhook\//.test(route.pattern.source)
  if (isWebhook && route.owner !== undefined) return 'theirs'
  return isWebhook || (route.kind === 'trigger' && route.owner === undefined) ? 'shared' : 'ours'
}

const CONFIG_FORMAT = {
  type: 'object',
  required: ['api_path'],
  properties: {
    api_path: { type: 'string', description: 'Path; a segment `:name` is a parameter' },
    http_method: { enum: [...METHODS], default: 'GET' },
    condition_function_id: { type: 'string' },
    middleware_function_ids: { type: 'array', items: { type: 'string' }, default: [] },
  },
}
