import { setTimeout as delay } from 'node:timers/promises'
import type { CompletionInput, Part, StreamFrame } from '@agentos/contracts/llm-router'
import { AgentError } from '@agentos/sdk'
import type { Answer } from './answer.ts'
import type { Hold } from './budget.ts'
import type { ModelChoice, ModelFacts, Provider } from './catalogue.ts'
import { anthropic } from './formats/anthropic.ts'
import { ContentRefused, type Format, ProviderFailure, type Translation, translate } from './formats/format.ts'
import { gemini } from './formats/gemini.ts'
import { openAiChat } from './formats/openai-chat.ts'
import { openAiResponses } from './formats/openai-responses.ts'
import { LineTooLong, type ServerEvent, ServerEventReader } from './server-events.ts'
import type { FormatName, Settings } from './settings.ts'
import { BodyTooLarge, ConnectionFailed, TimedOut, type Transport, type TransportResponse } from './transport.ts'
import { fromResponse, fromStream, upstreamError } from './upstream-error.ts'

/** How long the end of a body may take after the last event before the connection is given up. */
const END_OF_BODY_MS = 20

const FORMATS: Record<FormatName, Format> = {
  'openai-chat': openAiChat,
  'openai-responses': openAiResponses,
  anthropic,
  gemini,
}

export interface ModelRequest {
  provider: Provider
  facts: ModelFacts
  model: string
  /** Undefined where the provider needs none. */
  key: string | undefined
  input: CompletionInput
  /** Asks for a stream and gets its frames; the next piece is read once its promise is settled. */
  emit: ((frame: StreamFrame) => Promise<void>) | undefined
  signal: AbortSignal
  timeouts: Settings['timeouts']
  /** Money that is held for the request: bounds its output, and cuts a stream where it ends. */
  hold?: Hold | undefined
}

/** One request to one provider: translated, sent, read; every failure typed. */
export async function askProvider(transport: Transport, request: ModelRequest): Promise<Answer> {
  const { provider, model, key, emit, signal, timeouts } = request
  const format = FORMATS[provider.format]
  const { hold } = request
  const translation = translate(model, limited(request.input, hold), request.facts, provider.traits, hold?.limit)
  const { path, headers, body } = format.request(translation, emit !== undefined)
  const choice = { provider: provider.name, model }
  const secrets = key === undefined ? [] : [key]
  try {
    const all = { ...headers, ...format.auth(key) }
    if (hold) hold.meter.asked = true
    const response = await transport.send({ provider, method: 'POST', path, headers: all, body, signal, timeouts })
    const refused = response.status < 200 || response.status > 299
    if (hold) hold.meter[refused ? 'refused' : 'answered'] = true
    if (refused) {
      const text = await transport.text(response)
      throw fromResponse(choice, response.status, response.headers, text, secrets)
    }
    return emit
      ? await readStream(format, translation, response, choice, emit, hold)
      : readWhole(format, translation, await transport.text(response), choice)
  } catch (error) {
    if (hold && isUnreached(error)) hold.meter.refused = true
    throw typed(error, choice, signal, secrets)
  }
}

/** What fits the money; a limit that the caller gave is only made smaller. */
function limited(input: CompletionInput, hold: Hold | undefined): CompletionInput {
  return hold ? { ...input, maxTokens: Math.min(input.maxTokens ?? hold.limit, hold.limit) } : input
}

/** No request has left for the provider. */
function isUnreached(error: unknown): boolean {
  if (error instanceof TimedOut) return error.phase === 'connect'
  if (error instanceof AgentError) return error.code === 'invalid_input' || error.code === 'unsupported_feature'
  return error instanceof ConnectionFailed && /ECONNREFUSED|ENOTFOUND|EHOSTUNREACH|EAI_AGAIN/.test(error.message)
}

