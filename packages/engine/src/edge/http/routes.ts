import { EngineError } from '@agentos/protocol'
import createRouter from 'find-my-way'
import { isWider } from '../../core/authority.ts'
import type { TriggerBinding } from '../../core/module.ts'
import { type PathPattern, parsePattern, rawParams, takesFrom } from './pattern.ts'

export const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS'] as const
export type Method = (typeof METHODS)[number]

export interface Route {
  /** Id of the trigger, or a name for what is declared. */
  id: string
  /**
   * `contract`: the input is built from body, query and parameters, the output is the body. `raw`: a contract that gets
   * the protocol's request. `trigger`: an `http` trigger of the protocol.
   */
  kind: 'contract' | 'raw' | 'trigger'
  method: Method
  pattern: PathPattern
  functionId: string
  /** Status of a success of a contract. */
  status: number
  /** With `"stream": true` the answer is server-sent events. */
  stream: boolean
  /** Installed worker or `engine`; nobody else can take its path. `undefined`: the newest wins. */
  owner: string | undefined
  /** Declared: stands for as long as the engine runs. */
  permanent: boolean
  condition: string | undefined
  middleware: readonly string[]
  /** Where it was bound by a trigger. */
  trigger: TriggerBinding | undefined
}

export interface RouteMatch {
  route: Route
  /** Not percent-decoded. */
  params: Record<string, string>
}

const MAX_PARAM_LENGTH = 8_192
const MAX_PATH_TOLD = 100
/** The path that the catalogue calls so: `/api/<x>` is `/v1/<x>`. */
export function byCatalogue(path: string): string | undefined {
  return path.startsWith('/api/') ? `/v1/${path.slice('/api/'.length)}` : undefined
}

/** Words by which clients of the protocol recognize a refusal. */
const CONFLICTS = 'conflicts with already-registered route'

/** A path of the engine's own. One that `yields` is left to the triggers of the owner's clients. */
export interface ReservedPath {
  method: Method
  covers: (path: string) => boolean
  yields?: boolean
}

/**
 * The routes of all workers. What a manifest declares, or an installed worker binds, is reached from every realm; the
 * rest from that of whoever bound it, where it may stand beside the same path of another realm.
 */
export class Routes {
  private readonly installed: RouteTable
  private readonly realms = new Map<string, RouteTable>()
  private readonly reserved: readonly ReservedPath[]

  /** `reserved` paths are the engine's own: `/health` and the like. */
  constructor(reserved: readonly ReservedPath[] = []) {
    this.reserved = reserved
    this.installed = new RouteTable(reserved)
  }

  add(route: Route): void {
    const realm = realmOf(route)
    if (realm === undefined) return this.installed.add(route)
    const table = this.realms.get(realm) ?? new RouteTable(this.reserved, this.installed)
    table.add(route)
    this.realms.set(realm, table)
  }

  /** Removes what this trigger still holds. */
  remove(trigger: TriggerBinding): void {
    const realm = realmOf({ owner: trigger.worker, trigger })
    if (realm === undefined) return this.installed.remove(trigger.id)
    const table = this.realms.get(realm)
    table?.remove(trigger.id)
    if (table?.size === 0) this.realms.delete(realm)
  }

  /** Those that a caller in this realm reaches. */
  *all(realm: string): Generator<Route> {
    yield* this.installed.all()
    yield* this.realms.get(realm)?.all() ?? []
  }

  /** `path` is that of the request, percent-encoded as it came. */
  find(method: string, path: string): RouteMatch | undefined {
    return this.installed.find(method, path)
  }

  /** In the table of one realm, beside the installation's. */
  findIn(realm: string, method: string, path: string): RouteMatch | undefined {
    return this.realms.get(realm)?.find(method, path)
  }

  /** Some route of this path in any realm: is it worth asking who calls? */
  findAnywhere(method: string, path: string): RouteMatch | undefined {
    for (const table of this.realms.values()) {
      const match = table.find(method, path)
      if (match) return match
    }
    return undefined
  }

  /** The trigger of this realm that took this very path over from the engine. */
  takenOver(realm: string, method: string, path: string): RouteMatch | undefined {
    const match = this.findIn(realm, method, path)
    return match && pathOf(match.route.pattern) === path ? match : undefined
  }

