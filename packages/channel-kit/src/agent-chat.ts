import { chat } from '@agentos/contracts/agent-core'
import type { ChannelRef, HandlerContext, InputOf, OutputOf } from '@agentos/sdk'

/** Sent by ourselves behind everything that the others wrote: nothing comes after it. */
const END = '{"type":"end"}'

export interface ChatListener {
  /** A piece of the answer. */
  onText: (text: string) => void
  /** What was heard until now is no answer: the agent runs functions first, or a crash made it begin its answer anew. */
  onVoid: () => void
}

/**
 * Asks the agent and hears its answer as it is written; all of it has been heard when this resolves. A second call under
 * the same key joins the run that the first began, and hears it from its beginning, each answer of the model as a whole.
 */
export async function chatStreamed(
  ctx: HandlerContext,
  input: InputOf<typeof chat> & { sessionId: string },
  options: { signal: AbortSignal; idempotencyKey: string },
  listener: ChatListener,
): Promise<OutputOf<typeof chat>> {
  // Agent and router write to it in turns.
  const refs = await ctx.trigger<{ writer: ChannelRef; reader: ChannelRef }>({
    function_id: 'engine::channels::create',
    payload: { shared: true },
  })
  const reader = ctx.openReader(refs.reader)
  const heard = hear(reader.messages(), listener)
  heard.catch(() => {})
  try {
    const named = { ...options, session: input.sessionId }
    const result = await ctx.call(chat, { ...input, stream: refs.writer }, named)
    await finished(ctx, refs.writer, heard)
    return result
  } finally {
    reader.close()
  }
}

/** Waits for what is still on its way. Where that breaks, the whole answer is there all the same. */
async function finished(ctx: HandlerContext, ref: ChannelRef, heard: Promise<void>): Promise<void> {
  try {
    const writer = ctx.openWriter(ref)
    await writer.sendMessage(END)
    await writer.close()
    await heard
  } catch (error) {
    ctx.log.warn({ err: error }, 'an answer was not heard to its end while it was written')
  }
}

async function hear(messages: AsyncIterable<string>, { onText, onVoid }: ChatListener): Promise<void> {
  for await (const message of messages) {
    if (message === END) return
    const event = JSON.parse(message) as { type: string; text?: string }
    if (event.type === 'text' && event.text) onText(event.text)
    else if (event.type === 'toolCall' || event.type === 'restart') onVoid()
  }
}
