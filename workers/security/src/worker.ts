import {
  addUsage,
  audit,
  checkCapability,
  getCapabilities,
  scanInjection,
  setCapabilities,
  verifyAudit,
} from '@agentos/contracts/security'
import { placeOf } from '@agentos/keyed'
import { AgentError, defineWorker, type HandlerContext, on, serve } from '@agentos/sdk'
import { AuditChain } from './audit-chain.ts'
import { loadAuditKeys } from './audit-key.ts'
import { check, read, replace } from './capabilities.ts'
import { auditOnce } from './keyed-audit.ts'
import { countTokens } from './quota.ts'
import { scan } from './scan/scan.ts'

let opened: AuditChain | undefined

export const worker = defineWorker({
  name: 'security',
  start: async (self) => {
    const keys = await loadAuditKeys(self.dataDir, process.env.AUDIT_HMAC_KEY)
    self.log.info({ keyId: keys[0].id }, 'the audit chain is sealed with this key')
    opened = new AuditChain(self.state, keys)
  },
  functions: [
    serve(scanInjection, ({ text, source }) => scan(text, source)),
    serve(checkCapability, (input, ctx) => check(input, ctx, chain())),
    serve(setCapabilities, (input, ctx) => replace(input, ctx, chain())),
    serve(getCapabilities, read),
    serve(addUsage, ({ agentId, tokens }, ctx) =>
      countTokens(ctx.state, agentId, tokens, Date.now(), placeOf(ctx)?.slice(0, 32)),
    ),
    serve(audit, (input, ctx) => {
      const { type, agentId, detail } = input
      const event = { type: type ?? 'unspecified', agentId: agentId ?? null, realm: ctx.realm, detail }
      return auditOnce(chain(), ctx, input, { ...event, actor: actorOf(ctx) })
    }),
    serve(verifyAudit, () => chain().verify()),
  ],
  triggers: [on('subscribe', audit, { topic: 'audit' })],
})

/** `start` has run before the first function is registered. */
function chain(): AuditChain {
  if (!opened) throw new AgentError('internal', 'The audit chain is not open')
  return opened
}

/** This worker's own triggers run under its own name: what comes by the topic could have been published by anybody. */
function actorOf(ctx: HandlerContext) {
  const { kind, id } = ctx.principal
  return kind === 'system' && id === 'security' ? { kind: 'topic' as const, id: 'audit' } : ctx.principal
}

if (import.meta.main) await worker.run()
