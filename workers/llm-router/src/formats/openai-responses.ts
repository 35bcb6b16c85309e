import type { Part, ReasoningPart, StreamFrame } from '@agentos/contracts/llm-router'
import type { Answer, AnswerBuilder } from '../answer.ts'
import { isObject, objectsOf } from '../answer.ts'
import { validTurns } from '../history.ts'
import {
  argumentsText,
  ContentRefused,
  type Format,
  imageUrl,
  listedModels,
  namedFile,
  namedSchema,
  ProviderFailure,
  refuse,
  resultText,
  type StreamReader,
  said,
  sampling,
  type Translation,
} from './format.ts'

const ORIGIN = 'openai-responses'

interface OutputItem {
  type?: string
  id?: string
  call_id?: string
  name?: string
  /** Text; an object of some servers. */
  arguments?: unknown
  encrypted_content?: string | null
  summary?: { text?: string }[]
  content?: { type?: string; text?: string; refusal?: string }[]
}

interface WireResponse {
  status?: string
  output?: OutputItem[]
  incomplete_details?: { reason?: string } | null
  error?: unknown
  usage?: unknown
}

/** OpenAI's Responses API, without anything stored there: the history travels with each request. */
export const openAiResponses: Format = {
  request(translation, stream) {
    const { input, model, names, conversation, facts } = translation
    refuse(translation, 'The Responses API', ['stop', 'seed', 'frequencyPenalty', 'presencePenalty'])
    const { temperature, topP } = sampling(translation)
    const tools = input.tools ?? []
    return {
      path: '/responses',
      headers: {},
      body: {
        model,
        input: inputItems(translation),
        store: false,
        ...(conversation.system === '' ? {} : { instructions: conversation.system }),
        ...(tools.length === 0
          ? {}
          : {
              tools: tools.map(({ id, description, inputSchema, strict }) => ({
                type: 'function',
                name: names.name(id),
                description,
                parameters: inputSchema,
                // Absent means true here.
                strict: strict ?? false,
              })),
              ...(input.toolChoice === undefined ? {} : { tool_choice: toolChoice(translation) }),
              ...(said(translation, 'parallelToolCalls') === undefined ? {} : { parallel_tool_calls: false }),
            }),
        ...(input.maxTokens === undefined ? {} : { max_output_tokens: input.maxTokens }),
        ...(temperature === undefined ? {} : { temperature }),
        ...(topP === undefined ? {} : { top_p: topP }),
        ...textFields(translation),
        ...(input.reasoning === undefined ? {} : { reasoning: { effort: input.reasoning, summary: 'auto' } }),
        // Without storage the reasoning has to be carried along; models that do not reason refuse the field.
        ...(facts.reasoning || input.reasoning !== undefined ? { include: ['reasoning.encrypted_content'] } : {}),
        ...(stream ? { stream: true } : {}),
      },
    }
  },

  auth: (key) => (key === undefined ? {} : { authorization: `Bearer ${key}` }),

  answer(body, translation, exact) {
    const response = body as WireResponse
    if (!Array.isArray(response.output)) return undefined
    if (response.status === 'failed') throw new ProviderFailure(response)
    const given = objectsOf(response.output)
    if (given.length === 0 && response.output.length > 0) return undefined
    const items = given.some(hasObject) ? objectsOf((exact() as WireResponse).output) : given
    const builder = translation.builder()
    for (const item of items) addItem(builder, item, { text: true, reasoning: true })
    close(builder, response)
    return builder.finish()
  },

  reader: (translation, emit) => new ResponsesReader(translation, emit),

  modelsPath: '/models',
  models: listedModels,
}

class ResponsesReader implements StreamReader {
  private readonly builder: AnswerBuilder
  /** Deltas of the item that is open have been seen, so its end brings nothing new. */
  private seen = { text: false, reasoning: false }
  over = false

  constructor(translation: Translation, emit: (frame: StreamFrame) => void) {
    this.builder = translation.builder(emit)
  }

  done(): void {}

  event(given: Record<string, unknown>, exact: () => unknown): void {
    const event = given as { type?: string; delta?: string; item?: OutputItem; response?: WireResponse }
    switch (event.type) {
      case 'response.output_text.delta':
      case 'response.refusal.delta':
        this.seen.text = true
        this.builder.text(event.delta ?? '')
        break
      case 'response.reasoning_summary_text.delta':
      case 'response.reasoning_text.delta':
        this.seen.reasoning = true
        this.builder.reasoning(event.delta ?? '')
        break
      case 'response.output_item.done':
        addItem(this.builder, (hasObject(event.item) ? (exact() as typeof event).item : event.item) ?? {}, {
          text: !this.seen.text,
          reasoning: !this.seen.reasoning,
        })
        this.seen = { text: false, reasoning: false }
        break
      case 'response.completed':
      case 'response.incomplete':
        close(this.builder, event.response ?? {})
        this.over = true
        break
      case 'response.failed':
        throw new ProviderFailure(event.response)
      case 'error':
        throw new ProviderFailure(event)
    }
  }

