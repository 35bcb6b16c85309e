import type { FilePart, Part, Reasoning, StreamFrame, ToolResultPart } from '@agentos/contracts/llm-router'
import type { Answer, AnswerBuilder } from '../answer.ts'
import { objectsOf } from '../answer.ts'
import type { Turn } from '../conversation.ts'
import { validTurns } from '../history.ts'
import {
  argumentsObject,
  cannotSay,
  describedSchema,
  type Format,
  jsonInstruction,
  listedModels,
  ProviderFailure,
  refuse,
  type StreamReader,
  said,
  sampling,
  type Translation,
} from './format.ts'

const ORIGIN = 'anthropic'
/** The API wants a limit; this is the router's where the caller gives none. */
const DEFAULT_MAX_TOKENS = 4096
/** Tokens that a model may think, on top of its answer. */
export const THINKING_BUDGET: Record<Reasoning, number> = {
  none: 0,
  minimal: 1_024,
  low: 2_048,
  medium: 8_192,
  high: 16_384,
  xhigh: 32_768,
  max: 48_000,
}

interface Block {
  type?: string
  text?: string
  thinking?: string
  signature?: string
  data?: string
  id?: string
  name?: string
  input?: unknown
}

/** With the JSON text of a call's input, which comes in pieces. */
type OpenBlock = Block & { json: string }

/** Anthropic's Messages. */
export const anthropic: Format = {
  request(translation, stream) {
    const { input, model, names } = translation
    refuse(translation, "Anthropic's API", ['seed', 'frequencyPenalty', 'presencePenalty', 'verbosity'])
    const tools = input.tools ?? []
    const thinking = thinkingOf(translation)
    const { temperature, topP } = samplingOf(translation, thinking !== undefined && thinking.field.type !== 'disabled')
    const asked = (input.maxTokens ?? DEFAULT_MAX_TOKENS) + (thinking?.budget ?? 0)
    const maxTokens = Math.min(asked, translation.outputLimit ?? asked)
    const format = outputFormat(translation)
    return {
      path: '/v1/messages',
      headers: {},
      body: {
        model,
        messages: messagesOf(translation),
        max_tokens: Math.min(maxTokens, translation.facts.maxOutput ?? maxTokens),
        ...(format.system === '' ? {} : { system: format.system }),
        ...(tools.length === 0
          ? {}
          : {
              tools: tools.map(({ id, description, inputSchema, strict }) => ({
                name: names.name(id),
                description,
                input_schema: { type: 'object', ...inputSchema },
                ...(strict ? { strict } : {}),
              })),
              ...toolChoice(translation),
            }),
        ...(temperature === undefined ? {} : { temperature }),
        ...(topP === undefined ? {} : { top_p: topP }),
        ...(input.stop === undefined ? {} : { stop_sequences: input.stop }),
        ...(thinking ? { thinking: thinking.field } : {}),
        ...outputConfig(format.schema, thinking?.effort),
        ...(stream ? { stream: true } : {}),
      },
    }
  },

  auth: (key) => ({ 'anthropic-version': '2023-06-01', ...(key === undefined ? {} : { 'x-api-key': key }) }),

  answer(body, translation, exact) {
    const {
      content,
      stop_reason: stop,
      usage,
    } = body as {
      content?: Block[]
      stop_reason?: string | null
      usage?: unknown
    }
    if (!Array.isArray(content)) return undefined
    const blocks = objectsOf(content)
    if (blocks.length === 0 && content.length > 0) return undefined
    const builder = translation.builder()
    const calls = blocks.some(({ type }) => type === 'tool_use')
    for (const block of calls ? objectsOf((exact() as { content: Block[] }).content) : blocks) addBlock(builder, block)
    builder.stopped(stop)
    builder.counted(usage)
    return builder.finish()
  },

  reader: (translation, emit) => new MessagesReader(translation, emit),

  modelsPath: '/v1/models?limit=1000',
  models: listedModels,
}

class MessagesReader implements StreamReader {
  private readonly builder: AnswerBuilder
  /** By their index: some servers open the next one before they close the last, or close none. */
  private readonly blocks = new Map<number, OpenBlock>()
  over = false

  constructor(translation: Translation, emit: (frame: StreamFrame) => void) {
    this.builder = translation.builder(emit)
  }

  done(): void {}

