import { CompletionRequest, RawRequest, type RawResponse } from '@agentos/contracts/streaming'
import { AgentError, type HandlerContext } from '@agentos/sdk'
import type * as z from 'zod'
import { answer, answerStreamed } from './answer.ts'
import { assertSupported } from './openai-fields.ts'
import { targetOf } from './openai-request.ts'
import { chunk, deltaOf, errorReply, lastChunk, newIdentity, toChatCompletion, usageChunk } from './openai-response.ts'
import { SseResponse } from './sse.ts'

type Raw = z.output<ReturnType<typeof RawResponse>>
const requestSchema = CompletionRequest()
const rawSchema = RawRequest()

/** `POST /v1/chat/completions`, and the same over the bus without streaming. */
export async function completion(input: unknown, ctx: HandlerContext) {
  const raw = rawSchema.safeParse(input)
  if (!raw.success) {
    const request = requestSchema.parse(input)
    assertServed(request)
    const result = await answer(request, ctx, {})
    return toChatCompletion(newIdentity(result.model ?? request.model), result)
  }
  try {
    const request = parseBody(raw.data.body)
    const session = raw.data.headers['x-session-id']
    if (request.stream) return await streamCompletion(request, ctx, raw.data.response, session)
    const result = await answer(request, ctx, { sessionId: session })
    return json(200, toChatCompletion(newIdentity(result.model ?? request.model), result))
  } catch (error) {
    const { status, headers, body } = errorReply(error)
    return json(status, body, headers)
  }
}

/** Streams chunks to the client; an error before the first of them is an ordinary reply. */
export async function streamCompletion(
  request: CompletionRequest,
  ctx: HandlerContext,
  response: Parameters<HandlerContext['openWriter']>[0],
  sessionId: string | undefined,
): Promise<Raw | undefined> {
  const identity = newIdentity(request.model)
  const sse = new SseResponse(ctx.openWriter(response))
  let toolCalls = 0
  try {
    const result = await answerStreamed(request, ctx, {
      sessionId,
      signal: AbortSignal.any([sse.signal, ctx.signal]),
      async onFrame(frame) {
        if (frame.type === 'restart') {
          if (!sse.started) return
          // What a client of this format has cannot be taken back.
          throw new AgentError('worker_unavailable', 'The answer broke off in the middle; ask again')
        }
        // An agent's own tool calls are its business; a plain model's are the client's to run.
        if (frame.type === 'toolCall' && 'agentId' in targetOf(request)) return
        const delta = deltaOf(frame, toolCalls)
        if (!delta) return
        if (frame.type === 'toolCall') toolCalls += 1
        if (!sse.started) await sse.data(chunk(identity, { role: 'assistant', content: '' }))
        await sse.data(chunk(identity, delta))
      },
    })
    if (!sse.started) await sse.data(chunk(identity, { role: 'assistant', content: '' }))
    await sse.data(lastChunk(identity, result))
    if (request.stream_options?.include_usage) await sse.data(usageChunk(identity, result))
    await sse.data('[DONE]')
  } catch (error) {
    const { status, headers, body } = errorReply(error)
    if (!sse.started) return json(status, body, headers)
    await sse.data(body)
  }
  await sse.end()
  return undefined
}

export function parseBody(body: unknown): CompletionRequest {
  assertJson(body)
  const parsed = requestSchema.safeParse(body)
  if (!parsed.success) {
    const { path, message } = firstMistake(parsed.error.issues)
    throw new AgentError(
      'invalid_input',
      path ? `${path}: ${message}` : message,
      path ? { details: { param: path } } : {},
    )
  }
  assertServed(parsed.data)
  return parsed.data
}

function assertServed(request: CompletionRequest): void {
  assertSupported(request, 'agentId' in targetOf(request) ? 'agent' : 'model')
}

type Issue = z.core.$ZodIssue

/** Where a field may have several forms, the form that fits best says what is wrong with it. */
function firstMistake(issues: readonly Issue[]): { path: string; message: string } {
  let [issue] = issues
  const path = [...(issue?.path ?? [])]
  while (issue?.code === 'invalid_union' && issue.errors.some((branch) => branch.length > 0)) {
    const branches = issue.errors.filter((branch) => branch.length > 0)
    const [nearest] = branches.toSorted((a, b) => depthOf(b) - depthOf(a))
    issue = nearest?.[0]
    path.push(...(issue?.path ?? []))
  }
  return { path: path.join('.'), message: issue?.message ?? 'The body is not valid' }
}

function depthOf(issues: readonly Issue[]): number {
  return Math.max(...issues.map(({ path }) => path.length))
}

/** The edge hands on no body where there was none, or one that does not say that it is JSON. */
export function assertJson(body: unknown): void {
  if (body !== null && body !== undefined) return
  throw new AgentError(
    'invalid_input',
    'The body is empty or no JSON: send an object with Content-Type: application/json',
  )
}

export function json(status_code: number, body: unknown, headers: Record<string, string> = {}): Raw {
  return { status_code, headers: { 'content-type': 'application/json', ...headers }, body }
}
