import type { Request } from '@agentos/contracts/approval'
import { audit } from '@agentos/contracts/security'
import { type Caller, InvocationError, isPassing, type WorkerSelf } from '@agentos/sdk'

/** Nobody's slowness holds a decision up longer than this. */
const DEADLINE_MS = 5_000

/** One thing that one listener has to be told of a request: the audit chain, a topic, or the run that waits. */
export type Notice =
  | 'audit_requested'
  | 'audit_decided'
  | 'audit_expired'
  | 'audit_used'
  | 'announce_requested'
  | 'announce_decided'
  | 'signal'

/** What is to be told of each thing that happens to a request. */
export const noticesOf = {
  requested: (_request: Request): Notice[] => ['announce_requested', 'audit_requested'],
  decided: (request: Request): Notice[] => [...signalOf(request), 'announce_decided', 'audit_decided'],
  expired: (request: Request): Notice[] => [...signalOf(request), 'announce_decided', 'audit_expired'],
  used: (_request: Request): Notice[] => ['audit_used'],
}

function signalOf({ runId }: Request): Notice[] {
  return runId === undefined ? [] : ['signal']
}

/** Tells one thing; throws where it has to be told again. */
export interface Teller {
  /** `decider`: the decider's own call, so that the audit names the person. */
  tell(request: Request, notice: Notice, decider?: Caller): Promise<void>
}

/** Tells of requests. What nobody will ever take is in the log; it is not told again. */
export class Notices implements Teller {
  private readonly self: Pick<WorkerSelf, 'inRealm' | 'log'>

  constructor(self: Pick<WorkerSelf, 'inRealm' | 'log'>) {
    this.self = self
  }

  async tell(request: Request, notice: Notice, decider?: Caller): Promise<void> {
    try {
      await this.send(request, notice, decider)
    } catch (error) {
      if (isPassing(error)) throw error
      this.self.log.error({ err: error, notice, requestId: request.id }, 'nobody can be told of a request for approval')
    }
  }

  private send(request: Request, notice: Notice, decider: Caller | undefined): Promise<void> {
    const { id: requestId, agentId, toolName, runId, status, decidedBy } = request
    const there = this.self.inRealm(request.realm)
    switch (notice) {
      case 'announce_requested': {
        const data = { requestId, agentId, toolName, ...(runId ? { runId } : {}) }
        return publish(there, 'approval.requested', data)
      }
      case 'announce_decided': {
        const data = { requestId, agentId, decision: status, decidedBy: decidedBy ?? null }
        return publish(there, 'approval.decided', data)
      }
      case 'signal':
        return signal(there, request)
      case 'audit_requested':
        return enter(there, 'approval_requested', request)
      case 'audit_decided':
        return enter(decider ?? there, status === 'denied' ? 'approval_denied' : 'approval_granted', request)
      case 'audit_expired':
        return enter(there, 'approval_expired', request)
      case 'audit_used':
        return enter(there, 'approval_used', request)
    }
  }
}

/** What a run is told that waits for a decision; also where it asks by itself. */
export function decisionOf({ status, decisionReason }: Request): { decision: string; reason?: string } {
  return { decision: status, ...(decisionReason ? { reason: decisionReason } : {}) }
}

/** A run that is not kept in a journal, or is over, has nobody to be told; one that knows it already is not told again. */
async function signal(there: Caller, request: Request): Promise<void> {
  const payload = { runId: request.runId, name: `approval:${request.id}`, value: decisionOf(request) }
  try {
    await there.trigger({ function_id: 'engine::runs::signal', payload, deadlineMs: DEADLINE_MS })
  } catch (error) {
    const known = ['function_not_found', 'not_found', 'conflict']
    if (!(error instanceof InvocationError && known.includes(error.code))) throw error
  }
}

async function publish(there: Caller, topic: string, data: object): Promise<void> {
  await there.trigger({ function_id: 'publish', payload: { topic, data }, deadlineMs: DEADLINE_MS })
}

async function enter(caller: Caller, type: string, request: Request): Promise<void> {
  const { id: requestId, agentId, toolName, effects, inputHash, runId, requestedBy, decidedBy } = request
  // The same however late it is told: the key stands for one input.
  const decider = type === 'approval_requested' ? undefined : decidedBy
  const detail = { requestId, toolName, effects, inputHash, runId, requestedBy, decidedBy: decider }
  // The chain takes shorter ids than the engine.
  const entry = { type, agentId: agentId.slice(0, 128), detail }
  await caller.call(audit, entry, { deadlineMs: DEADLINE_MS, idempotencyKey: `${requestId}/${type}` })
}
