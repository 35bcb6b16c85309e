import { audit } from '@agentos/contracts/security'
import { under } from '@agentos/keyed'
import { type HandlerContext, TriggerAction } from '@agentos/sdk'

export const TOPIC = 'realm.lifecycle'

/** Tells other workers; nobody has to listen, and nothing waits for them. */
export async function announce(
  type: 'created' | 'updated' | 'deleted' | 'restored' | 'purged',
  realmId: string,
  ctx: HandlerContext,
): Promise<void> {
  try {
    const payload = { topic: TOPIC, data: { type, realmId } }
    await ctx.trigger({ function_id: 'publish', payload, action: TriggerAction.Void() })
  } catch (error) {
    ctx.log.warn({ err: error, type, realmId }, 'A change of a realm could not be announced')
  }
}

/** Enters what concerns a whole realm into the audit chain, where the worker that keeps it is installed. */
export async function record(type: string, detail: Record<string, unknown>, ctx: HandlerContext): Promise<void> {
  try {
    await ctx.call(audit, { type, detail }, { deadlineMs: 5_000, ...under(ctx, type) })
  } catch (error) {
    ctx.log.warn({ err: error, type, ...detail }, 'An action on a realm could not be audited')
  }
}
