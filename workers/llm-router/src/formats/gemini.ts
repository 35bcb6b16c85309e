import type { ImagePart, Part, StreamFrame } from '@agentos/contracts/llm-router'
import type { Answer, AnswerBuilder } from '../answer.ts'
import { usageOf } from '../answer.ts'
import {
  ContentRefused,
  type Format,
  ProviderFailure,
  resultImages,
  resultText,
  type StreamReader,
  sampling,
  type Translation,
} from './format.ts'

interface WirePart {
  text?: string
  thought?: boolean
  thoughtSignature?: string
  functionCall?: { id?: string; name?: string; args?: unknown }
}

interface WireChunk {
  candidates?: { content?: { parts?: WirePart[] }; finishReason?: string; finishMessage?: string }[]
  promptFeedback?: { blockReason?: string; blockReasonMessage?: string }
  usageMetadata?: {
    promptTokenCount?: number
    toolUsePromptTokenCount?: number
    cachedContentTokenCount?: number
    candidatesTokenCount?: number
    thoughtsTokenCount?: number
  }
  error?: unknown
}

const THINKING_BUDGET = { low: 1_024, medium: 8_192, high: 24_576 }

/** Google's value for calls that another model made, which therefore carry no signature of its own. */
const FOREIGN_CALL = 'skip_thought_signature_validator'