  event(given: Record<string, unknown>, exact: () => unknown): void {
    const event = given as {
      type?: string
      index?: number
      message?: { usage?: object | null }
      content_block?: Block
      delta?: Block & { partial_json?: string; stop_reason?: string }
      usage?: unknown
    }
    switch (event.type) {
      case 'message_start':
        // Its count of output is only begun.
        this.builder.counted({ ...event.message?.usage, output_tokens: undefined })
        break
      case 'content_block_start':
        this.endBlock(event.index ?? 0)
        this.blocks.set(event.index ?? 0, { ...(exact() as typeof event).content_block, json: '' })
        if (event.content_block?.type === 'text') this.builder.text(event.content_block.text ?? '')
        break
      case 'content_block_delta':
        this.delta(event.index ?? 0, event.delta ?? {})
        break
      case 'content_block_stop':
        this.endBlock(event.index ?? 0)
        break
      case 'message_delta':
        this.builder.stopped(event.delta?.stop_reason)
        this.builder.counted(event.usage)
        break
      case 'message_stop':
        for (const index of [...this.blocks.keys()]) this.endBlock(index)
        this.over = true
        break
      case 'error':
        throw new ProviderFailure(event)
    }
  }

  finish(): Answer | undefined {
    if (!this.over) return undefined
    return this.builder.finish()
  }

  private delta(index: number, delta: Block & { partial_json?: string }): void {
    const block = this.blocks.get(index) ?? { json: '' }
    if (delta.type === 'text_delta') this.builder.text(delta.text ?? '')
    else if (delta.type === 'thinking_delta') this.builder.reasoning(delta.thinking ?? '')
    else if (delta.type === 'signature_delta') block.signature = (block.signature ?? '') + delta.signature
    else if (delta.type === 'input_json_delta') block.json += delta.partial_json ?? ''
  }

  private endBlock(index: number): void {
    const block = this.blocks.get(index)
    if (!block) return
    this.blocks.delete(index)
    const { json, ...rest } = block
    if (rest.type === 'tool_use') addBlock(this.builder, { ...rest, input: json || (rest.input ?? {}) })
    else if (rest.type === 'thinking') addBlock(this.builder, { ...rest, thinking: '' })
    else if (rest.type === 'redacted_thinking') addBlock(this.builder, rest)
  }
}

function addBlock(builder: AnswerBuilder, block: Block): void {
  if (block.type === 'text') builder.text(block.text ?? '')
  else if (block.type === 'tool_use') builder.toolCall(block.id, block.name, block.input ?? {})
  else if (block.type === 'thinking') {
    builder.reasoning(block.thinking ?? '')
    builder.endReasoning({ origin: ORIGIN, ...(block.signature ? { signature: block.signature } : {}) })
  } else if (block.type === 'redacted_thinking' && block.data) {
    builder.endReasoning({ origin: ORIGIN, signature: block.data, redacted: true })
  }
}

/** Models before Claude 4.6 go on with what an assistant began to say; the later ones refuse it. */
const GOES_ON = /^claude-(?:[123]|[a-z]+-4(?:-[0-5])?(?:-20\d{6})?$)/

function turnsOf({ conversation, model, input }: Translation): Turn[] {
  const goesOn = GOES_ON.test(model) && (input.reasoning === undefined || input.reasoning === 'none')
  return validTurns(conversation.turns, {
    takes: ({ origin, signature }) => origin === ORIGIN && signature !== undefined,
    userFirst: true,
    last: goesOn ? 'trimmed' : 'user',
  })
}

/** In the middle of calls this API wants to see what was thought before them, or that nothing is thought at all. */
function isMidCalls(translation: Translation): boolean {
  const [asked, answered] = turnsOf(translation).slice(-2)
  return answered?.role === 'tool' && asked?.parts[0]?.type !== 'reasoning'
}

/** User and tool turns are both the user's here; results stand before what the user says. */
function messagesOf(translation: Translation): unknown[] {
  const messages: { role: string; content: unknown[] }[] = []
  for (const { role, parts } of turnsOf(translation)) {
    const wireRole = role === 'assistant' ? 'assistant' : 'user'
    const content = parts.flatMap((part) => blockOf(part, translation))
    const last = messages.at(-1)
    if (last?.role === wireRole) last.content.push(...content)
    else messages.push({ role: wireRole, content })
  }
  return messages
}

function blockOf(part: Part, translation: Translation): unknown[] {
  const { names, callId } = translation
  switch (part.type) {
    case 'text':
      return [{ type: 'text', text: part.text }]
    case 'file':
      return [documentOf(part)]
    case 'image':
      if (part.detail !== undefined && part.detail !== 'auto') {
        throw cannotSay('detail', "Anthropic's API has no detail of an image; leave it out, or send `auto`")
      }
      return [
        {
          type: 'image',
          source:
            part.url === undefined
              ? { type: 'base64', media_type: part.mediaType, data: part.data }
              : { type: 'url', url: part.url },
        },
      ]
    case 'toolCall':
      return [{ type: 'tool_use', id: callId(part.callId), name: names.name(part.id), input: argumentsObject(part) }]
    case 'toolResult':
      return [toolResult(part, translation)]
    case 'reasoning':
      return part.redacted
        ? [{ type: 'redacted_thinking', data: part.signature }]
        : [{ type: 'thinking', thinking: part.text, signature: part.signature }]
  }
}

