import { AgentError, type HandlerContext } from '@agentos/sdk'
import type { Subject } from './entry.ts'

interface Named {
  realmId?: string | null | undefined
  agentId?: string | null | undefined
  sessionId?: string | null | undefined
  runId?: string | null | undefined
}

/** Short names of the built-in realms. */
const SHORT_NAMES = new Map([
  ['default', 'realm-default'],
  ['guest', 'realm-guest'],
])

/** The realm of the call, by its id or its short name. */
export function realmOf(realmId: string | null | undefined, ctx: HandlerContext): string {
  const named = realmId && (SHORT_NAMES.get(realmId) ?? realmId)
  if (!named || named === ctx.realm) return ctx.realm
  const owner = ctx.principal.kind === 'owner' ? `, or name ${named} in X-AgentOS-Realm` : ''
  throw new AgentError(
    'realm_mismatch',
    `This call belongs to ${ctx.realm}, not to ${named}; leave realmId out${owner}`,
  )
}

export function subjectOf(input: Named, ctx: HandlerContext): Subject {
  return { realm: realmOf(input.realmId, ctx), ...idsOf(input) }
}

export function idsOf({ agentId, sessionId, runId }: Named): Omit<Subject, 'realm'> {
  return {
    ...(agentId ? { agent: agentId } : {}),
    ...(sessionId ? { session: sessionId } : {}),
    ...(runId ? { run: runId } : {}),
  }
}

/** Reserving and settling is for workers that speak for themselves: what they say is believed. */
export function assertWorker(ctx: HandlerContext): void {
  if (ctx.principal.kind === 'system' || ctx.principal.kind === 'owner') return
  throw new AgentError('forbidden', `${ctx.functionId} is called by the workers that spend, or with the owner token`)
}
