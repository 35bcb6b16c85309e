import type { Effects, Principal } from '@agentos/protocol'

export const DEFAULT_REALM = 'realm-default'
/** Where whoever has no credential lives: nothing in it is the owner's. */
export const GUEST_REALM = 'realm-guest'
/** Data that belongs to the installation, not to a tenant. */
export const SYSTEM_REALM = 'system'

/** Realms that are there from the start, by the short names that callers may give; ids of others are made by the engine's side. */
const SHORT_NAMES: ReadonlyMap<string, string> = new Map([
  ['default', DEFAULT_REALM],
  ['guest', GUEST_REALM],
])

/** The id of the realm that a caller named. */
export function realmNamed(name: string): string {
  return SHORT_NAMES.get(name) ?? name
}

/** What every call carries; stamped by the engine, never taken from a worker's word. */
export interface CallContext {
  realm: string
  principal: Principal
  session?: string
  run?: string
  /** Invocation id of the call that caused this one. */
  parent?: string
  /** Reading of the monotonic clock; `undefined` is no deadline. */
  deadline?: number
  /** W3C trace id, 32 hex digits. */
  traceId: string
  /** Span of the caller, 16 hex digits; the call's own span is its child. */
  parentSpanId?: string
  baggage?: string
  idempotencyKey?: string
  /** The same call may have been made before, under the same idempotency key. */
  repeated?: boolean
  /** The call's maker named the agent whose model chose it. What is called below it was not chosen by a model. */
  chosen?: true
  /** Agent whose call caused the event that this runs for, where nobody installed bound the trigger. */
  agent?: string
  /** Request whose approval covers this call and those below it, until a model chooses again. */
  approval?: string
  effects?: Effects
  labels?: readonly string[]
}

/**
 * Realms whose traces and runs a call is shown: its own. The owner at home, in the default realm, is shown what the
 * schedules of workers do as well: that happens in no tenant's realm.
 */
export function realmsShown({ realm, principal }: CallContext): readonly string[] {
  return principal.kind === 'owner' && realm === DEFAULT_REALM ? [realm, SYSTEM_REALM] : [realm]
}