function toolResult(part: ToolResultPart, translation: Translation): unknown {
  const content =
    typeof part.content === 'string' ? part.content : part.content.flatMap((item) => blockOf(item, translation))
  return {
    type: 'tool_result',
    tool_use_id: translation.callId(part.callId),
    content,
    ...(part.isError ? { is_error: true } : {}),
  }
}

function documentOf({ mediaType, data, name }: FilePart): unknown {
  const title = name ? { title: name } : {}
  if (mediaType === 'application/pdf') {
    return { type: 'document', source: { type: 'base64', media_type: mediaType, data }, ...title }
  }
  if (!mediaType.startsWith('text/')) {
    throw cannotSay('file', `Anthropic's API reads PDF and text, not ${mediaType}; send its content as text`)
  }
  const text = Buffer.from(data, 'base64').toString('utf8')
  return { type: 'document', source: { type: 'text', media_type: 'text/plain', data: text }, ...title }
}

function toolChoice(translation: Translation): { tool_choice?: object } {
  const { input, names } = translation
  const { toolChoice: choice } = input
  const alone = said(translation, 'parallelToolCalls') === false ? { disable_parallel_tool_use: true } : {}
  if (choice === undefined && !('disable_parallel_tool_use' in alone)) return {}
  if (typeof choice === 'object') return { tool_choice: { type: 'tool', name: names.name(choice.id), ...alone } }
  return { tool_choice: { type: choice === 'required' ? 'any' : (choice ?? 'auto'), ...alone } }
}

/** The API takes one of the two, and neither of them from a model that thinks. */
function samplingOf(translation: Translation, thinks: boolean): { temperature?: number; topP?: number } {
  const asked = sampling(translation)
  if (thinks && (asked.temperature ?? asked.topP) !== undefined) {
    const field = asked.temperature === undefined ? 'topP' : 'temperature'
    throw cannotSay(field, "Anthropic's API takes none from a model that thinks; leave it out, or set no reasoning")
  }
  if (asked.temperature !== undefined && asked.temperature > 1) {
    throw cannotSay('temperature', "Anthropic's API takes 0 to 1; send a smaller value, or leave it out")
  }
  if (asked.temperature !== undefined && asked.topP !== undefined) {
    throw cannotSay('topP', "Anthropic's API takes one of temperature and topP; leave one of them out")
  }
  return asked
}

function thinkingOf(translation: Translation) {
  const { input, facts, model, outputLimit } = translation
  const { reasoning } = input
  if (reasoning === undefined) return undefined
  if (reasoning === 'none') return { field: { type: 'disabled' }, budget: 0, effort: undefined }
  if (input.toolChoice === 'required' || typeof input.toolChoice === 'object') {
    throw cannotSay('reasoning', "Anthropic's API does not think before a forced call; leave one of the two out")
  }
  if (facts.thinking === 'budget') {
    const budget = THINKING_BUDGET[reasoning]
    if (facts.maxOutput !== undefined && budget >= facts.maxOutput) {
      throw cannotSay('reasoning', `${model} may not write as much as ${reasoning} means; ask for less`)
    }
    if (isMidCalls(translation)) return undefined
    // The API wants room for an answer behind the thinking.
    if (outputLimit !== undefined && outputLimit <= budget) return undefined
    return { field: { type: 'enabled', budget_tokens: budget }, budget, effort: undefined }
  }
  if (reasoning === 'minimal') {
    throw cannotSay('reasoning', "Anthropic's API has no effort `minimal`; ask for `low`, or for `none`")
  }
  return { field: { type: 'adaptive' }, budget: 0, effort: reasoning }
}

function outputFormat({ input, conversation }: Translation): { system: string; schema: unknown } {
  if (input.responseFormat?.type !== 'json') return { system: conversation.system, schema: undefined }
  const schema = describedSchema(input.responseFormat)
  if (schema) return { system: conversation.system, schema }
  return { system: [conversation.system, jsonInstruction].filter((text) => text !== '').join('\n\n'), schema }
}

function outputConfig(schema: unknown, effort: string | undefined): Record<string, unknown> {
  if (schema === undefined && effort === undefined) return {}
  return {
    output_config: {
      ...(effort === undefined ? {} : { effort }),
      ...(schema === undefined ? {} : { format: { type: 'json_schema', schema } }),
    },
  }
}
