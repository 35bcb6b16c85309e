import type { Part, StreamFrame } from '@agentos/contracts/llm-router'
import type { Answer, AnswerBuilder } from '../answer.ts'
import { isObject, objectsOf } from '../answer.ts'
import { validTurns } from '../history.ts'
import {
  argumentsText,
  type Format,
  imageUrl,
  listedModels,
  namedFile,
  namedSchema,
  ProviderFailure,
  resultImages,
  resultText,
  type StreamReader,
  said,
  sampling,
  type Translation,
} from './format.ts'
import { type CallPiece, StreamedCalls } from './streamed-calls.ts'

interface WireMessage {
  content?: unknown
  refusal?: string | null
  /** DeepSeek, vLLM and llama.cpp. */
  reasoning_content?: string | null
  /** OpenRouter and Groq. */
  reasoning?: unknown
  tool_calls?: CallPiece[] | null
}

interface MessagePart {
  type?: string
  text?: string
  thinking?: { text?: string }[]
}

interface WireChoice {
  message?: WireMessage
  delta?: WireMessage
  finish_reason?: string | null
  /** OpenRouter. */
  error?: unknown
  /** Moonshot. */
  usage?: unknown
}

interface WireChunk {
  choices?: WireChoice[]
  usage?: unknown
  x_groq?: { usage?: unknown } | null
  error?: unknown
}

/** OpenAI's chat completions, and every server that speaks them. */
export const openAiChat: Format = {
  request(translation, stream) {
    const { input, traits, model, names } = translation
    const { temperature, topP } = sampling(translation)
    const tools = input.tools ?? []
    // Reasoning models of OpenAI refuse the old name, and other servers do not all know the new one.
    const limit =
      traits.includes('max-completion-tokens') || /^(o\d|gpt-5)/.test(model) ? 'max_completion_tokens' : 'max_tokens'
    return {
      path: '/chat/completions',
      headers: {},
      body: {
        model,
        messages: messagesOf(translation),
        ...(tools.length === 0
          ? {}
          : {
              tools: tools.map(({ id, description, inputSchema, strict }) => ({
                type: 'function',
                function: {
                  name: names.name(id),
                  description,
                  parameters: inputSchema,
                  ...(strict === undefined ? {} : { strict }),
                },
              })),
              ...(input.toolChoice === undefined ? {} : { tool_choice: toolChoice(translation) }),
              ...(said(translation, 'parallelToolCalls') === undefined ? {} : { parallel_tool_calls: false }),
            }),
        ...(input.maxTokens === undefined ? {} : { [limit]: input.maxTokens }),
        ...(temperature === undefined ? {} : { temperature }),
        ...(topP === undefined ? {} : { top_p: topP }),
        ...(input.stop === undefined ? {} : { stop: input.stop }),
        ...responseFormat(translation),
        ...(input.reasoning === undefined ? {} : { reasoning_effort: input.reasoning }),
        ...(input.seed === undefined ? {} : { [traits.includes('random-seed') ? 'random_seed' : 'seed']: input.seed }),
        ...furtherFields(translation),
        ...(stream ? { stream: true } : {}),
        ...(stream && !traits.includes('no-stream-options') ? { stream_options: { include_usage: true } } : {}),
      },
    }
  },

  auth: (key) => (key === undefined ? {} : { authorization: `Bearer ${key}` }),

  answer(body, translation, exact) {
    const { choices, usage } = body as { choices?: WireChoice[]; usage?: unknown }
    const choice = Array.isArray(choices) ? choices[0] : undefined
    failWhereChoiceFailed(choice)
    const { message } = choice ?? {}
    if (!choice || !message || !isObject(message)) return undefined
    const builder = translation.builder()
    addContent(builder, message)
    for (const call of callsOf(
      message,
      () => (exact() as typeof body as { choices: WireChoice[] }).choices[0]?.message,
    )) {
      builder.toolCall(call.id, call.function?.name, call.function?.arguments ?? '')
    }
    builder.stopped(choice.finish_reason)
    builder.counted(usage)
    return builder.finish()
  },

  reader: (translation, emit) => new ChatReader(translation, emit),

  modelsPath: '/models',
  models: listedModels,
}

class ChatReader implements StreamReader {
  private readonly builder: AnswerBuilder
  private readonly calls = new StreamedCalls()
  private finished = false
  over = false

  constructor(translation: Translation, emit: (frame: StreamFrame) => void) {
    this.builder = translation.builder(emit)
  }

  done(): void {
    this.over = true
  }

  event(event: Record<string, unknown>, exact: () => unknown): void {
    const chunk = event as WireChunk
    if (chunk.error) throw new ProviderFailure(chunk)
    failWhereChoiceFailed(chunk.choices?.[0])
    for (const usage of [chunk.usage, chunk.x_groq?.usage, chunk.choices?.[0]?.usage]) this.builder.counted(usage)
    const choice = chunk.choices?.[0]
    if (!choice) return
    if (choice.delta) {
      addContent(this.builder, choice.delta)
      const calls = callsOf(choice.delta, () => (exact() as { choices: WireChoice[] }).choices[0]?.delta)
      for (const call of calls) this.calls.add(call)
    }
    // Some servers say '' until they know.
    if (choice.finish_reason) {
      this.calls.flush(this.builder)
      this.builder.stopped(choice.finish_reason)
      this.finished = true
    }
  }