/** Names of the models that a provider offers. */
export async function listModels(
  transport: Transport,
  provider: Provider,
  key: string | undefined,
  signal: AbortSignal,
  timeouts: Settings['timeouts'],
): Promise<string[]> {
  const format = FORMATS[provider.format]
  const choice = { provider: provider.name, model: '*' }
  const secrets = key === undefined ? [] : [key]
  try {
    const headers = format.auth(key)
    const response = await transport.send({
      provider,
      method: 'GET',
      path: format.modelsPath,
      headers,
      signal,
      timeouts,
    })
    const text = await transport.text(response)
    if (response.status !== 200) throw fromResponse(choice, response.status, response.headers, text, secrets)
    return format.models(JSON.parse(text))
  } catch (error) {
    throw typed(error, choice, signal, secrets)
  }
}

function readWhole(format: Format, translation: Translation, text: string, choice: ModelChoice): Answer {
  const answer = format.answer(JSON.parse(text), translation)
  if (!answer) throw upstreamError('upstream_error', choice, 'the answer is not one of this API')
  return answer
}

async function readStream(
  format: Format,
  translation: Translation,
  response: TransportResponse,
  choice: ModelChoice,
  emit: (frame: StreamFrame) => Promise<void>,
  hold: Hold | undefined,
): Promise<Answer> {
  const frames: StreamFrame[] = []
  const seen: StreamFrame[] = []
  const reader = format.reader(translation, (frame) => frames.push(frame))
  const events = new ServerEventReader()
  const handOn = async () => {
    for (const frame of frames.splice(0)) {
      if (hold) seen.push(frame)
      await emit(frame)
    }
  }
  const take = async (batch: ServerEvent[]) => {
    for (const event of batch) if (!reader.over) reader.event(event)
    hold?.meter.count(batch.length, frames)
    await handOn()
  }
  for await (const chunk of response.chunks) {
    await take(events.push(chunk))
    if (!reader.over && hold && !(await hold.meter.goesOn())) return cutOff(seen, hold)
    if (!reader.over) continue
    // The end of the body mostly comes with the last event; reading it keeps the connection for the next request.
    await Promise.race([response.chunks.next(), delay(END_OF_BODY_MS)])
    break
  }
  await take(events.end())
  const answer = reader.finish()
  await handOn()
  if (!answer) throw upstreamError('upstream_error', choice, 'the stream ended in the middle of the answer')
  return answer
}

/** As far as the answer has come; leaving the loop closes the connection. */
function cutOff(frames: readonly StreamFrame[], hold: Hold): Answer {
  const parts: Part[] = []
  for (const frame of frames) {
    const last = parts.at(-1)
    if (frame.type === 'usage' || frame.type === 'restart') continue
    if (frame.type !== 'toolCall' && last?.type === frame.type) last.text += frame.text
    else parts.push({ ...frame })
  }
  return { parts, stopReason: 'length', usage: hold.counted, cut: true }
}

function typed(error: unknown, choice: ModelChoice, signal: AbortSignal, secrets: readonly string[]): unknown {
  if (signal.aborted) return cancelled(signal)
  if (error instanceof AgentError) return error
  if (error instanceof ProviderFailure) return fromStream(choice, error.body, secrets)
  if (error instanceof ContentRefused) return upstreamError('content_filter', choice, error.message)
  if (error instanceof TimedOut) {
    const after = error.phase === 'connect' ? '' : ` after ${error.afterMs} ms`
    const messages = {
      connect: 'no connection in time',
      firstByte: `no answer${after}`,
      idle: `the stream stood still${after}`,
      total: `not done${after}`,
    }
    return upstreamError('upstream_timeout', choice, messages[error.phase], { kind: error.phase }, error)
  }
  if (error instanceof SyntaxError) {
    return upstreamError('upstream_error', choice, 'the answer is not valid JSON', {}, error)
  }
  if (error instanceof ConnectionFailed || error instanceof LineTooLong || error instanceof BodyTooLarge) {
    return upstreamError('upstream_error', choice, error.message, {}, error)
  }
  return error
}

/** What the signal carries where it is typed (a passed deadline), else `cancelled`. */
export function cancelled(signal: AbortSignal): AgentError {
  return signal.reason instanceof AgentError
    ? signal.reason
    : new AgentError('cancelled', 'The model call was cancelled', { cause: signal.reason })
}
