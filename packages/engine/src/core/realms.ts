import { EngineError, type FunctionDescriptor } from '@agentos/protocol'
import type { Catalogue } from './catalogue.ts'
import { type CallContext, DEFAULT_REALM, GUEST_REALM, SYSTEM_REALM } from './context.ts'
import type { Store } from './ports.ts'

/** There from the start, whatever is installed, and always active. */
const BUILT_IN: ReadonlySet<string> = new Set([DEFAULT_REALM, GUEST_REALM, SYSTEM_REALM])

/** Partition of the store that holds a scope's values in a realm. */
export function statePartition(realm: string, scope: string): string {
  return `state/${realm}/${scope}`
}

/** Which realms there are, as the worker that keeps them has stored it; read anew at each entry into a realm. */
export class Realms {
  private readonly registry: string | undefined
  private readonly store: Store

  constructor(catalogue: Catalogue, store: Store) {
    this.registry = catalogue.realmRegistry
    this.store = store
  }

  /** A realm has to exist, and a suspended one can only be read. What runs under an admitted call is admitted. */
  assertUsable(
    context: Pick<CallContext, 'realm' | 'principal' | 'parent'>,
    effects: FunctionDescriptor['effects'] | undefined,
  ): void {
    const { realm, principal, parent } = context
    if (BUILT_IN.has(realm) || parent !== undefined) return
    // Workers on their own behalf keep house in realms of every state: exports, purges, schedules.
    if (this.registry === undefined || principal.kind === 'system') return
    const record = this.store.get(statePartition(SYSTEM_REALM, this.registry), realm)?.value
    const status = typeof record === 'object' && record !== null && 'status' in record ? record.status : undefined
    if (status === 'active') return
    if (status === undefined) {
      throw new EngineError('not_found', `There is no realm ${realm}; GET /v1/realms lists them`)
    }
    if (status === 'suspended' && effects === 'read') return
    throw new EngineError(
      'realm_suspended',
      `Realm ${realm} is ${status}; set its status to active to change something`,
    )
  }
}