  /** Does this route take a path over that the engine serves where nobody else does? */
  takesOver({ method, pattern }: Route): boolean {
    const path = pathOf(pattern)
    return this.reserved.some((entry) => entry.yields === true && entry.method === method && entry.covers(path))
  }

  /** Methods that this path has for a caller in this realm. */
  methodsOf(path: string, realm: string): Method[] {
    const methods = METHODS.filter(
      (method) => (this.find(method, path) ?? this.findIn(realm, method, path)) !== undefined,
    )
    if (methods.includes('GET') && !methods.includes('HEAD')) methods.push('HEAD')
    return methods
  }
}

/** The realm whose callers alone reach a route; nothing where all do. */
function realmOf({ owner, trigger }: Pick<Route, 'owner' | 'trigger'>): string | undefined {
  return owner === undefined ? trigger?.grant.realm : undefined
}

/** Routes that come and go at run time; a stale removal never hits a newer binding. */
class RouteTable {
  private readonly byKey = new Map<string, Route>()
  private readonly byId = new Map<string, Route>()
  private readonly owned = new Map<string, Set<Route>>()
  private readonly reserved: readonly ReservedPath[]
  private readonly above: RouteTable | undefined
  private router = newRouter()
  private stale = false

  /** Nothing in it takes a path from what is owned in the table `above`. */
  constructor(reserved: readonly ReservedPath[], above?: RouteTable) {
    this.reserved = reserved
    this.above = above
  }

  all(): IterableIterator<Route> {
    return this.byKey.values()
  }

  get size(): number {
    return this.byKey.size
  }

  /**
   * Adds a route; one with the same method and path gives way. Throws `route_taken` where that is somebody's, and
   * `trigger_registration_failed` where the shapes conflict.
   */
  add(route: Route): void {
    const key = keyOf(route)
    const existing = this.byKey.get(key)
    this.assertFree(route, existing)
    if (existing?.permanent) {
      // Its worker registers what its manifest has declared already.
      this.byId.set(route.id, existing)
      return
    }
    if (existing) this.drop(existing)
    this.byKey.set(key, route)
    this.byId.set(route.id, route)
    if (route.owner !== undefined) this.ownedLike(route).add(route)
    if (existing) this.stale = true
    else if (!this.stale) addTo(this.router, route)
  }

  /** Removes what this id still holds. */
  remove(id: string): void {
    const route = this.byId.get(id)
    this.byId.delete(id)
    if (!route || route.permanent || this.byKey.get(keyOf(route)) !== route) return
    this.drop(route)
    this.stale = true
  }

  /** `path` is that of the request, percent-encoded as it came. */
  find(method: string, path: string): RouteMatch | undefined {
    if (this.stale) this.rebuild()
    const found = this.router.find(method as Method, path)
    if (!found) return undefined
    const route = found.store as Route
    const params = rawParams(route.pattern, path)
    return params === undefined ? undefined : { route, params }
  }

  private assertFree(route: Route, existing: Route | undefined): void {
    const { method, pattern } = route
    const path = pathOf(pattern)
    const named = byCatalogue(path) ?? path
    const reserved = this.reserved.find(
      (entry) => entry.method === method && (entry.covers(path) || entry.covers(named)),
    )
    const [theirOwn, own] = [existing?.trigger?.grant.principal, route.trigger?.grant.principal]
    if (reserved && !(reserved.yields && own?.kind === 'owner')) {
      const who = reserved.yields ? '; only clients with the owner token may take it over' : ''
      throw new EngineError('route_taken', `${method} ${path} ${CONFLICTS} ${path}, which belongs to the engine${who}`)
    }
    if (theirOwn && own && isWider(theirOwn, own)) {
      throw new EngineError('route_taken', `${method} ${cut(path)} belongs to somebody with more authority`)
    }
    if (existing && existing.owner === route.owner) {
      const theirs = pathOf(existing.pattern)
      if (theirs === path) return
      throw new EngineError(
        'trigger_registration_failed',
        `Route conflict: ${method} ${cut(path)} ${CONFLICTS} ${cut(theirs)}, which has other parameter names`,
      )
    }
    for (const owned of (this.above ?? this).owned.get(lengthKey(route)) ?? []) {
      if (owned.owner === route.owner || !takes(pattern, owned.pattern)) continue
      throw new EngineError(
        'route_taken',
        `${method} ${cut(path)} ${CONFLICTS} ${pathOf(owned.pattern)}, which ${owned.owner} serves with ${owned.functionId}`,
      )
    }
  }

