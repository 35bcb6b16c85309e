import type { Agent, AgentFunction, create, findFunctions, update } from '@agentos/contracts/agent-core'
import { purgeAgent } from '@agentos/contracts/memory'
import { setCapabilities } from '@agentos/contracts/security'
import { AgentError, type Caller, type HandlerContext, newId, type ParsedInputOf } from '@agentos/sdk'
import {
  DEFAULT_AGENT,
  DEFAULT_GRANTS,
  findAgent,
  newAgent,
  requireAgent,
  SCOPE,
  updatedAgent,
} from './agent-record.ts'
import { granted, rank, readCatalogue } from './function-catalogue.ts'
import { realmSettings } from './realm-settings.ts'

const DEFAULT_REALM = 'realm-default'

/** A new agent's grants are in force before its record can be found. */
export async function createAgent(
  input: ParsedInputOf<typeof create>,
  ctx: HandlerContext,
): Promise<{ agentId: string }> {
  if (ctx.principal.kind === 'guest' && (input.capabilities || input.resources)) {
    throw new AgentError('forbidden', 'Grants and quotas need the owner token; leave them out for the default grants')
  }
  const agent = newAgent(input.id ?? newId('agent'), input, Date.now())
  await assertRoom(ctx)
  await store(ctx, agent, 0)
  await announce(ctx, 'created', agent.id)
  return { agentId: agent.id }
}

/** The realm may limit how many agents it has. */
async function assertRoom(ctx: HandlerContext): Promise<void> {
  const { maxAgents } = await realmSettings(ctx)
  if (maxAgents === null) return
  const agents = await ctx.state.list<Agent>(SCOPE)
  if (agents.length < maxAgents) return
  throw new AgentError(
    'quota_exceeded',
    `This realm may have ${maxAgents} agents, and has them; delete one or raise maxAgents`,
  )
}

export async function updateAgent(input: ParsedInputOf<typeof update>, ctx: HandlerContext): Promise<Agent> {
  const entries = await ctx.state.entries<Agent>(SCOPE, { prefix: input.agentId, limit: 1 })
  const entry = entries.entries.find(({ key }) => key === input.agentId)
  if (!entry) await requireAgent(ctx, input.agentId)
  const agent = updatedAgent(entry!.value, input, Date.now())
  await store(ctx, agent, entry!.version)
  await announce(ctx, 'updated', agent.id)
  return agent
}

export async function listAgents(ctx: HandlerContext): Promise<Agent[]> {
  const agents = await ctx.state.list<Agent>(SCOPE)
  return agents.sort((a, b) => a.createdAt - b.createdAt)
}

export async function deleteAgent(agentId: string, ctx: HandlerContext): Promise<{ deleted: true }> {
  await requireAgent(ctx, agentId)
  // Grants first: whatever happens after, the agent can do nothing any more.
  await ctx.call(setCapabilities, { agentId, capabilities: { tools: [] } })
  await ctx.call(purgeAgent, { agentId })
  await ctx.state.delete(SCOPE, agentId)
  await announce(ctx, 'deleted', agentId)
  return { deleted: true }
}

/**
 * The agent of a chat. `default` is there in every realm; in the default realm the owner and guests get an unknown
 * agent made for them, with the default grants; elsewhere an unknown agent is an error.
 */
export async function createDefaultIfMissing(
  ctx: HandlerContext,
  agentId: string,
): Promise<{ agent: Agent; created: boolean }> {
  const found = await findAgent(ctx, agentId)
  if (found) return { agent: found, created: false }
  const person = ctx.principal.kind === 'owner' || ctx.principal.kind === 'guest'
  const allowed = agentId === DEFAULT_AGENT || (ctx.realm === DEFAULT_REALM && person)
  if (!allowed) await requireAgent(ctx, agentId)
  const agent = newAgent(agentId, { name: agentId === DEFAULT_AGENT ? 'Assistant' : agentId }, Date.now())
  try {
    await store(ctx, agent, 0)
  } catch (error) {
    // Somebody else was first.
    if (error instanceof Error && 'code' in error && error.code === 'conflict') {
      return { agent: await requireAgent(ctx, agentId), created: false }
    }
    throw error
  }
  return { agent, created: agentId !== DEFAULT_AGENT }
}

/** At set-up: the default agent of the default realm exists before anybody asks for it. */
export async function ensureDefaultAgent(caller: Caller): Promise<void> {
  if (await findAgent(caller, DEFAULT_AGENT)) return
  const agent = newAgent(DEFAULT_AGENT, { name: 'Assistant' }, Date.now())
  try {
    await store(caller, agent, 0)
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

/** Writes the record with its grants; `version` 0 is a new one. */
async function store(caller: Caller, agent: Agent, version: number): Promise<void> {
  const taken = (): AgentError =>
    version === 0
      ? new AgentError('conflict', `There is an agent ${agent.id} already; change it with PATCH /v1/agents/${agent.id}`)
      : new AgentError('version_conflict', `Agent ${agent.id} was changed by somebody else; read it again`)
  if (version === 0 && (await findAgent(caller, agent.id))) throw taken()
  const { functions, deny } = agent.capabilities
  const quota = agent.resources?.maxTokensPerHour
  await caller.call(setCapabilities, {
    agentId: agent.id,
    capabilities: {
      tools: functions,
      ...(deny ? { deny } : {}),
      ...(quota ? { max_tokens_per_hour: quota } : {}),
    },
  })
  try {
    await caller.state.set(SCOPE, agent.id, agent, { expectedVersion: version })
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'version_conflict') throw taken()
    throw error
  }
}

async function announce(ctx: HandlerContext, type: string, agentId: string): Promise<void> {
  await ctx.trigger({ function_id: 'publish', payload: { topic: 'agent.lifecycle', data: { type, agentId } } })
}

function withoutMark({ tool: _tool, ...entry }: AgentFunction & { tool?: boolean }): AgentFunction {
  return entry
}
