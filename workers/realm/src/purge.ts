import type { PurgeReport } from '@agentos/contracts/realm'
import { under } from '@agentos/keyed'
import { AgentError, type Caller, type HandlerContext } from '@agentos/sdk'
import { listAgents, removeAgent } from './agents.ts'
import { announce, record as recordAudit } from './lifecycle.ts'
import { RealmRecords, SCOPE } from './record.ts'

const DAY_MS = 86_400_000
const PAGE = 500

/** Agents, state, and at the end the record: what is interrupted is begun again by the next purge. */
export async function purgeRealm(
  { id, dryRun }: { id: string; dryRun: boolean },
  ctx: HandlerContext,
): Promise<PurgeReport> {
  const records = new RealmRecords(ctx.state)
  const record = await records.require(id)
  if (!record.deletedAt) {
    throw new AgentError('conflict', `Realm ${record.id} is not deleted; call realm::delete first`)
  }
  const caller = ctx.inRealm(record.id)
  const warnings: string[] = []
  // While the worker that keeps them is down, the realm stays as it is: its agents would be left behind unseen.
  const agents = await listAgents(caller, ['function_not_found'], warnings)
  if (!dryRun) for (const agent of agents) await removeAgent(caller, agent.id)
  const { scopes, entries } = await clearState(caller, dryRun)
  const report = { realmId: record.id, dryRun, agents: agents.length, scopes, entries, warnings }
  if (dryRun) return report
  // The record goes last: what is interrupted before is begun again, and told again.
  await recordAudit('realm_purged', report, ctx, under(ctx, 'realm_purged'))
  await announce('purged', record.id, ctx)
  await records.erase(record.id)
  return report
}

/** Realms that were deleted longer ago than this; one that fails does not keep the others. */
export async function purgeExpired(retentionDays: number, ctx: HandlerContext): Promise<{ purged: string[] }> {
  const oldest = Date.now() - retentionDays * DAY_MS
  const purged: string[] = []
  for (const { id, deletedAt } of await new RealmRecords(ctx.state).all()) {
    if (!deletedAt || Date.parse(deletedAt) > oldest) continue
    try {
      await purgeRealm({ id, dryRun: false }, ctx)
      purged.push(id)
    } catch (error) {
      ctx.log.warn({ err: error, realmId: id }, 'A deleted realm could not be purged; it is tried again next time')
    }
  }
  return { purged }
}

/** Scopes that no worker owns. Of those with an owner the engine lists only our own: the records, of all realms. */
async function clearState(caller: Caller, dryRun: boolean): Promise<{ scopes: number; entries: number }> {
  const groups = (await caller.state.groups()).filter((scope) => scope !== SCOPE)
  let entries = 0
  for (const scope of groups) {
    let after: string | undefined
    do {
      const page = await caller.state.entries(scope, { limit: PAGE, ...(after === undefined ? {} : { after }) })
      entries += page.entries.length
      if (!dryRun) await Promise.all(page.entries.map(({ key }) => caller.state.delete(scope, key)))
      after = page.next
    } while (after !== undefined)
  }
  return { scopes: groups.length, entries }
}
