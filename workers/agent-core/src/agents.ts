import type { Agent, AgentFunction, create, findFunctions, update } from '@agentos/contracts/agent-core'
import { purgeAgent } from '@agentos/contracts/memory'
import { setCapabilities } from '@agentos/contracts/security'
import { AgentError, type Caller, type HandlerContext, newId, type ParsedInputOf } from '@agentos/sdk'
import {
  DEFAULT_AGENT,
  DEFAULT_GRANTS,
  DEFAULT_REALM,
  findAgent,
  GUEST_REALM,
  newAgent,
  noAgent,
  requireAgent,
  SCOPE,
  type StoredAgent,
  shown,
  updatedAgent,
} from './agent-record.ts'
import { findSettled, inTurn, makingOne, put, storedAgents } from './agent-store.ts'
import { granted, rank, readCatalogue } from './function-catalogue.ts'
import { realmSettings } from './realm-settings.ts'

export async function createAgent(
  input: ParsedInputOf<typeof create>,
  ctx: HandlerContext,
): Promise<{ agentId: string }> {
  if (ctx.principal.kind === 'guest' && (input.capabilities || input.resources)) {
    throw new AgentError('forbidden', 'Grants and quotas need the owner token; leave them out for the default grants')
  }
  const agent = newAgent(input.id ?? newId('agent'), input, Date.now())
  await add(agent, ctx)
  await announce(ctx, 'created', agent.id)
  return { agentId: agent.id }
}

/** A new agent, where the realm has room for one. Errors: `quota_exceeded`, `conflict`. */
function add(agent: Agent, ctx: HandlerContext): Promise<void> {
  return makingOne(ctx.realm, async () => {
    await assertRoom(ctx)
    await inTurn(ctx.realm, agent.id, () => put(ctx, agent, 0))
  })
}

/** The realm may limit how many agents it has. */
async function assertRoom(ctx: HandlerContext): Promise<void> {
  const { maxAgents } = await realmSettings(ctx)
  if (maxAgents === null) return
  let count = 0
  for await (const _agent of storedAgents(ctx)) count += 1
  if (count < maxAgents) return
  throw new AgentError(
    'quota_exceeded',
    `This realm may have ${maxAgents} agents, and has them; delete one or raise maxAgents`,
  )
}

export async function updateAgent(input: ParsedInputOf<typeof update>, ctx: HandlerContext): Promise<Agent> {
  const agent = await inTurn(ctx.realm, input.agentId, async () => {
    const entry = await ctx.state.getWithVersion<StoredAgent>(SCOPE, input.agentId)
    if (!entry) throw noAgent(input.agentId)
    const updated = updatedAgent(shown(entry.value), input, Date.now())
    await put(ctx, updated, entry.version)
    return updated
  })
  await announce(ctx, 'updated', agent.id)
  return agent
}

export async function listAgents(ctx: HandlerContext): Promise<Agent[]> {
  const agents: Agent[] = []
  for await (const stored of storedAgents(ctx)) agents.push(shown(stored))
  return agents.sort((a, b) => a.createdAt - b.createdAt)
}

export async function deleteAgent(agentId: string, ctx: HandlerContext): Promise<{ deleted: true }> {
  await inTurn(ctx.realm, agentId, async () => {
    await requireAgent(ctx, agentId)
    // Grants first: whatever happens after, the agent can do nothing any more.
    await ctx.call(setCapabilities, { agentId, capabilities: { tools: [] } })
    await ctx.call(purgeAgent, { agentId })
    await ctx.state.delete(SCOPE, agentId)
  })
  await announce(ctx, 'deleted', agentId)
  return { deleted: true }
}

/**
 * The agent of a chat. `default` is there in every realm; the owner in the default realm, and a guest in the
 * guests', get an unknown agent made for them, with the default grants; elsewhere an unknown agent is an error.
 */
export async function createDefaultIfMissing(
  ctx: HandlerContext,
  agentId: string,
): Promise<{ agent: Agent; created: boolean }> {
  const found = await findSettled(ctx, ctx.realm, agentId)
  if (found) return { agent: found, created: false }
  if (agentId !== DEFAULT_AGENT && !isAtHome(ctx)) await requireAgent(ctx, agentId)
  const agent = newAgent(agentId, { name: agentId === DEFAULT_AGENT ? 'Assistant' : agentId }, Date.now())
  try {
    await add(agent, ctx)
  } catch (error) {
    // Somebody else was first.
    const found = await findSettled(ctx, ctx.realm, agentId)
    if (found) return { agent: found, created: false }
    throw error
  }
  return { agent, created: agentId !== DEFAULT_AGENT }
}

function isAtHome({ principal, realm }: HandlerContext): boolean {
  return realm === (principal.kind === 'owner' ? DEFAULT_REALM : principal.kind === 'guest' ? GUEST_REALM : undefined)
}

/** At set-up: the default agent of a built-in realm exists before anybody asks for it. */
export async function ensureDefaultAgent(caller: Caller, realm: string): Promise<void> {
  if (await findAgent(caller, DEFAULT_AGENT)) return
  const agent = newAgent(DEFAULT_AGENT, { name: 'Assistant' }, Date.now())
  try {
    await inTurn(realm, DEFAULT_AGENT, () => put(caller, agent, 0))
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'conflict')) throw error
  }
}

export async function listFunctions(agentId: string, ctx: HandlerContext): Promise<AgentFunction[]> {
  const agent = await findAgent(ctx, agentId)
  const capabilities = agent?.capabilities ?? { functions: agentId === DEFAULT_AGENT ? DEFAULT_GRANTS : [] }
  return granted(await readCatalogue(ctx), capabilities).map(withoutMark)
}

export async function findAgentFunctions(
  input: ParsedInputOf<typeof findFunctions>,
  ctx: HandlerContext,
): Promise<{ functions: AgentFunction[] }> {
  const agentId = input.agentId ?? (ctx.principal.kind === 'agent' ? ctx.principal.id : DEFAULT_AGENT)
  const functions = await listFunctions(agentId, ctx)
  return { functions: rank(functions, input.query).slice(0, input.limit) }
}

/** What was done stands, whether or not anybody hears of it. */
async function announce(ctx: HandlerContext, type: string, agentId: string): Promise<void> {
  try {
    await ctx.trigger({ function_id: 'publish', payload: { topic: 'agent.lifecycle', data: { type, agentId } } })
  } catch (error) {
    ctx.log.warn({ err: error, type, agentId }, 'A change of an agent could not be announced')
  }
}

function withoutMark({ tool: _tool, ...entry }: AgentFunction & { tool?: boolean }): AgentFunction {
  return entry
}
