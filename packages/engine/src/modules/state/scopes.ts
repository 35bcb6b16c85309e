import { EngineError } from '@agentos/protocol'
import { SYSTEM_REALM } from '../../core/context.ts'
import type { BuiltinCall, ModuleHost } from '../../core/module.ts'
import { statePartition } from '../../core/realms.ts'

/** Where the values of scopes lie in the store, and who may touch them. */
export class Scopes {
  private readonly host: ModuleHost

  constructor(host: ModuleHost) {
    this.host = host
  }

  /** Partition of a scope for this call. Throws `forbidden` where another worker owns the scope. */
  partition(scope: string, call: BuiltinCall): string {
    this.host.assertMayTouch('scopes', scope, call.caller, call.context)
    return statePartition(this.host.realmOf('scopes', scope, call.context), scope)
  }

  /** Start of the partitions of all scopes that begin like this; which of them may be touched is asked one by one. */
  partitionPrefix(scopesPrefix: string, call: BuiltinCall): string {
    return statePartition(this.host.realmOf('scopes', scopesPrefix, call.context), scopesPrefix)
  }

  mayTouch(scope: string, call: BuiltinCall): boolean {
    try {
      this.host.assertMayTouch('scopes', scope, call.caller, call.context)
      return true
    } catch (error) {
      if (error instanceof EngineError) return false
      throw error
    }
  }

  /** Prefixes under which scopes that this call sees may lie: its realm, and what is kept once for all. */
  roots(call: BuiltinCall): string[] {
    return [...new Set([statePartition(call.context.realm, ''), statePartition(SYSTEM_REALM, '')])]
  }

  /** Scope of a partition, where this call finds that scope there and may touch it. */
  visible(partition: string, call: BuiltinCall): string | undefined {
    const [, realm, ...rest] = partition.split('/')
    const scope = rest.join('/')
    const here = this.host.realmOf('scopes', scope, call.context) === realm
    return here && this.mayTouch(scope, call) ? scope : undefined
  }
}
