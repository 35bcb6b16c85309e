import { list } from '@agentos/contracts/realm'
import { type Caller, type HandlerContext, InvocationError } from '@agentos/sdk'
import type { Space, Spaces } from './spaces.ts'

/** There whether or not the worker that keeps realms is. */
const BUILT_IN = ['realm-default', 'realm-guest']
const PAGE = 500

/**
 * Runs upkeep for every agent that has memories: in the realm of the call, or in all realms where the schedule of this
 * worker started it. A realm that cannot be entered does not keep the others waiting.
 */
export async function forEachAgent<T>(
  spaces: Spaces,
  ctx: HandlerContext,
  agentId: string | undefined,
  work: (space: Space) => Promise<T>,
): Promise<T[]> {
  // An agent looks after its own memory only.
  const only = ctx.principal.kind === 'agent' ? (agentId ?? ctx.principal.id) : agentId
  if (only !== undefined) return [await spaces.enter(ctx, only, work)]
  if (!isScheduled(ctx)) return inRealm(spaces, ctx, ctx.realm, work)
  const results: T[] = []
  for (const realm of await realmIds(ctx)) {
    try {
      results.push(...(await inRealm(spaces, ctx.inRealm(realm), realm, work)))
    } catch (error) {
      ctx.log.warn({ err: error, in_realm: realm }, 'the upkeep of a realm failed; the next run tries again')
    }
  }
  return results
}

function isScheduled({ principal }: HandlerContext): boolean {
  return principal.kind === 'system' && principal.id === 'memory'
}

async function inRealm<T>(spaces: Spaces, caller: Caller, realm: string, work: (space: Space) => Promise<T>) {
  const agents = await spaces.use(caller, realm, '', async ({ index }) => {
    await index.syncMemories(caller)
    return index.memories.agents()
  })
  const results: T[] = []
  for (const agentId of agents) results.push(await spaces.use(caller, realm, agentId, work))
  return results
}

/** Without the realm worker there are the built-in realms only. */
async function realmIds(ctx: HandlerContext): Promise<string[]> {
  const ids: string[] = []
  try {
    for (;;) {
      const after = ids.at(-1)
      const page = await ctx.call(list, { limit: PAGE, ...(after === undefined ? {} : { after }) })
      ids.push(...page.map(({ id }) => id))
      if (page.length < PAGE) return ids
    }
  } catch (error) {
    if (!(error instanceof InvocationError)) throw error
    ctx.log.warn({ err: error }, 'realms cannot be listed; the upkeep goes on with those known')
    return ids.length > 0 ? ids : BUILT_IN
  }
}
