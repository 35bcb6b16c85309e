import type {
  CompletionInput,
  FilePart,
  ImagePart,
  ResponseFormat,
  StreamFrame,
  ToolCallPart,
  ToolResultPart,
} from '@agentos/contracts/llm-router'
import { AgentError } from '@agentos/sdk'
import { type Answer, AnswerBuilder } from '../answer.ts'
import { wireCallId } from '../call-ids.ts'
import type { ModelFacts } from '../catalogue.ts'
import { type Conversation, conversationOf } from '../conversation.ts'
import { estimateInput } from '../estimate.ts'
import { parseExact } from '../exact-json.ts'
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
  /**
   * Throws a `ProviderFailure` where the event reports an error. `exact` gives the event once more, by `parseExact`.
   */
  event(event: Record<string, unknown>, exact: () => unknown): void
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
  /** A whole answer; undefined where the body is not one. `exact` gives the body once more, by `parseExact`. */
  answer(body: unknown, translation: Translation, exact: () => unknown): Answer | undefined
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
  onInput?: (tokens: number) => void,
): Translation {
  const conversation = conversationOf(input)
  const offered = (input.tools ?? []).map((tool) => tool.id)
  const twice = offered.find((id, index) => offered.indexOf(id) !== index)
  if (twice !== undefined) throw invalid('tools', `two of them are called ${twice}`)
  const { toolChoice } = input
  if (toolChoice === 'required' && offered.length === 0) {
    throw cannotSay('toolChoice', 'no call can be forced without tools; send tools, or leave it out')
  }
  if (typeof toolChoice === 'object' && !offered.includes(toolChoice.id)) {
    throw invalid('toolChoice', `${toolChoice.id} is not among the tools`)
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
    builder: (emit) =>
      new AnswerBuilder(
        names,
        { offered: new Set(offered), used, inputEstimate: () => estimateInput(input), onInput },
        emit,
      ),
  }
}

/** Arguments of an earlier call for formats that carry an object: text that is none stands in a field of its own. */
export function argumentsObject({ arguments: args, argumentsText: text, problem }: ToolCallPart): unknown {
  if (problem?.code === 'invalid_json') return { invalid_json: text ?? problem.raw }
  return text === undefined ? args : parseExact(text)
}

/** Arguments of an earlier call for formats that carry text: as the model wrote them. */
export function argumentsText(part: ToolCallPart, traits: readonly Trait[]): string {
  const { arguments: args, argumentsText: text, problem } = part
  if (problem?.code !== 'invalid_json') return text ?? JSON.stringify(args)
  return traits.includes('parsed-arguments') ? JSON.stringify(argumentsObject(part)) : (text ?? problem.raw)
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

/** A field that a provider has no words for. It is refused by its name and the reason, never left out in silence. */
export function cannotSay(field: string, reason: string): AgentError {
  return new AgentError('unsupported_feature', `${field}: ${reason}`, { details: { param: field } })
}

function invalid(field: string, reason: string): AgentError {
  return new AgentError('invalid_input', `${field}: ${reason}`, { details: { param: field } })
}

/** The value that says the same as no value at all, where a field has one. */
const SAYS_NOTHING: Partial<CompletionInput> = {
  temperature: 1,
  topP: 1,
  frequencyPenalty: 0,
  presencePenalty: 0,
  parallelToolCalls: true,
  verbosity: 'medium',
}

/** What a field says; undefined where it says no more than its absence would. */
export function said<F extends keyof CompletionInput>(
  { input }: Translation,
  field: F,
): CompletionInput[F] | undefined {
  const idle = field === 'parallelToolCalls' && (!input.tools?.length || input.toolChoice === 'none')
  return idle || input[field] === SAYS_NOTHING[field] ? undefined : input[field]
}

/** Refuses the fields of this request for which `api` has no words, and speakers' names, which OpenAI's chat format alone has. */
export function refuse(translation: Translation, api: string, fields: readonly (keyof CompletionInput)[]): void {
  for (const field of fields) {
    if (said(translation, field) === undefined) continue
    throw cannotSay(field, `${api} has no such field; leave it out, or ask a model of a provider that has it`)
  }
  const named = translation.input.messages.findIndex(({ name }) => name !== undefined)
  if (named < 0) return
  throw cannotSay(`messages.${named}.name`, `${api} does not say who speaks; leave it out, and say it in the text`)
}

/** Temperature and the like, where the model takes them. */
export function sampling(translation: Translation): { temperature?: number; topP?: number } {
  const { facts, model } = translation
  const temperature = said(translation, 'temperature')
  const topP = said(translation, 'topP')
  if (!facts.sampling) {
    const field = temperature === undefined ? 'topP' : 'temperature'
    if (temperature === undefined && topP === undefined) return {}
    throw cannotSay(field, `${model} takes no value for it; leave it out, or ask another model`)
  }
  return { ...(temperature === undefined ? {} : { temperature }), ...(topP === undefined ? {} : { topP }) }
}

/** A schema for formats that have no field for its description. */
export function describedSchema({ schema, description }: ResponseFormat): Record<string, unknown> | undefined {
  return schema && description !== undefined ? { description, ...schema } : schema
}

/** A schema as OpenAI's formats have it. */
export function namedSchema({ name, schema, description, strict }: ResponseFormat) {
  return {
    name: name ?? 'answer',
    schema,
    strict: strict ?? true,
    ...(description === undefined ? {} : { description }),
  }
}

/** A file as OpenAI's formats have it; they want a name. */
export function namedFile({ name, mediaType, data }: FilePart): { filename: string; file_data: string } {
  return { filename: name || 'file', file_data: `data:${mediaType};base64,${data}` }
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
