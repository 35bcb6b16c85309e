import { randomBytes } from 'node:crypto'
import { chat } from '@agentos/contracts/agent-core'
import type { Exhausted } from '@agentos/contracts/ledger'
import type { StreamFrame, ToolCall } from '@agentos/contracts/llm-router'
import type { ChatCompletion } from '@agentos/contracts/streaming'
import { InvocationError, isErrorBody, type OpenAiError, openAiError } from '@agentos/sdk'

/** What an agent's or a model's answer has in common. */
export interface Answer {
  content: string
  model: string | null
  toolCalls: readonly ToolCall[]
  stopReason: string
  /** The provider's own word, where the reason does not say as much. */
  stopDetail?: string | undefined
  /** The budget that cut it off. */
  budget?: Exhausted | undefined
  usage: {
    input: number
    output: number
    total: number
    cached?: number | undefined
    reasoning?: number | undefined
  } | null
}

/** One id and one time for all chunks of a completion. */
export interface Identity {
  id: string
  created: number
  model: string
}

export function newIdentity(model: string): Identity {
  return { id: `chatcmpl-${randomBytes(12).toString('hex')}`, created: Math.floor(Date.now() / 1000), model }
}

const FINISH: Record<string, string> = {
  stop: 'stop',
  length: 'length',
  budget_exceeded: 'length',
  max_tokens: 'length',
  max_rounds: 'length',
  timeout: 'length',
  tool_calls: 'tool_calls',
  content_filter: 'content_filter',
  // This API has no word for an answer that lacks its end for another reason.
  interrupted: 'length',
  other: 'length',
}

export function finishReason(answer: Answer): string {
  return FINISH[answer.stopReason] ?? 'stop'
}

export function usageOf(answer: Answer): ChatCompletion['usage'] {
  return {
    prompt_tokens: answer.usage?.input ?? 0,
    completion_tokens: answer.usage?.output ?? 0,
    total_tokens: answer.usage?.total ?? 0,
    prompt_tokens_details: { cached_tokens: answer.usage?.cached ?? 0 },
    completion_tokens_details: { reasoning_tokens: answer.usage?.reasoning ?? 0 },
  }
}

export function toChatCompletion(identity: Identity, answer: Answer): ChatCompletion {
  const calls = answer.toolCalls.map(functionCall)
  return {
    ...identity,
    object: 'chat.completion',
    choices: [
      {
        index: 0,
        message: {
          role: 'assistant',
          content: calls.length > 0 && answer.content === '' ? null : answer.content,
          refusal: null,
          ...(calls.length > 0 ? { tool_calls: calls } : {}),
        },
        logprobs: null,
        ...reasonsOf(answer),
      },
    ],
    usage: usageOf(answer),
    ...cutOf(answer),
  }
}

/** One `chat.completion.chunk`. */
export function chunk(identity: Identity, delta: object): object {
  return {
    ...identity,
    object: 'chat.completion.chunk',
    choices: [{ index: 0, delta, logprobs: null, finish_reason: null }],
  }
}

/** The chunk that says why the answer ends. */
export function chunkAtEnd(identity: Identity, answer: Answer): object {
  return {
    ...identity,
    object: 'chat.completion.chunk',
    choices: [{ index: 0, delta: {}, logprobs: null, ...reasonsOf(answer) }],
    ...cutOf(answer),
  }
}

function reasonsOf(answer: Answer): { finish_reason: string; native_finish_reason?: string } {
  const { stopDetail } = answer
  return {
    finish_reason: finishReason(answer),
    ...(stopDetail === undefined ? {} : { native_finish_reason: stopDetail }),
  }
}

/** OpenAI has no word for it, so a client reads `length`, and whoever wants to know more this field of ours. */
function cutOf({ budget }: Answer): Pick<ChatCompletion, 'budget_exceeded'> {
  return budget ? { budget_exceeded: budget } : {}
}

/** The chunk after the last, where the client asked for usage. */
export function usageChunk(identity: Identity, answer: Answer): object {
  return { ...identity, object: 'chat.completion.chunk', choices: [], usage: usageOf(answer) }
}

/** The delta that a frame of the model's stream becomes; tool calls are counted by the caller. */
export function deltaOf(frame: StreamFrame, toolIndex: number): object | undefined {
  if (frame.type === 'text') return { content: frame.text }
  if (frame.type === 'reasoning') return { reasoning_content: frame.text }
  if (frame.type === 'toolCall') return { tool_calls: [{ index: toolIndex, ...functionCall(frame) }] }
  return undefined
}

/** The arguments leave as the model wrote them. */
function functionCall(call: ToolCall): { id: string; type: 'function'; function: { name: string; arguments: string } } {
  return {
    id: call.callId,
    type: 'function',
    function: { name: call.id, arguments: call.argumentsText ?? JSON.stringify(call.arguments) },
  }
}

/** Anything thrown, as the API answers it. What an agent or a model is not found by is the request's `model`. */
export function errorReply(error: unknown): OpenAiError {
  const known = isErrorBody(error) || error instanceof Error
  const code = known && 'code' in error && typeof error.code === 'string' ? error.code : 'internal'
  const message =
    error instanceof Error && 'reason' in error && typeof error.reason === 'string'
      ? error.reason
      : known
        ? error.message
        : String(error)
  const details = known && 'details' in error ? error.details : undefined
  if (code === 'not_found' || code === 'model_not_found') {
    return openAiError({ code: 'model_not_found', message, details: { param: 'model' } })
  }
  const field = error instanceof InvocationError ? fieldOf(error) : undefined
  if (field === undefined) return openAiError({ code, message, details })
  const name = clientsName(field.name, (error as InvocationError).function_id === chat.id)
  return openAiError({
    code,
    message: field.says === undefined ? message : `${name}: ${field.says}`,
    details: { param: name },
  })
}

/** The field that the router or the agent refused, in its own words, and what it said about it. */
function fieldOf({
  details,
  reason,
  function_id,
}: InvocationError): { name: string; says: string | undefined } | undefined {
  const { param, issues } = (details ?? {}) as { param?: unknown; issues?: { path: string; message: string }[] }
  if (typeof param === 'string') {
    return { name: param, says: reason.startsWith(`${param}: `) ? reason.slice(param.length + 2) : undefined }
  }
  const issue = reason.startsWith(`${function_id}: `) ? issues?.[0] : undefined
  return issue && { name: issue.path, says: issue.message }
}

function clientsName(field: string, ofAgent: boolean): string {
  const [head = '', ...rest] = field.split('.')
  // An agent's messages are others than those of the client, which stand in its history.
  if (ofAgent && ['messages', 'history', 'message', 'content'].includes(head)) return 'messages'
  return [NAMES[head] ?? head, ...rest].join('.')
}

/** What the client calls a field that the router or the agent refuses. */
const NAMES: Record<string, string> = {
  maxTokens: 'max_completion_tokens',
  maxOutputTokens: 'max_completion_tokens',
  topP: 'top_p',
  frequencyPenalty: 'frequency_penalty',
  presencePenalty: 'presence_penalty',
  parallelToolCalls: 'parallel_tool_calls',
  toolChoice: 'tool_choice',
  responseFormat: 'response_format',
  reasoning: 'reasoning_effort',
}
