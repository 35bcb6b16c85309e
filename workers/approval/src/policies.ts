import type { Policy } from '@agentos/contracts/approval'
import type { StateClient } from '@agentos/sdk'
import { DEFAULT_POLICY } from './policy.ts'

const SCOPE = 'approval-policy'
const PAGE = 500

/** The policies that owners have set, in memory: this process is the only one that changes them. */
export class Policies {
  private readonly state: StateClient
  private readonly stored = new Map<string, Policy>()

  constructor(state: StateClient) {
    this.state = state
  }

  async open(): Promise<void> {
    for (let after: string | undefined; ; ) {
      const page = await this.state.entries<Policy>(SCOPE, { limit: PAGE, ...(after === undefined ? {} : { after }) })
      for (const { key, value } of page.entries) this.stored.set(key, value)
      if (page.next === undefined) return
      after = page.next
    }
  }

  inForce(realm: string, agentId: string | undefined): { policy: Policy; source: 'agent' | 'realm' | 'default' } {
    const own = agentId === undefined ? undefined : this.stored.get(keyOf(realm, agentId))
    if (own) return { policy: own, source: 'agent' }
    const common = this.stored.get(keyOf(realm, undefined))
    return common ? { policy: common, source: 'realm' } : { policy: DEFAULT_POLICY, source: 'default' }
  }

  /** In force once it is on disk. */
  async set(realm: string, agentId: string | undefined, policy: Policy): Promise<void> {
    const key = keyOf(realm, agentId)
    await this.state.set(SCOPE, key, policy)
    this.stored.set(key, policy)
  }

  async clear(realm: string, agentId: string | undefined): Promise<void> {
    const key = keyOf(realm, agentId)
    await this.state.delete(SCOPE, key)
    this.stored.delete(key)
  }
}

/** The id of a realm has no slash. */
function keyOf(realm: string, agentId: string | undefined): string {
  return agentId === undefined ? realm : `${realm}/${agentId}`
}
