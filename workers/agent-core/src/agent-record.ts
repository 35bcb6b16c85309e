import type { Agent, create, update } from '@agentos/contracts/agent-core'
import { AgentError, type Caller, type ParsedInputOf } from '@agentos/sdk'

export const SCOPE = 'agents'
export const DEFAULT_AGENT = 'default'
export const DEFAULT_REALM = 'realm-default'
/** Where whoever has no credential lives. */
export const GUEST_REALM = 'realm-guest'

/** What an agent may do where nobody said more: remember, recall, and look for functions. */
export const DEFAULT_GRANTS = [
  'memory::store',
  'memory::search',
  'memory::recall',
  'agent::list_functions',
  'agent::find_functions',
]

/** As it is stored. `pendingGrants`: its grants are not in force yet. */
export type StoredAgent = Agent & { pendingGrants?: true }

/** Without what is for this worker alone. */
export function shown({ pendingGrants: _pending, ...agent }: StoredAgent): Agent {
  return agent
}

type CreateInput = ParsedInputOf<typeof create>
type UpdateInput = ParsedInputOf<typeof update>

export function newAgent(id: string, input: Omit<CreateInput, 'id'>, now: number): Agent {
  return {
    id,
    name: input.name,
    description: input.description ?? null,
    model: input.model ?? null,
    systemPrompt: input.systemPrompt ?? null,
    capabilities: input.capabilities ?? { functions: [...DEFAULT_GRANTS] },
    resources: input.resources ?? null,
    tags: input.tags ?? [],
    status: 'active',
    version: 1,
    createdAt: now,
    updatedAt: now,
  }
}

/** The record after an update; what the update leaves out stays, null clears. */
export function updatedAgent(agent: Agent, input: UpdateInput, now: number): Agent {
  const { agentId: _id, expectedVersion, ...changes } = input
  if (expectedVersion !== undefined && expectedVersion !== agent.version) {
    throw new AgentError('version_conflict', `Agent ${agent.id} is at version ${agent.version}, not ${expectedVersion}`)
  }
  const given = Object.fromEntries(Object.entries(changes).filter(([, value]) => value !== undefined))
  const next: Agent = { ...agent, ...given, version: agent.version + 1, updatedAt: now }
  return { ...next, capabilities: next.capabilities ?? { functions: [] }, tags: next.tags ?? [] }
}

export async function findAgent(caller: Caller, agentId: string): Promise<Agent | undefined> {
  const stored = await caller.state.get<StoredAgent>(SCOPE, agentId)
  return stored && shown(stored)
}

export async function requireAgent(caller: Caller, agentId: string): Promise<Agent> {
  const agent = await findAgent(caller, agentId)
  if (agent) return agent
  throw noAgent(agentId)
}

export function noAgent(agentId: string): AgentError {
  return new AgentError('not_found', `There is no agent ${agentId} in this realm; create it with POST /v1/agents`)
}
