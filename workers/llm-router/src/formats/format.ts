import type { CompletionInput, ImagePart, StreamFrame, ToolResultPart } from '@agentos/contracts/llm-router'
import { AgentError } from '@agentos/sdk'
import { type Answer, AnswerBuilder } from '../answer.ts'
import { wireCallId } from '../call-ids.ts'
import type { ModelFacts } from '../catalogue.ts'
import { type Conversation, conversationOf } from '../conversation.ts'
import type { Trait } from '../settings.ts'
import { ToolNames } from '../tool-names.ts'

/** What a format needs to know to write a request and to read its answer. */
export interface Translation {
  model: string
  input: CompletionInput
  conversation: Conversation
  names: ToolNames
  facts: ModelFacts
  traits: readonly Trait[]
  /** The most that may be written, thinking included; undefined where nobody counts. */
  outputLimit: number | undefined
  callId: (callId: string) => string
  builder: (emit?: (frame: StreamFrame) => void) => AnswerBuilder
}

export interface WireRequest {
  path: string
  headers: Record<string, string>
  body: Record<string, unknown>
}

/** Reads one streamed answer, event by event. */
export interface StreamReader {
  /** Throws a `ProviderFailure` where the event reports an error. */
  event(event: Record<string, unknown>): void
  /** The stream says that it is at its end (`[DONE]`). */
  done(): void
  /** Undefined where the answer has not come to its end. */
  finish(): Answer | undefined
  /** Nothing that belongs to the answer follows. */
  readonly over: boolean
}

/** One of the wire formats that providers speak. */
export interface Format {
  request(translation: Translation, stream: boolean): WireRequest
  /** Headers that carry the key; `undefined` where the provider needs none. */
  auth(key: string | undefined): Record<string, string>
  /** A whole answer; undefined where the body is not one. */
  answer(body: unknown, translation: Translation): Answer | undefined
  reader(translation: Translation, emit: (frame: StreamFrame) => void): StreamReader
  /** Where its list of models is read, and how. */
  modelsPath: string
  models(body: unknown): string[]
}

/** An error that the provider reported inside an answer of status 200. */
export class ProviderFailure extends Error {
  readonly body: unknown

  constructor(body: unknown) {
    super('the provider reported an error')
    this.body = body
  }
}

/** The provider refused the content before it answered. */
export class ContentRefused extends Error {}

export function translate(
  model: string,
  input: CompletionInput,
  facts: ModelFacts,
  traits: readonly Trait[],
  outputLimit?: number,
): Translation {
  const conversation = conversationOf(input)
  const offered = (input.tools ?? []).map((tool) => tool.id)
  if (new Set(offered).size < offered.length) throw new AgentError('invalid_input', 'tools: two have the same id')
  const { toolChoice } = input
  if (typeof toolChoice === 'object' && !offered.includes(toolChoice.id)) {
    throw new AgentError('invalid_input', `toolChoice: ${toolChoice.id} is not among the tools`)
  }
  const calls = conversation.turns.flatMap(({ parts }) => parts.filter((part) => part.type === 'toolCall'))
  const names = new ToolNames(
    offered,
    calls.map(({ id }) => id),
  )
  const used = calls.map(({ callId }) => callId)
  const short = traits.includes('short-call-ids')
  return {
    model,
    input,
    conversation,
    names,
    facts,
    traits,
    outputLimit,
    callId: (callId) => wireCallId(callId, short),
    builder: (emit) => new AnswerBuilder(names, { offered: new Set(offered), used }, emit),
  }
}

/** A tool result as text, for formats whose results hold nothing else. */
export function resultText({ content, isError }: ToolResultPart): string {
  const text =
    typeof content === 'string'
      ? content
      : content.flatMap((part) => (part.type === 'text' ? [part.text] : [])).join('\n')
  return isError ? `Error: ${text}` : text
}

export function resultImages({ content }: ToolResultPart): ImagePart[] {
  return typeof content === 'string' ? [] : content.filter((part) => part.type === 'image')
}

export function imageUrl({ url, mediaType, data }: ImagePart): string {
  return url ?? `data:${mediaType};base64,${data}`
}

/** Temperature and the like, where the model takes them. */
export function sampling({ input, facts }: Translation): { temperature?: number; topP?: number } {
  if (!facts.sampling) return {}
  return {
    ...(input.temperature === undefined ? {} : { temperature: input.temperature }),
    ...(input.topP === undefined ? {} : { topP: input.topP }),
  }
}

export function parseEvent(data: string): Record<string, unknown> {
  const value: unknown = JSON.parse(data)
  if (typeof value !== 'object' || value === null) throw new SyntaxError('an event is not an object')
  return value as Record<string, unknown>
}

export const jsonInstruction = 'Answer with one JSON object and nothing else.'

/** The `data: [{id}]` list that OpenAI and its likes, and Anthropic, have. */
export function listedModels(body: unknown): string[] {
  const { data } = (body ?? {}) as { data?: unknown }
  if (!Array.isArray(data)) return []
  return data.flatMap((item: { id?: unknown } | null) => (typeof item?.id === 'string' ? [item.id] : []))
}
