import type { Bundle, exportRealm as exportContract, importRealm as importContract } from '@agentos/contracts/realm'
import { under } from '@agentos/keyed'
import { AgentError, type Caller, type HandlerContext, type OutputOf, type ParsedInputOf } from '@agentos/sdk'
import { addAgent, listAgents, removeAgent } from './agents.ts'
import { enter, isTrusted } from './authority.ts'
import { makeBundle, readBundle } from './bundle.ts'
import { record as recordAudit, tellNews } from './lifecycle.ts'
import { addRealm } from './realms.ts'
import { type News, RealmRecords, view } from './record.ts'

export async function exportRealm(
  { id, scrubSecrets }: ParsedInputOf<typeof exportContract>,
  ctx: HandlerContext,
): Promise<Bundle> {
  const record = await new RealmRecords(ctx.state).require(id)
  const caller = enter(record.id, ctx)
  if (!scrubSecrets && !isTrusted(ctx)) {
    throw new AgentError('forbidden', 'Exporting a realm with its secrets needs the owner token')
  }
  const warnings: string[] = []
  const agents = await listAgents(caller, ['function_not_found', 'worker_unavailable'], warnings)
  const exported = { realmId: record.id, scrubSecrets, agents: agents.length }
  await recordAudit('realm_exported', exported, ctx, under(ctx, 'realm_exported')).catch((error) => {
    ctx.log.warn({ err: error, realmId: record.id }, 'An export could not be audited')
  })
  return makeBundle(view(record), agents, scrubSecrets, warnings)
}

/** The realm becomes known only when all of it is there; a failure takes back what was written. */
export async function importRealm(
  { data, newOwner }: ParsedInputOf<typeof importContract>,
  ctx: HandlerContext,
): Promise<OutputOf<typeof importContract>> {
  const { realm, agents, warnings } = readBundle(data)
  const record = await addRealm({ ...realm, owner: newOwner ?? realm.owner }, ctx)
  const added: string[] = []
  if (agents.length > 0) {
    const caller = enter(record.id, ctx)
    try {
      for (const agent of agents) added.push(await addAgent(caller, agent))
    } catch (error) {
      await takeBack(record.id, added, caller, ctx)
      throw error
    }
  }
  const audit = { type: 'realm_imported', detail: { realmId: record.id, agents: added.length } }
  const news: News = { type: 'created', version: record.version, audit }
  await new RealmRecords(ctx.state).changeNews(record.id, (untold) => [...untold, news])
  await tellNews(record.id, ctx)
  return { imported: true, realmId: record.id, counts: { agents: added.length }, warnings }
}

/** The record goes last and only with all agents, so that what could not be taken back can still be found and purged. */
async function takeBack(realmId: string, agentIds: string[], caller: Caller, ctx: HandlerContext): Promise<void> {
  const records = new RealmRecords(ctx.state)
  try {
    for (const agentId of agentIds) await removeAgent(caller, agentId)
    await records.erase(realmId)
  } catch (error) {
    ctx.log.error(
      { err: error, realmId },
      'A failed import could not be taken back; the realm is left deleted, to be purged',
    )
    const deletedAt = new Date().toISOString()
    await records.change(realmId, (stored) => ({ ...stored, status: 'archived', deletedAt }))
  }
}
