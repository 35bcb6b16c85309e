import { chat as agentChat } from '@agentos/contracts/agent-core'
import { complete, type StreamFrame } from '@agentos/contracts/llm-router'
import type { CompletionRequest } from '@agentos/contracts/streaming'
import type { ChannelRef, HandlerContext } from '@agentos/sdk'
import { toChat } from './agent-request.ts'
import { targetOf, toCompletion } from './openai-request.ts'
import type { Answer } from './openai-response.ts'

/** Sent by ourselves behind everything that the others wrote: nothing comes after it. */
const END = '{"type":"end"}'

/** Answers a request: an agent, or a model. */
export async function answer(
  request: CompletionRequest,
  ctx: HandlerContext,
  options: { sessionId?: string | undefined; stream?: ChannelRef; signal?: AbortSignal },
): Promise<Answer> {
  const target = targetOf(request)
  const call = options.signal ? { signal: options.signal } : {}
  if ('agentId' in target) {
    const input = toChat(request, target.agentId, options.sessionId || request.sessionId || undefined)
    const stream = options.stream ? { stream: options.stream } : {}
    const result = await ctx.call(agentChat, { ...input, ...stream }, call)
    return { ...result, toolCalls: [] }
  }
  const input = toCompletion(request)
  const stream = options.stream ? { stream: { ...options.stream, direction: 'write' as const } } : {}
  const result = await ctx.call(complete, { ...input, ...stream }, call)
  return { ...result, model: `${result.provider}/${result.model}` }
}

/**
 * Answers as a stream: each frame is handed on as it arrives, in order, all of them before this resolves. What the
 * model's side did not stream is handed on at the end.
 */
export async function answerStreamed(
  request: CompletionRequest,
  ctx: HandlerContext,
  options: { sessionId?: string | undefined; signal: AbortSignal; onFrame: (frame: StreamFrame) => Promise<void> },
): Promise<Answer> {
  const refs = await ctx.trigger<{ writer: ChannelRef; reader: ChannelRef }>({
    function_id: 'engine::channels::create',
    payload: { shared: true },
  })
  const reader = ctx.openReader(refs.reader)
  let sent = ''
  const gone = new AbortController()
  const pump = (async () => {
    for await (const text of reader.messages()) {
      if (text === END) return
      const frame = JSON.parse(text) as StreamFrame
      if (frame.type === 'text') sent += frame.text
      await options.onFrame(frame)
    }
  })()
  // The one for whom the frames are may go away first: then nobody wants the rest of the answer.
  pump.catch((error: unknown) => gone.abort(error))
  const signal = AbortSignal.any([options.signal, gone.signal])
  const handOnAll = async () => {
    const writer = ctx.openWriter(refs.writer)
    await writer.sendMessage(END)
    await writer.close()
    await pump
  }
  try {
    const result = await answer(request, ctx, { ...options, signal, stream: refs.writer })
    await handOnAll()
    if (result.content.startsWith(sent) && result.content.length > sent.length) {
      await options.onFrame({ type: 'text', text: result.content.slice(sent.length) })
    }
    return result
  } catch (error) {
    // What was said before it failed is on its way, and belongs to the client.
    if (!signal.aborted) await Promise.race([handOnAll(), aborted(signal)]).catch(() => {})
    throw gone.signal.aborted ? gone.signal.reason : error
  } finally {
    reader.close()
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
}