/** Google's generateContent. */
export const gemini: Format = {
  request(translation, stream) {
    const { input, model, names, conversation } = translation
    const tools = input.tools ?? []
    return {
      path: `/models/${encodeURIComponent(model)}:${stream ? 'streamGenerateContent?alt=sse' : 'generateContent'}`,
      headers: {},
      body: {
        contents: contentsOf(translation),
        ...(conversation.system === '' ? {} : { systemInstruction: { parts: [{ text: conversation.system }] } }),
        ...(tools.length === 0
          ? {}
          : {
              tools: [
                {
                  functionDeclarations: tools.map(({ id, description, inputSchema }) => ({
                    name: names.name(id),
                    description,
                    parametersJsonSchema: inputSchema,
                  })),
                },
              ],
              ...(input.toolChoice === undefined ? {} : { toolConfig: toolConfig(translation) }),
            }),
        ...generationConfig(translation),
      },
    }
  },

  auth: (key) => (key === undefined ? {} : { 'x-goog-api-key': key }),

  answer(body, translation) {
    const chunk = body as WireChunk
    const builder = translation.builder()
    return addChunk(builder, chunk) ? builder.finish() : undefined
  },

  reader: (translation, emit) => new GeminiReader(translation, emit),

  modelsPath: '/models?pageSize=1000',
  models(body) {
    const { models } = (body ?? {}) as { models?: unknown }
    if (!Array.isArray(models)) return []
    return models.flatMap((item: { name?: unknown } | null) =>
      typeof item?.name === 'string' ? [item.name.replace(/^models\//, '')] : [],
    )
  },
}

class GeminiReader implements StreamReader {
  private readonly builder: AnswerBuilder
  private finished = false
  /** The stream has no last event of its own; only its end says that nothing follows. */
  readonly over = false

  constructor(translation: Translation, emit: (frame: StreamFrame) => void) {
    this.builder = translation.builder(emit)
  }

  event(event: Record<string, unknown>): void {
    if (addChunk(this.builder, event as WireChunk)) this.finished = true
  }

  done(): void {}

  finish(): Answer | undefined {
    return this.finished ? this.builder.finish() : undefined
  }
}

/** Returns whether the answer has come to its end. */
function addChunk(builder: AnswerBuilder, chunk: WireChunk): boolean {
  if (chunk.error) throw new ProviderFailure(chunk)
  const { blockReason, blockReasonMessage } = chunk.promptFeedback ?? {}
  if (blockReason) throw new ContentRefused(blockReasonMessage ?? `the prompt was blocked: ${blockReason}`)
  const { usageMetadata: usage } = chunk
  if (usage) {
    const thoughts = usage.thoughtsTokenCount ?? 0
    builder.usage = usageOf({
      input: (usage.promptTokenCount ?? 0) + (usage.toolUsePromptTokenCount ?? 0),
      output: (usage.candidatesTokenCount ?? 0) + thoughts,
      cached: usage.cachedContentTokenCount,
      reasoning: thoughts,
    })
  }
  const candidate = chunk.candidates?.[0]
  for (const part of candidate?.content?.parts ?? []) {
    if (part.functionCall) {
      const { id, name, args } = part.functionCall
      builder.toolCall(id, name, args ?? {}, part.thoughtSignature)
    } else if (part.thought) builder.reasoning(part.text ?? '')
    else builder.text(part.text ?? '')
  }
  if (!candidate?.finishReason) return false
  builder.stopped(candidate.finishReason, candidate.finishMessage)
  return true
}

function contentsOf({ conversation, names, model }: Translation): unknown[] {
  const contents: { role: string; parts: unknown[] }[] = []
  const generation = Number(/^gemini-(\d+)/.exec(model)?.[1] ?? 0)
  const called = new Map<string, string>()
  for (const { role, parts } of conversation.turns) {
    const wireRole = role === 'assistant' ? 'model' : 'user'
    let first = true
    const wireParts = parts.flatMap((part): unknown[] => {
      switch (part.type) {
        case 'text':
          return [{ text: part.text }]
        case 'image':
          return [image(part)]
        case 'toolCall': {
          called.set(part.callId, names.name(part.id))
          const signature = part.signature ?? (first && generation >= 3 ? FOREIGN_CALL : undefined)
          first = false
          return [
            {
              functionCall: { name: names.name(part.id), args: part.arguments },
              ...(signature === undefined ? {} : { thoughtSignature: signature }),
            },
          ]
        }
        case 'toolResult':
          return [{ functionResponse: { name: called.get(part.callId), response: resultOf(part) } }]
        default:
          return []
      }
    })
    // A result holds data; images beside it follow the results.
    wireParts.push(...parts.flatMap((part) => (part.type === 'toolResult' ? resultImages(part).map(image) : [])))
    const last = contents.at(-1)
    if (last?.role === wireRole) last.parts.push(...wireParts)
    else if (wireParts.length > 0) contents.push({ role: wireRole, parts: wireParts })
  }
  return contents
}

function resultOf(part: Part & { type: 'toolResult' }): Record<string, unknown> {
  const text = resultText({ ...part, isError: false })
  return part.isError ? { error: text } : { output: text }
}

function image({ mediaType, data, url }: ImagePart): unknown {
  return url === undefined
    ? { inlineData: { mimeType: mediaType, data } }
    : { fileData: { mimeType: mediaType, fileUri: url } }
}

function toolConfig({ input, names }: Translation): unknown {
  const { toolChoice: choice } = input
  if (typeof choice === 'object') {
    return { functionCallingConfig: { mode: 'ANY', allowedFunctionNames: [names.name(choice.id)] } }
  }
  const modes = { auto: 'AUTO', none: 'NONE', required: 'ANY' }
  return { functionCallingConfig: { mode: modes[choice ?? 'auto'] } }
}

function generationConfig(translation: Translation): Record<string, unknown> {
  const { input, model } = translation
  const { temperature, topP } = sampling(translation)
  const config = {
    ...(input.maxTokens === undefined ? {} : { maxOutputTokens: input.maxTokens }),
    ...(temperature === undefined ? {} : { temperature }),
    ...(topP === undefined ? {} : { topP }),
    ...(input.stop === undefined ? {} : { stopSequences: input.stop }),
    ...(input.responseFormat?.type === 'json' ? { responseMimeType: 'application/json' } : {}),
    ...(input.responseFormat?.type === 'json' && input.responseFormat.schema
      ? { responseJsonSchema: input.responseFormat.schema }
      : {}),
    ...(input.reasoning === undefined ? {} : { thinkingConfig: thinkingConfig(model, input.reasoning) }),
  }
  return Object.keys(config).length === 0 ? {} : { generationConfig: config }
}

function thinkingConfig(model: string, effort: 'low' | 'medium' | 'high'): unknown {
  return /^gemini-[12]\b/.test(model)
    ? { thinkingBudget: THINKING_BUDGET[effort], includeThoughts: true }
    : { thinkingLevel: effort, includeThoughts: true }
}
