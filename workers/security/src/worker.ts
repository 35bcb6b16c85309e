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
import { AgentError, defineWorker, on, serve } from '@agentos/sdk'
import { AuditChain } from './audit-chain.ts'
import { loadAuditKeys } from './audit-key.ts'
import { eventOf } from './audit-writer.ts'
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
    serve(audit, (input, ctx) => auditOnce(chain(), ctx, input, eventOf(input, ctx))),
    serve(verifyAudit, () => chain().verify()),
  ],
  triggers: [on('subscribe', audit, { topic: 'audit' })],
})

/** `start` has run before the first function is registered. */
function chain(): AuditChain {
  if (!opened) throw new AgentError('internal', 'The audit chain is not open')
  return opened
}

if (import.meta.main) await worker.run()
