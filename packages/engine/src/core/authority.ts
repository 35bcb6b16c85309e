import type { Access, InvokeHead, Principal } from '@agentos/protocol'
import { EngineError } from '@agentos/protocol'
import type { Catalogue, OwnedKind } from './catalogue.ts'
import type { Connection } from './connection.ts'
import { type CallContext, GUEST_REALM, realmNamed, SYSTEM_REALM } from './context.ts'
import { agentOf } from './gate.ts'
import type { CallerIdentity, TriggerBinding, TriggerOptions } from './module.ts'
import type { Ports } from './ports.ts'

/** Wider first. A call never has a wider principal than the one it was made under. */
const WIDTH: Record<Principal['kind'], number> = { system: 4, owner: 3, worker: 2, guest: 1, agent: 0 }

export function isWider(principal: Principal, than: Principal): boolean {
  return WIDTH[principal.kind] > WIDTH[than.kind]
}

/** Splits a W3C `traceparent`; anything malformed counts as absent. */
export function parseTraceparent(header: string | undefined): { traceId: string; spanId: string } | undefined {
  if (!header) return undefined
  const match = /^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}/.exec(header)
  if (!match || /^0+$/.test(match[1]!) || /^0+$/.test(match[2]!)) return undefined
  return { traceId: match[1]!, spanId: match[2]! }
}

/** Where a call's context comes from, and what it may do with it. */
export class Authority {
  private readonly catalogue: Catalogue
  private readonly ports: Ports

  constructor(catalogue: Catalogue, ports: Ports) {
    this.catalogue = catalogue
    this.ports = ports
  }

  /** The context of an `invokefunction` frame: derived from its parent, from the calls in flight, or from the grant. */
  contextOfFrame(connection: Connection, frame: InvokeHead): CallContext {
    const trace = parseTraceparent(frame.traceparent)
    const base = this.baseContext(connection, frame, trace?.traceId)
    const context: CallContext = { ...base }
    // Serving the owner's call does not make a guest's worker the owner.
    const own = connection.grant.principal
    if (isWider(context.principal, own)) context.principal = own
    if (trace && (base.parent === undefined || trace.traceId === base.traceId)) {
      context.traceId = trace.traceId
      context.parentSpanId = trace.spanId
    }
    if (frame.baggage) context.baggage = frame.baggage
    if (frame.deadline_ms !== undefined) {
      const deadline = this.ports.clock.monotonic() + Math.max(0, frame.deadline_ms)
      context.deadline = base.deadline === undefined ? deadline : Math.min(base.deadline, deadline)
    }
    if (frame.agent) {
      context.principal = { kind: 'agent', id: frame.agent }
      context.chosen = true
      // What a model chose is judged by itself, whatever was approved above it.
      delete context.approval
    }
    if (frame.session) context.session = frame.session
    if (frame.run) context.run = frame.run
    if (frame.idempotency_key) context.idempotencyKey = frame.idempotency_key
    const named = frame.realm === undefined ? context.realm : realmNamed(frame.realm)
    if (named !== context.realm) {
      this.assertMayEnter(connection, context)
      context.realm = named
    }
    return context
  }

  private baseContext(connection: Connection, frame: InvokeHead, traceId: string | undefined): CallContext {
    if (frame.parent !== undefined) {
      const parent = connection.contextOf(frame.parent)
      if (!parent) {
        throw new EngineError('forbidden', `The parent ${frame.parent} is not in flight on this connection`)
      }
      return parent
    }
    // A client that names no parent, but traces: the narrowest of the calls of that trace that it is serving. Who names a
    // realm acts on its own behalf, and says with the trace only where that is to be seen.
    if (traceId !== undefined && frame.realm === undefined && connection.serving.size > 0) {
      let narrowest: CallContext | undefined
      for (const call of connection.serving.values()) {
        if (call.context.traceId !== traceId) continue
        if (!narrowest || isWider(narrowest.principal, call.context.principal)) {
          narrowest = call.childContext()
        }
      }
      // Which of those calls it serves is a guess, and an approval covers nothing by a guess.
      delete narrowest?.approval
      if (narrowest) return narrowest
    }
    return {
      realm: connection.grant.realm,
      principal: connection.grant.principal,
      traceId: this.ports.ids.hex(16),
    }
  }

  /** Only the owner, and workers that say so in their manifest acting on their own behalf, go from realm to realm. */
  private assertMayEnter(connection: Connection, context: CallContext): void {
    if (context.principal.kind === 'owner') return
    const worker = connection.grant.worker
    if (worker && context.principal.kind === 'system' && this.catalogue.workers.get(worker)?.entersRealms) return
    throw new EngineError('forbidden', 'Only the owner and workers that declare enters_realms may name a realm')
  }

  /**
   * May this call reach a function that is not everybody's? The owner may, and an installed worker on its own or its
   * caller's behalf; never a guest's own call, and what a model chose only where the function is for agents.
   */
  assertMayInvoke(functionId: string, access: Access, context: CallContext, caller: CallerIdentity): void {
    if (access === 'guest') return
    const { kind } = context.principal
    if (kind === 'owner' || kind === 'system') return
    if (caller.worker !== undefined && (kind !== 'agent' || access === 'agent')) return
    throw new EngineError(
      'forbidden',
      `${functionId} needs the owner token (the file owner-token in the data folder, sent as a bearer token)`,
    )
  }

  assertMayTouch(kind: OwnedKind, name: string, caller: CallerIdentity): void {
    const owner = this.catalogue.ownerOf(kind, name)
    if (owner === undefined || caller.worker === owner) return
    const message = `${name} belongs to the worker ${owner}; call one of its functions instead`
    throw new EngineError('forbidden', message, { details: { owner } })
  }

  /** Realm under which a scope's data is kept. */
  realmOf(_kind: 'scopes', name: string, context: CallContext): string {
    return this.catalogue.isSystemScope(name) ? SYSTEM_REALM : context.realm
  }

  /** The context in which a trigger fires. */
  contextOfTrigger(trigger: TriggerBinding, options: TriggerOptions): CallContext {
    const trace = parseTraceparent(options.traceparent)
    // What an installed worker does about an event is the owner's arrangement; anybody else's binding is no way for an
    // agent to have something done that it may not do itself.
    const agent = trigger.worker === undefined && options.cause ? agentOf(options.cause) : undefined
    return {
      realm: options.realm ?? trigger.grant.realm,
      principal: trigger.grant.principal,
      traceId: trace?.traceId ?? this.ports.ids.hex(16),
      ...(agent === undefined ? {} : { agent }),
      ...(trace ? { parentSpanId: trace.spanId } : {}),
      ...(options.deadlineMs === undefined ? {} : { deadline: this.ports.clock.monotonic() + options.deadlineMs }),
    }
  }

  /** Authority with which what an installed worker declared, or a connection registered, fires. */
  triggerGrant(
    connection: Connection | undefined,
    worker: string | undefined,
  ): { principal: Principal; realm: string } {
    if (worker !== undefined) return { principal: { kind: 'system', id: worker }, realm: SYSTEM_REALM }
    if (connection) return { principal: connection.grant.principal, realm: connection.grant.realm }
    return { principal: { kind: 'guest', id: 'guest' }, realm: GUEST_REALM }
  }
}
