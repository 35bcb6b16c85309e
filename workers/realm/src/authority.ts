import { AgentError, type Caller, type HandlerContext } from '@agentos/sdk'
import { DEFAULT_REALM, type RealmRecord } from './record.ts'

/** Whether the call runs for the owner or for an installed worker on its own. */
export function isTrusted(ctx: HandlerContext): boolean {
  const { kind } = ctx.principal
  return kind === 'owner' || kind === 'system' || kind === 'worker'
}

/** Everybody changes the realms that they made; the owner changes all. */
export function assertMayChange(record: RealmRecord, ctx: HandlerContext): void {
  if (isTrusted(ctx)) return
  const { kind, id } = record.createdBy
  if (kind === ctx.principal.kind && id === ctx.principal.id) return
  throw new AgentError('forbidden', `Realm ${record.id} was made by somebody else; changing it needs the owner token`)
}

/** Guests see the realms that they made and the default one; the owner and installed workers see all. */
export function maySee(record: RealmRecord, ctx: HandlerContext): boolean {
  if (isTrusted(ctx) || record.id === DEFAULT_REALM || record.id === ctx.realm) return true
  const { kind, id } = record.createdBy
  return kind === ctx.principal.kind && id === ctx.principal.id
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
