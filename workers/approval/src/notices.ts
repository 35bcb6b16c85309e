import type { Request } from '@agentos/contracts/approval'
import { audit } from '@agentos/contracts/security'
import { type Caller, InvocationError, type WorkerSelf } from '@agentos/sdk'
import type { Listener } from './desk.ts'

/** Nobody's slowness holds a decision up longer than this. */
const DEADLINE_MS = 5_000

/**
 * Tells of requests: the audit chain, topics, and the run that waits. What is on disk stands whether or not they can be
 * told; what could not be is in the log.
 */
export class Notices implements Listener {
  private readonly self: Pick<WorkerSelf, 'inRealm' | 'log'>

  constructor(self: Pick<WorkerSelf, 'inRealm' | 'log'>) {
    this.self = self
  }

  async requested(request: Request): Promise<void> {
    const { id: requestId, realm, agentId, toolName, runId } = request
    const there = this.self.inRealm(realm)
    await Promise.all([
      this.publish(there, 'approval.requested', { requestId, agentId, toolName, ...(runId ? { runId } : {}) }),
      this.audit(there, 'approval_requested', request),
    ])
  }

  /** `caller`: the decider's own call, so that the audit names the person. */
  async decided(request: Request, caller: Caller): Promise<void> {
    const there = this.self.inRealm(request.realm)
    await Promise.all([
      this.audit(caller, request.status === 'approved' ? 'approval_granted' : 'approval_denied', request),
      this.ended(there, request),
    ])
  }

  async expired(request: Request): Promise<void> {
    const there = this.self.inRealm(request.realm)
    await Promise.all([this.audit(there, 'approval_expired', request), this.ended(there, request)])
  }

  async used(request: Request): Promise<void> {
    await this.audit(this.self.inRealm(request.realm), 'approval_used', request)
  }

  private async ended(there: Caller, request: Request): Promise<void> {
    const { id: requestId, agentId, status: decision, decidedBy, runId, decisionReason } = request
    await Promise.all([
      this.publish(there, 'approval.decided', { requestId, agentId, decision, decidedBy: decidedBy ?? null }),
      runId === undefined
        ? undefined
        : this.signal(there, runId, requestId, { decision, ...(decisionReason ? { reason: decisionReason } : {}) }),
    ])
  }

  /** A run that is not kept in a journal has nobody to be told. */
  private async signal(there: Caller, runId: string, requestId: string, value: object): Promise<void> {
    const payload = { runId, name: `approval:${requestId}`, value }
    try {
      await there.trigger({ function_id: 'engine::runs::signal', payload, deadlineMs: DEADLINE_MS })
    } catch (error) {
      if (error instanceof InvocationError && ['function_not_found', 'not_found'].includes(error.code)) return
      this.self.log.warn({ err: error, requestId, runId }, 'a run was not told of the decision that it waits for')
    }
  }

  private async publish(there: Caller, topic: string, data: object): Promise<void> {
    try {
      await there.trigger({ function_id: 'publish', payload: { topic, data }, deadlineMs: DEADLINE_MS })
    } catch (error) {
      this.self.log.warn({ err: error, topic }, 'a request for approval was not announced')
    }
  }

  private async audit(caller: Caller, type: string, request: Request): Promise<void> {
    const { id: requestId, agentId, toolName, effects, inputHash, runId, requestedBy, decidedBy } = request
    const detail = { requestId, toolName, effects, inputHash, runId, requestedBy, decidedBy }
    // The chain takes shorter ids than the engine.
    const entry = { type, agentId: agentId.slice(0, 128), detail }
    try {
      await caller.call(audit, entry, { deadlineMs: DEADLINE_MS })
    } catch (error) {
      this.self.log.error({ err: error, type, requestId }, 'a step of a request for approval was not audited')
    }
  }
}
