import type { Agent } from '@agentos/contracts/agent-core'
import { list as listRealms } from '@agentos/contracts/realm'
import { getCapabilities, setCapabilities } from '@agentos/contracts/security'
import { AgentError, type Caller, type WorkerSelf } from '@agentos/sdk'
import { DEFAULT_REALM, findAgent, GUEST_REALM, SCOPE, type StoredAgent, shown } from './agent-record.ts'
import { Turns } from './turns.ts'

const PAGE = 200

const turns = new Turns()

/** Changes of one agent are made one after the other, and so are its grants. */
export function inTurn<T>(realm: string, agentId: string, work: () => Promise<T>): Promise<T> {
  return turns.run(`${realm}/${agentId}`, work)
}

/** Agents of a realm are made one after the other: `work` counts them first. */
export function makingOne<T>(realm: string, work: () => Promise<T>): Promise<T> {
  return turns.run(realm, work)
}

/**
 * Writes a record, then brings its grants into force; `version` 0 is a new one. Only in the agent's turn. Who is refused
 * has changed nothing. The record says that its grants are still to come until they have: where this process or the worker
 * that keeps grants dies in between, they are brought into force before the agent is used next (`settle`).
 * Errors: `conflict` and `version_conflict` where the record is another, those of the worker that keeps grants.
 */
export async function put(caller: Caller, agent: Agent, version: number): Promise<void> {
  // Whether grants can be changed now is asked before anything is.
  await caller.call(getCapabilities, { agentId: agent.id })
  const stored: StoredAgent = { ...agent, pendingGrants: true }
  try {
    await caller.state.set(SCOPE, agent.id, stored, { expectedVersion: version })
  } catch (error) {
    if (!isVersionConflict(error)) throw error
    if (version > 0) {
      throw new AgentError('version_conflict', `Agent ${agent.id} was changed by somebody else; read it again`)
    }
    const message = `There is an agent ${agent.id} already; change it with PATCH /v1/agents/${agent.id}`
    throw new AgentError('conflict', message)
  }
  await settle(caller, agent.id)
}

/** Brings the grants of a record into force, where they are not. Only in the agent's turn. */
export async function settle(caller: Caller, agentId: string): Promise<void> {
  for (;;) {
    const entry = await caller.state.getWithVersion<StoredAgent>(SCOPE, agentId)
    if (!entry?.value.pendingGrants) return
    const agent = shown(entry.value)
    const { functions, deny } = agent.capabilities
    const quota = agent.resources?.maxTokensPerHour
    await caller.call(setCapabilities, {
      agentId,
      capabilities: {
        tools: functions,
        ...(deny ? { deny } : {}),
        ...(quota ? { max_tokens_per_hour: quota } : {}),
      },
    })
    try {
      await caller.state.set(SCOPE, agentId, agent, { expectedVersion: entry.version })
      return
    } catch (error) {
      // Changed meanwhile: those of the new record are to be in force.
      if (!isVersionConflict(error)) throw error
    }
  }
}

/** The agent with its grants in force, or nothing. */
export async function findSettled(caller: Caller, realm: string, agentId: string): Promise<Agent | undefined> {
  const stored = await caller.state.get<StoredAgent>(SCOPE, agentId)
  if (!stored?.pendingGrants) return stored
  await inTurn(realm, agentId, () => settle(caller, agentId))
  return findAgent(caller, agentId)
}

/** Every record of the caller's realm, page by page, however many there are. */
export async function* storedAgents(caller: Caller): AsyncGenerator<StoredAgent> {
  for (let after: string | undefined; ; ) {
    const options = { limit: PAGE, ...(after === undefined ? {} : { after }) }
    const { entries, next } = await caller.state.entries<StoredAgent>(SCOPE, options)
    for (const { value } of entries) yield value
    if (next === undefined) return
    after = next
  }
}

/** At a start: brings into force what an earlier process only wrote down, in all realms. */
export async function settleAll(self: Pick<WorkerSelf, 'inRealm'>): Promise<void> {
  const listed = await self.inRealm(DEFAULT_REALM).call(listRealms, {})
  for (const realm of new Set([DEFAULT_REALM, GUEST_REALM, ...listed.map(({ id }) => id)])) {
    const caller = self.inRealm(realm)
    for await (const { id, pendingGrants } of storedAgents(caller)) {
      if (pendingGrants) await findSettled(caller, realm, id)
    }
  }
}

function isVersionConflict(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'version_conflict'
}
