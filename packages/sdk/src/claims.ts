import type { HandlerContext } from './context.ts'
import { AgentError } from './errors.ts'

/** What the engine says of a call. */
type Call = Pick<HandlerContext, 'functionId' | 'principal' | 'session' | 'run' | 'caller'>

/** For whom an input says that the call is made. */
export interface Claims {
  agentId?: string | null | undefined
  sessionId?: string | null | undefined
  runId?: string | null | undefined
}

export interface ForWhom {
  agent: string | undefined
  session: string | undefined
  run: string | undefined
}

/**
 * Is this call believed about other agents, sessions and runs than its own? The owner's is, a worker's own, and one that the
 * worker makes which runs agents (`speaks_for_agents`), but never what a model chose: that has no `caller`.
 */
export function mayNameOthers({ principal: { kind }, caller }: Pick<Call, 'principal' | 'caller'>): boolean {
  return kind === 'owner' || kind === 'system' || caller?.speaksForAgents === true
}

/** For whom a call is made: as the engine says, and as the input says where that is believed. Throws `forbidden` elsewhere. */
export function forWhom(call: Call, claims: Claims): ForWhom {
  const { principal, session, run } = call
  const own = principal.kind === 'agent' ? principal.id : undefined
  return {
    agent: checked(call, 'agentId', claims.agentId, own),
    session: checked(call, 'sessionId', claims.sessionId, session),
    run: checked(call, 'runId', claims.runId, run),
  }
}

function checked(call: Call, field: string, claim: string | null | undefined, own: string | undefined) {
  if (!claim || claim === own) return own
  if (mayNameOthers(call)) return claim
  const message = `${call.functionId}: \`${field}\` names ${claim}, for which this call is not made; leave it out. Only the owner, and the worker that runs agents, name others`
  throw new AgentError('forbidden', message, { details: { field } })
}