  finish(): Answer | undefined {
    return this.over ? this.builder.finish() : undefined
  }
}

/** Only of arguments that are no text the exact item is needed. */
function hasObject(item: OutputItem | null | undefined): boolean {
  return isObject(item?.arguments)
}

function addItem(builder: AnswerBuilder, item: OutputItem, still: { text: boolean; reasoning: boolean }): void {
  if (item.type === 'message' && still.text) {
    for (const part of objectsOf(item.content)) builder.text(part.text ?? part.refusal ?? '')
  } else if (item.type === 'reasoning') {
    if (still.reasoning)
      builder.reasoning(
        objectsOf(item.summary)
          .map(({ text }) => text ?? '')
          .join('\n\n'),
      )
    const signature = item.encrypted_content ? JSON.stringify([item.id, item.encrypted_content]) : undefined
    builder.endReasoning({ origin: ORIGIN, ...(signature === undefined ? {} : { signature }) })
  } else if (item.type === 'function_call') {
    builder.toolCall(item.call_id ?? item.id, item.name, item.arguments ?? '')
  }
}

function close(builder: AnswerBuilder, response: WireResponse): void {
  const { usage, incomplete_details: incomplete } = response
  builder.stopped(incomplete?.reason ?? response.status)
  if (incomplete?.reason === 'content_filter' && builder.isEmpty) {
    throw new ContentRefused('the answer was withheld by the content filter')
  }
  builder.counted(usage)
}

function inputItems({ conversation, names, callId, traits }: Translation): unknown[] {
  const takes = ({ origin, signature }: ReasoningPart) => origin === ORIGIN && signature !== undefined
  return validTurns(conversation.turns, { takes, leads: true }).flatMap(({ role, parts }) => {
    if (role === 'user') return [{ type: 'message', role, content: parts.flatMap(inputPart) }]
    return parts.flatMap((part): unknown[] => {
      switch (part.type) {
        case 'text':
          return [{ type: 'message', role, content: [{ type: 'output_text', text: part.text, annotations: [] }] }]
        case 'toolCall': {
          const args = argumentsText(part, traits)
          return [{ type: 'function_call', call_id: callId(part.callId), name: names.name(part.id), arguments: args }]
        }
        case 'toolResult': {
          const output =
            typeof part.content === 'string' || part.isError ? resultText(part) : part.content.flatMap(inputPart)
          return [{ type: 'function_call_output', call_id: callId(part.callId), output }]
        }
        case 'reasoning': {
          if (part.origin !== ORIGIN || part.signature === undefined) return []
          const [id, encrypted] = JSON.parse(part.signature) as [string, string]
          const summary = part.text === '' ? [] : [{ type: 'summary_text', text: part.text }]
          return [{ type: 'reasoning', id, summary, encrypted_content: encrypted }]
        }
        default:
          return []
      }
    })
  })
}

function inputPart(part: Part): unknown[] {
  if (part.type === 'text') return [{ type: 'input_text', text: part.text }]
  if (part.type === 'file') return [{ type: 'input_file', ...namedFile(part) }]
  return part.type === 'image'
    ? [{ type: 'input_image', image_url: imageUrl(part), detail: part.detail ?? 'auto' }]
    : []
}

function toolChoice({ input, names }: Translation): unknown {
  const { toolChoice: choice } = input
  return typeof choice === 'object' ? { type: 'function', name: names.name(choice.id) } : choice
}

function textFields(translation: Translation): Record<string, unknown> {
  const format = textFormat(translation)
  const verbosity = said(translation, 'verbosity')
  if (format === undefined && verbosity === undefined) return {}
  return { text: { ...(format === undefined ? {} : { format }), ...(verbosity === undefined ? {} : { verbosity }) } }
}

function textFormat({ input }: Translation): Record<string, unknown> | undefined {
  const { responseFormat: format } = input
  if (format?.type !== 'json') return undefined
  return format.schema ? { type: 'json_schema', ...namedSchema(format) } : { type: 'json_object' }
}
