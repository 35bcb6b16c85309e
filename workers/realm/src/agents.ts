import { type Agent, create, list, remove } from '@agentos/contracts/agent-core'
import { type Caller, InvocationError } from '@agentos/sdk'
import type { AgentInput } from './bundle.ts'

/**
 * The agents of the caller's realm, or none and a warning where the worker that keeps them fails with one of `tolerated`:
 * `function_not_found` where it was never installed, `worker_unavailable` where it is down or was removed.
 */
export async function listAgents(caller: Caller, tolerated: string[], warnings: string[]): Promise<Agent[]> {
  try {
    return await caller.call(list, {})
  } catch (error) {
    if (!(error instanceof InvocationError) || !tolerated.includes(error.code)) throw error
    warnings.push(`The agents are left out: ${error.reason}`)
    return []
  }
}

export async function addAgent(caller: Caller, agent: AgentInput): Promise<string> {
  return (await caller.call(create, agent)).agentId
}

/** With its grants, memories and sessions. */
export async function removeAgent(caller: Caller, agentId: string): Promise<void> {
  await caller.call(remove, { agentId })
}
