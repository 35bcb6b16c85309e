import type { RegisterFunctionFrame } from '@agentos/protocol'
import { isWider } from './authority.ts'
import { type Catalogue, closedNamespaceOf, isFunctionId } from './catalogue.ts'
import type { Connection } from './connection.ts'
import type { BuiltinFunction } from './module.ts'
import { placeFor, placeIn, placeOfAll } from './place.ts'

const MAX_SHOWN = 100

/** One process that serves a function. */
export interface Registration {
  connection: Connection
  frame: RegisterFunctionFrame
}

export type RegisterOutcome =
  | { ok: true; replaced: Registration[] }
  | { ok: false; code: 'invalid_input' | 'id_taken' | 'forbidden' | 'unsupported_feature'; message: string }

/**
 * Which ids are served, and by whom. What the engine, a manifest or an installed worker has is reached from every realm;
 * the rest belongs to the realm of the connection that registered it, and two realms may have the same id. A dead
 * connection's clean-up can only remove what its own epoch registered.
 */
export class Registry {
  /** By place. */
  private readonly served = new Map<string, Registration[]>()
  private readonly builtins = new Map<string, BuiltinFunction>()
  /** Of the engine's own functions: nobody registers beside them what no manifest declares. */
  private readonly builtinNamespaces = new Set<string | undefined>()
  /** Functions that cannot be served in the way their registrant wants, with the reason that callers hear. */
  private readonly unsupported = new Map<string, { connection: Connection; message: string }>()
  private readonly catalogue: Catalogue

  constructor(catalogue: Catalogue) {
    this.catalogue = catalogue
  }

  addBuiltin(fn: BuiltinFunction): void {
    if (this.builtins.has(fn.id)) throw new Error(`The engine registers ${fn.id} twice`)
    this.builtins.set(fn.id, fn)
    this.builtinNamespaces.add(closedNamespaceOf(fn.id))
  }

  builtin(id: string): BuiltinFunction | undefined {
    return this.builtins.get(id)
  }

  builtinFunctions(): IterableIterator<BuiltinFunction> {
    return this.builtins.values()
  }

  /** Ids that somebody serves for this realm. */
  *servedFunctions(realm: string): Generator<string> {
    for (const [place, [registration]] of this.served) {
      const { id } = registration!.frame
      if (place === placeOfAll(id) || place === placeIn(realm, id)) yield id
    }
  }

  /** Where a caller in this realm finds an id: its own realm's before the installation's. */
  placeOf(id: string, realm: string): string {
    if (this.catalogue.declared(id)) return placeOfAll(id)
    const own = placeIn(realm, id)
    return this.served.has(own) || this.unsupported.has(own) ? own : placeOfAll(id)
  }

  registrations(id: string, realm: string): readonly Registration[] {
    return this.served.get(this.placeOf(id, realm)) ?? []
  }