  private ownedLike(route: Route): Set<Route> {
    const key = lengthKey(route)
    let routes = this.owned.get(key)
    if (!routes) {
      routes = new Set()
      this.owned.set(key, routes)
    }
    return routes
  }

  private drop(route: Route): void {
    this.byKey.delete(keyOf(route))
    this.owned.get(lengthKey(route))?.delete(route)
  }

  /** The router can only be rebuilt whole to lose a route, so it is done once for all that went. */
  private rebuild(): void {
    this.stale = false
    this.router = newRouter()
    for (const route of this.byKey.values()) addTo(this.router, route)
  }
}

/** A route of a contract that exists whether or not its worker runs. */
export function contractRoute(
  owner: string,
  functionId: string,
  http: { method: Method; path: string; status: number; raw: boolean; stream: boolean },
): Route {
  return {
    id: `contract:${functionId}:${http.method} ${http.path}`,
    kind: http.raw ? 'raw' : 'contract',
    method: http.method,
    pattern: parsePattern(http.path),
    functionId,
    status: http.status,
    stream: http.stream,
    owner,
    permanent: true,
    condition: undefined,
    middleware: [],
    trigger: undefined,
  }
}

/** The route of a bound trigger. Throws `trigger_registration_failed` for a config that cannot be served. */
export function triggerRoute(trigger: TriggerBinding): Route {
  const config = record(trigger.config)
  const metadata = record(trigger.metadata)
  const path = config.api_path
  if (typeof path !== 'string' || path === '') {
    throw new EngineError('trigger_registration_failed', 'api_path is missing')
  }
  const method = String(config.http_method ?? 'GET').toUpperCase()
  if (!isMethod(method)) {
    throw new EngineError('trigger_registration_failed', `http_method ${method} is not one of ${METHODS.join(', ')}`)
  }
  const middleware = config.middleware_function_ids ?? []
  if (!Array.isArray(middleware) || middleware.some((id) => typeof id !== 'string')) {
    throw new EngineError('trigger_registration_failed', 'middleware_function_ids is not a list of function ids')
  }
  const condition = config.condition_function_id
  const contract = metadata.binding === 'contract'
  return {
    id: trigger.id,
    kind: contract ? (metadata.raw === true ? 'raw' : 'contract') : 'trigger',
    method,
    pattern: parsePattern(path),
    functionId: trigger.functionId,
    status: contract && typeof metadata.status === 'number' ? metadata.status : 200,
    stream: contract && metadata.stream === true,
    owner: trigger.worker,
    permanent: trigger.worker !== undefined && trigger.workerId === undefined,
    condition: typeof condition === 'string' && condition !== '' ? condition : undefined,
    middleware: middleware as string[],
    trigger,
  }
}

function isMethod(method: string): method is Method {
  return (METHODS as readonly string[]).includes(method)
}

function record(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
}

function pathOf(pattern: PathPattern): string {
  return `/${pattern.source.replace(/^\/+/, '')}`
}

function cut(path: string): string {
  return path.slice(0, MAX_PATH_TOLD)
}

/** Would it be asked instead of this one, under the path itself or under the catalogue's name of it (`/api/` for `/v1/`)? */
function takes(pattern: PathPattern, owned: PathPattern): boolean {
  if (takesFrom(pattern, owned)) return true
  const named = byCatalogue(pathOf(pattern))
  return named !== undefined && takesFrom(parsePattern(named), owned)
}

function keyOf(route: Route): string {
  return `${route.method} ${route.pattern.shape}`
}

function lengthKey(route: Route): string {
  return `${route.method} ${route.pattern.segments.length}`
}

function newRouter(): createRouter.Instance<createRouter.HTTPVersion.V1> {
  return createRouter({ maxParamLength: MAX_PARAM_LENGTH, caseSensitive: true })
}

function addTo(router: createRouter.Instance<createRouter.HTTPVersion.V1>, route: Route): void {
  router.on(route.method, route.pattern.shape, () => {}, route)
}
