import { type HandlerContext, InvocationError } from '@agentos/sdk'

/** Stops a chat wherever it is; false where it has ended, or never was. */
export async function cancelChat(runId: string, ctx: HandlerContext): Promise<{ cancelled: boolean }> {
  try {
    await ctx.trigger({ function_id: 'engine::runs::cancel', payload: { runId } })
    return { cancelled: true }
  } catch (error) {
    if (error instanceof InvocationError && ['not_found', 'conflict'].includes(error.code)) return { cancelled: false }
    throw error
  }
}
