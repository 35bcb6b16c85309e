import type { CompletionInput, StreamFrame } from '@agentos/contracts/llm-router'
import { AgentError } from '@agentos/sdk'
import type { Answer } from './answer.ts'
import { NotAnAnswer, readStream, readWhole } from './answer-body.ts'
import type { Hold } from './budget.ts'
import type { ModelChoice, ModelFacts, Provider } from './catalogue.ts'
import { anthropic } from './formats/anthropic.ts'
import { ContentRefused, type Format, ProviderFailure, translate } from './formats/format.ts'
import { gemini } from './formats/gemini.ts'
import { openAiChat } from './formats/openai-chat.ts'
import { openAiResponses } from './formats/openai-responses.ts'
import { LineTooLong } from './server-events.ts'
import type { FormatName, Settings } from './settings.ts'
import { BodyTooLarge, ConnectionFailed, TimedOut, type Transport } from './transport.ts'
import { fromResponse, fromStream, upstreamError } from './upstream-error.ts'

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
  const input = limited(request.input, hold)
  const counted = (tokens: number) => hold?.countedInput(tokens)
  const translation = translate(model, input, request.facts, provider.traits, hold?.limit, counted)
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
      ? await readStream(format, translation, response.chunks, emit, hold)
      : readWhole(format, translation, await transport.text(response))
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
  if (
    error instanceof NotAnAnswer ||
    error instanceof ConnectionFailed ||
    error instanceof LineTooLong ||
    error instanceof BodyTooLarge
  ) {
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
