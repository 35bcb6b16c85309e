import * as contract from '@agentos/contracts/approval'
import { audit } from '@agentos/contracts/security'
import { AgentError, defineWorker, forWhom, type HandlerContext, serve } from '@agentos/sdk'
import { deciderOf } from './decider.ts'
import { Desk } from './desk.ts'
import { Notices } from './notices.ts'
import { Policies } from './policies.ts'
import { asks } from './policy.ts'
import { Settings } from './settings.ts'

const SWEEP_MS = 1_000

interface Parts {
  desk: Desk
  policies: Policies
  settings: Settings
  timer: NodeJS.Timeout
}
let parts: Parts | undefined

export const worker = defineWorker({
  name: 'approval',
  settings: Settings,
  start: async (self) => {
    const policies = new Policies(self.state)
    const desk = new Desk({ state: self.state, teller: new Notices(self), now: Date.now })
    await Promise.all([policies.open(), desk.open()])
    const timer = setInterval(() => {
      desk.sweep().catch((error) => self.log.warn({ err: error }, 'what expired could not be ended or told yet'))
    }, SWEEP_MS)
    parts = { desk, policies, settings: self.config, timer }
  },
  stop: () => clearInterval(parts?.timer),
  functions: [
    serve(contract.gate, async (input, ctx) => {
      assertEngine(ctx)
      const { desk, policies } = opened()
      if ('requestId' in input) return desk.outcome(ctx.realm, input.requestId)
      const { policy } = policies.inForce(ctx.realm, input.agentId)
      if (!asks(policy, input.functionId, input.effects)) return { allow: true as const }
      const { request, state } = await desk.take({ ...input, input: input.input, realm: ctx.realm }, policy)
      if (state === 'approved') return { allow: true as const, requestId: request.id }
      return { allow: false as const, requestId: request.id, expiresAt: request.expiresAt }
    }),
    serve(contract.check, async ({ agentId, toolName, params }, ctx) => {
      forWhom(ctx, { agentId })
      const { desk, policies } = opened()
      const { policy } = policies.inForce(ctx.realm, agentId)
      const { effects } = await ctx.trigger<{ effects: 'read' | 'write' | 'external' }>({
        function_id: 'engine::functions::effects',
        payload: { function_id: toolName, input: params },
      })
      if (!asks(policy, toolName, effects)) return { required: false as const }
      const { principal: onBehalfOf, realm, run: runId } = ctx
      const requestedBy = `${onBehalfOf.kind}:${onBehalfOf.id}`
      const wanted = { realm, agentId, onBehalfOf, runId, functionId: toolName, effects, input: params, requestedBy }
      const { id, status, expiresAt } = await desk.look(wanted, policy)
      return { required: true as const, approved: status === 'approved', status, requestId: id, expiresAt }
    }),
    serve(contract.decide, async ({ requestId, agentId, decision, decidedBy, person, reason }, ctx) => {
      const { desk, settings } = opened()
      const by = deciderOf(ctx, person, settings.channels)
      const status = decision === 'approve' ? 'approved' : 'denied'
      const made = { status, by, note: decidedBy ?? person?.name, reason } as const
      const request = await desk.decide({ realm: ctx.realm, id: requestId }, agentId, made, ctx)
      return { requestId, status: request.status as 'approved' | 'denied' }
    }),
    serve(contract.list, (input, ctx) => opened().desk.list(ctx.realm, input)),
    serve(contract.wait, async ({ requestId, agentId, timeoutMs }, ctx) => {
      const left = ctx.remainingMs() ?? timeoutMs
      const request = await opened().desk.wait(ctx.realm, requestId, Math.min(timeoutMs, left), ctx.signal)
      if (!request || (agentId !== undefined && request.agentId !== agentId)) return { status: 'not_found' as const }
      const { status } = request
      return { status, requestId, ...(status === 'pending' ? {} : { decision: request }) }
    }),
    serve(contract.policy, ({ agentId }, ctx) => {
      const { policy, source } = opened().policies.inForce(ctx.realm, agentId)
      return { ...policy, source }
    }),
    serve(contract.setPolicy, async ({ agentId, clear, ...policy }, ctx) => {
      assertOwner(ctx)
      const { policies } = opened()
      const before = policies.inForce(ctx.realm, agentId).policy
      if (clear) await policies.clear(ctx.realm, agentId)
      else await policies.set(ctx.realm, agentId, policy)
      const detail = { before, after: policies.inForce(ctx.realm, agentId), agentId: agentId ?? null }
      await ctx
        .call(audit, { type: 'approval_policy_changed', agentId, detail }, { deadlineMs: 5_000 })
        .catch((error) => {
          ctx.log.error({ err: error }, 'a change of the approval policy was not audited')
        })
      return { updated: true as const }
    }),
  ],
})

/** `start` has run before the first function is registered. */
function opened(): Parts {
  if (!parts) throw new AgentError('internal', 'The requests for approval are not open')
  return parts
}

/** Only the engine's question may use an approval up: nobody else can be called so. */
function assertEngine(ctx: HandlerContext): void {
  if (ctx.principal.kind === 'system' && ctx.principal.id === 'engine') return
  throw new AgentError('forbidden', 'Only the engine asks the gate; use approval::check')
}

/** A person: neither a worker on its own, nor a guest, nor what a model chose. */
function assertOwner(ctx: HandlerContext): void {
  if (ctx.principal.kind === 'owner') return
  throw new AgentError('forbidden', `${ctx.functionId} is for the owner: by the owner token, or signed in on the page`)
}

if (import.meta.main) await worker.run()