  /** Registers for this connection; says which older registrations it displaced. */
  register(connection: Connection, frame: RegisterFunctionFrame): RegisterOutcome {
    const { id } = frame
    if (!isFunctionId(id)) {
      const shown = JSON.stringify(id.slice(0, MAX_SHOWN))
      const message = `${shown} is no function id: parts of letters, digits, _, - and . joined by ::, 256 characters at most`
      return { ok: false, code: 'invalid_input', message }
    }
    if (this.builtins.has(id)) return { ok: false, code: 'id_taken', message: `${id} belongs to the engine` }
    const owner = this.catalogue.declared(id)?.worker
    const namespace = closedNamespaceOf(id)
    if (owner === undefined && namespace !== undefined && this.builtinNamespaces.has(namespace)) {
      const message = `${id} is in the namespace ${namespace}, which belongs to the engine; register it under another`
      return { ok: false, code: 'id_taken', message }
    }
    if (!this.catalogue.mayRegister(id, connection.grant.worker)) {
      const whose = owner === undefined ? 'the namespace of an installed worker' : `the installed worker ${owner}`
      return { ok: false, code: 'forbidden', message: `${id} belongs to ${whose}; only its credential may register it` }
    }
    if (frame.invocation) return this.cannotServe(connection, id)
    const place = placeFor(connection.grant, id)
    const entry: Registration = { connection, frame }
    const group = groupOf(entry)
    const instance = frame.instance
    const existing = this.served.get(place) ?? []
    const others = existing.filter((registration) => registration.connection !== connection)
    const maxInstances = owner === undefined ? Number.POSITIVE_INFINITY : this.catalogue.workers.get(owner)!.instances
    const keep: Registration[] = []
    const replaced: Registration[] = []
    for (const other of others) {
      const [own, theirs] = [connection.grant.principal, other.connection.grant.principal]
      // Nobody takes the calls of somebody with more authority, whatever group he names; who has more takes them.
      if (isWider(theirs, own)) return { ok: false, code: 'id_taken', message: `${id} is registered by another worker` }
      if (isWider(own, theirs)) {
        replaced.push(other)
        continue
      }
      const otherGroup = groupOf(other)
      const sameProcess = instance !== undefined && other.frame.instance === instance
      const shares = group !== undefined && otherGroup === group && instance !== undefined && !sameProcess
      if (shares && maxInstances > 1) keep.push(other)
      else if (group === otherGroup || group === undefined || otherGroup === undefined) replaced.push(other)
      else return { ok: false, code: 'id_taken', message: `${id} is registered by another worker` }
    }
    // The newest comes first among equals; the router takes the one with the fewest calls in flight.
    replaced.push(...keep.splice(maxInstances - 1))
    this.served.set(place, [entry, ...keep])
    this.unsupported.delete(place)
    for (const other of replaced) other.connection.functions.delete(id)
    for (const other of replaced) other.connection.account('function', id, 0)
    connection.functions.add(id)
    return { ok: true, replaced }
  }

  /** Why nobody can serve this id, though somebody wanted it served. */
  whyUnsupported(id: string, realm: string): string | undefined {
    const place = this.placeOf(id, realm)
    return this.served.has(place) ? undefined : this.unsupported.get(place)?.message
  }

  private cannotServe(connection: Connection, id: string): RegisterOutcome {
    const message = `${id} is to be called at a URL (\`invocation\`), which this release does not do; register a handler that calls it`
    this.unsupported.set(placeFor(connection.grant, id), { connection, message })
    connection.functions.add(id)
    return { ok: false, code: 'unsupported_feature', message }
  }

  /** Only effective while this connection still owns the registration. */
  unregister(connection: Connection, id: string): boolean {
    const place = placeFor(connection.grant, id)
    if (this.unsupported.get(place)?.connection === connection) {
      this.unsupported.delete(place)
      connection.functions.delete(id)
    }
    const existing = this.served.get(place)
    if (!existing) return false
    const rest = existing.filter((registration) => registration.connection !== connection)
    if (rest.length === existing.length) return false
    if (rest.length === 0) this.served.delete(place)
    else this.served.set(place, rest)
    connection.functions.delete(id)
    return true
  }

  /** The process of a place with the fewest calls in flight of those that may take one more, or nothing. */
  pick(place: string, mayTake: (connection: Connection) => boolean): Registration | undefined {
    const registrations = this.served.get(place)
    if (!registrations) return undefined
    let best: Registration | undefined
    for (const registration of registrations) {
      const load = registration.connection.serving.size
      if (best && load >= best.connection.serving.size) continue
      if (mayTake(registration.connection)) best = registration
    }
    return best
  }
}

/**
 * Whose processes share calls, or nothing: a group is that of one principal, and of one installed worker, whose name alone
 * makes one. Who names the group of somebody else is not in it.
 */
function groupOf({ connection: { grant }, frame: { group } }: Registration): string | undefined {
  const { principal, worker } = grant
  if (group === undefined && worker === undefined) return undefined
  return JSON.stringify([principal.kind, principal.id, worker ?? null, worker === undefined ? group : null])
}
