import { AgentError, type Caller, type HandlerContext } from '@agentos/sdk'
import type { RealmRecord } from './record.ts'

/** Whether the call runs for the owner or for an installed worker on its own. */
export function isTrusted(ctx: HandlerContext): boolean {
  const { kind } = ctx.principal
  return kind === 'owner' || kind === 'system' || kind === 'worker'
}

/** The owner and installed workers see all realms; everybody else the own. */
export function maySee(record: RealmRecord, ctx: HandlerContext): boolean {
  return isTrusted(ctx) || record.id === ctx.realm
}

/**
 * The caller with which data of a realm is read and written. Calls of `ctx.inRealm` run as this worker, not as who asked:
 * so only the owner and workers get one for a realm other than that of their call.
 */
export function enter(realm: string, ctx: HandlerContext): Caller {
  if (realm === ctx.realm) return ctx
  if (isTrusted(ctx)) return ctx.inRealm(realm)
  throw new AgentError('forbidden', `This call belongs to ${ctx.realm}; the data of ${realm} needs the owner token`)
}