  finish(): Answer | undefined {
    if (!this.finished) return undefined
    this.calls.flush(this.builder)
    return this.builder.finish()
  }
}

/** Some servers send arguments as an object; only of those the exact message is needed. */
function callsOf({ tool_calls: calls }: WireMessage, exact: () => WireMessage | undefined): readonly CallPiece[] {
  const isText = (calls ?? []).every((call) => typeof (call?.function?.arguments ?? '') === 'string')
  return objectsOf(isText ? calls : exact()?.tool_calls)
}

function failWhereChoiceFailed(choice: WireChoice | null | undefined): void {
  if (choice?.error) throw new ProviderFailure({ error: choice.error })
}

/** What servers that know OpenAI's older fields only need not hear of unless it says something. */
function furtherFields(translation: Translation): Record<string, unknown> {
  const frequency = said(translation, 'frequencyPenalty')
  const presence = said(translation, 'presencePenalty')
  const verbosity = said(translation, 'verbosity')
  return {
    ...(frequency === undefined ? {} : { frequency_penalty: frequency }),
    ...(presence === undefined ? {} : { presence_penalty: presence }),
    ...(verbosity === undefined ? {} : { verbosity }),
  }
}

function messagesOf({ conversation, names, callId, traits }: Translation): unknown[] {
  const messages: unknown[] = []
  if (conversation.system !== '') messages.push({ role: 'system', content: conversation.system })
  const turns = validTurns(conversation.turns, { takes: () => traits.includes('reasoning-back') })
  const lastUser = turns.findLastIndex((turn) => turn.role === 'user')
  for (const [index, { role, parts, name }] of turns.entries()) {
    const speaker = name === undefined ? {} : { name }
    if (role === 'user') messages.push({ role, content: userContent(parts), ...speaker })
    else if (role === 'assistant') {
      const calls = parts.flatMap((part) =>
        part.type === 'toolCall'
          ? [
              {
                id: callId(part.callId),
                type: 'function',
                function: { name: names.name(part.id), arguments: argumentsText(part, traits) },
              },
            ]
          : [],
      )
      const text = parts.flatMap((part) => (part.type === 'text' ? [part.text] : [])).join('')
      const reasoning = parts.flatMap((part) => (part.type === 'reasoning' ? [part.text] : [])).join('')
      messages.push({
        role,
        content: text === '' && calls.length > 0 ? null : text,
        ...speaker,
        ...(calls.length === 0 ? {} : { tool_calls: calls }),
        ...(traits.includes('reasoning-back') && reasoning !== '' && index > lastUser
          ? { reasoning_content: reasoning }
          : {}),
      })
    } else {
      const results = parts.filter((part) => part.type === 'toolResult')
      for (const result of results) {
        messages.push({ role, tool_call_id: callId(result.callId), content: resultText(result) })
      }
      // Tool messages hold text only, and have to stand together: their images follow as a user's.
      const images = results.flatMap(resultImages)
      if (images.length > 0) messages.push({ role: 'user', content: userContent(images) })
    }
  }
  return messages
}

function userContent(parts: Part[]): unknown {
  if (parts.every((part) => part.type === 'text')) return parts.map((part) => part.text).join('\n')
  return parts.flatMap((part): unknown[] => {
    if (part.type === 'text') return [{ type: 'text', text: part.text }]
    if (part.type === 'file') return [{ type: 'file', file: namedFile(part) }]
    if (part.type !== 'image') return []
    const detail = part.detail === undefined ? {} : { detail: part.detail }
    return [{ type: 'image_url', image_url: { url: imageUrl(part), ...detail } }]
  })
}

function toolChoice({ input, names }: Translation): unknown {
  const { toolChoice: choice } = input
  return typeof choice === 'object' ? { type: 'function', function: { name: names.name(choice.id) } } : choice
}

function responseFormat({ input }: Translation): Record<string, unknown> {
  const { responseFormat: format } = input
  if (format?.type !== 'json') return {}
  if (!format.schema) return { response_format: { type: 'json_object' } }
  return { response_format: { type: 'json_schema', json_schema: namedSchema(format) } }
}

function addContent(builder: AnswerBuilder, message: WireMessage): void {
  if (typeof message.reasoning_content === 'string') builder.reasoning(message.reasoning_content)
  else if (typeof message.reasoning === 'string') builder.reasoning(message.reasoning)
  if (typeof message.content === 'string') builder.text(message.content)
  else if (Array.isArray(message.content)) {
    // Mistral's reasoning models answer with parts.
    for (const part of objectsOf(message.content as MessagePart[])) {
      if (part.type === 'text') builder.text(part.text ?? '')
      else if (part.type === 'thinking')
        builder.reasoning(
          objectsOf(part.thinking)
            .map(({ text }) => text ?? '')
            .join(''),
        )
    }
  }
  if (typeof message.refusal === 'string') builder.text(message.refusal)
}
