import { normaliseGrant } from '@agentos/contracts/grant'
import type {
  Capabilities,
  CapabilitiesInput,
  checkCapability,
  getCapabilities,
  Refusal,
  setCapabilities,
} from '@agentos/contracts/security'
import { AgentError, canonicalJson, type HandlerContext, type OutputOf, type ParsedInputOf } from '@agentos/sdk'
import type * as z from 'zod'
import type { AuditChain } from './audit-chain.ts'
import { whoIn } from './audit-writer.ts'
import { decide, explain } from './grants.ts'
import { auditOnce } from './keyed-audit.ts'
import { readUsage } from './quota.ts'

const SCOPE = 'capabilities'

/** The one decision about what an agent may use: its grants, then its quota. Refusals are audited. */
export async function check(
  { agentId, resource }: ParsedInputOf<typeof checkCapability>,
  ctx: HandlerContext,
  chain: AuditChain,
): Promise<OutputOf<typeof checkCapability>> {
  const record = await ctx.state.get<Capabilities>(SCOPE, agentId)
  const decision = decide(agentId, resource, record)
  if (!decision.allowed) return refuse(decision, ctx, chain, { agentId, resource })
  const limit = record?.max_tokens_per_hour
  if (limit) {
    const now = Date.now()
    const { used, resetsAt } = await readUsage(ctx.state, agentId, now)
    if (used >= limit) {
      const refusal: Refusal = { allowed: false, agentId, resource, reason: 'quota_exceeded', used, limit, resetsAt }
      return refuse(refusal, ctx, chain, { agentId, resource }, resetsAt - now)
    }
  }
  return decision
}

export async function replace(
  input: ParsedInputOf<typeof setCapabilities>,
  ctx: HandlerContext,
  chain: AuditChain,
): Promise<OutputOf<typeof setCapabilities>> {
  const { agentId, capabilities, expectedVersion } = input
  const record = capabilities && toRecord(capabilities)
  const event = {
    type: 'capabilities_updated',
    ...whoIn(agentId, ctx),
    detail: record ?? { removed: true },
  }
  await auditOnce(chain, ctx, input, event, async (again) => {
    if (again && (await isWritten(agentId, record, ctx))) return
    if (record) await ctx.state.set(SCOPE, agentId, record, expectedVersion === undefined ? {} : { expectedVersion })
    else await remove(agentId, ctx, expectedVersion)
  })
  return { updated: true }
}

/** Whether the record is the one that was to be written: the version that was expected is then gone. */
async function isWritten(agentId: string, record: Capabilities | null, ctx: HandlerContext): Promise<boolean> {
  const stored = await ctx.state.get<Capabilities>(SCOPE, agentId)
  return canonicalJson(stored ?? null) === canonicalJson(record)
}

export async function read(
  { agentId }: ParsedInputOf<typeof getCapabilities>,
  ctx: HandlerContext,
): Promise<OutputOf<typeof getCapabilities>> {
  const stored = await ctx.state.getWithVersion<Capabilities>(SCOPE, agentId)
  if (!stored) return null
  const usage = await readUsage(ctx.state, agentId, Date.now())
  return { ...stored.value, version: stored.version, ...usage }
}

/** In its stored form; a grant that is none is `invalid_input`. */
export function toRecord(input: z.output<ReturnType<typeof CapabilitiesInput>>): Capabilities {
  return {
    tools: grants([...(input.tools ?? []), ...(input.functions ?? [])]),
    deny: grants(input.deny ?? []),
    max_tokens_per_hour: input.max_tokens_per_hour ?? input.maxTokensPerHour ?? null,
  }
}

function grants(list: string[]): string[] {
  const normal = list.map((grant) => {
    const full = normaliseGrant(grant)
    if (full !== undefined) return full
    throw new AgentError('invalid_input', `"${grant}" is no grant; write namespace::*, namespace::function or *`)
  })
  return [...new Set(normal)]
}

async function remove(agentId: string, ctx: HandlerContext, expectedVersion: number | undefined): Promise<void> {
  await ctx.state.delete(SCOPE, agentId, expectedVersion === undefined ? {} : { expectedVersion })
}

/** Guests were refused so often that the chain has enough of it. */
function isRateLimited(error: unknown): boolean {
  return error instanceof AgentError && error.code === 'rate_limited'
}

/** The refusal is what counts: that it could not be audited is only logged. */
async function refuse(
  refusal: Refusal,
  ctx: HandlerContext,
  chain: AuditChain,
  input: { agentId: string; resource: string },
  retryAfterMs?: number,
): Promise<never> {
  const isQuota = refusal.reason === 'quota_exceeded'
  const { agentId, allowed: _allowed, ...detail } = refusal
  try {
    const type = isQuota ? 'quota_exceeded' : 'capability_denied'
    await auditOnce(chain, ctx, input, { type, ...whoIn(agentId, ctx), detail })
  } catch (error) {
    if (!isRateLimited(error)) ctx.log.error({ err: error, agentId }, 'A refusal could not be audited')
  }
  throw new AgentError(isQuota ? 'quota_exceeded' : 'forbidden', explain(refusal), {
    details: { decision: refusal, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) },
  })
}
