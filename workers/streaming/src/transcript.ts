import { ChatRequest, RawRequest, type RawResponse, type sse as sseContract } from '@agentos/contracts/streaming'
import type { HandlerContext, ParsedInputOf } from '@agentos/sdk'
import * as z from 'zod'
import { answerStreamed } from './answer.ts'
import { assertJson, json, parseBody, streamCompletion } from './completion.ts'
import { chunk, deltaOf, errorReply, lastChunk, newIdentity } from './openai-response.ts'
import { SSE_HEADERS } from './sse.ts'

type Raw = z.output<ReturnType<typeof RawResponse>>

const rawSchema = RawRequest()
const chatBody = ChatRequest()

/** An agent's answer as OpenAI chunks: streamed over HTTP, whole over the bus. */
export async function transcript(
  input: ParsedInputOf<typeof sseContract>,
  ctx: HandlerContext,
): Promise<Raw | undefined> {
  const raw = rawSchema.safeParse(input)
  if (!raw.success) return wholeTranscript(chatBody.parse(input), ctx)
  try {
    assertJson(raw.data.body)
    const body = chatBody.parse(raw.data.body)
    const session = raw.data.headers['x-session-id'] ?? body.sessionId ?? undefined
    return await streamCompletion(asCompletion(body), ctx, raw.data.response, session)
  } catch (error) {
    const { status, headers, body } = errorReply(
      error instanceof z.ZodError ? { code: 'invalid_input', message: error.issues[0]?.message ?? '' } : error,
    )
    return json(status, body, headers)
  }
}

async function wholeTranscript(body: z.output<typeof chatBody>, ctx: HandlerContext): Promise<Raw> {
  const request = asCompletion(body)
  const identity = newIdentity(request.model)
  const lines: string[] = []
  const write = (value: object): void => void lines.push(`data: ${JSON.stringify(value)}\n\n`)
  let first = true
  const result = await answerStreamed(request, ctx, {
    sessionId: body.sessionId ?? undefined,
    signal: ctx.signal,
    onFrame: async (frame) => {
      if (frame.type !== 'text') return
      const delta = deltaOf(frame, 0)!
      write(chunk(identity, first ? { role: 'assistant', ...delta } : delta))
      first = false
    },
  })
  write(lastChunk(identity, result))
  lines.push('data: [DONE]\n\n')
  return { status_code: 200, headers: SSE_HEADERS, body: lines.join('') }
}

function asCompletion(body: z.output<typeof chatBody>) {
  return parseBody({
    model: body.model || `agent/${body.agentId}`,
    agentId: body.agentId,
    messages: [{ role: 'user', content: body.message }],
    stream: true,
    ...(body.provider ? { provider: body.provider } : {}),
  })
}
