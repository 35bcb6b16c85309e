import { get as getRealm } from '@agentos/contracts/realm'
import { type HandlerContext, InvocationError } from '@agentos/sdk'

export interface RealmSettings {
  maxAgents: number | null
  defaultModel: string | null
}

const NONE: RealmSettings = { maxAgents: null, defaultModel: null }

/** What the realm of this call sets for its agents; nothing where no worker keeps realms. */
export async function realmSettings(ctx: HandlerContext): Promise<RealmSettings> {
  try {
    const realm = await ctx.call(getRealm, { id: ctx.realm })
    return realm ? { maxAgents: realm.maxAgents, defaultModel: realm.defaultModel } : NONE
  } catch (error) {
    const absent = error instanceof InvocationError && error.code === 'worker_unavailable'
    if (!absent) throw error
    return NONE
  }
}
