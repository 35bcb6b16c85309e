import type { FilePart, ImagePart, Part, Reasoning, StreamFrame } from '@agentos/contracts/llm-router'
import type { Answer, AnswerBuilder } from '../answer.ts'
import { objectsOf } from '../answer.ts'
import { validTurns } from '../history.ts'
import {
  argumentsObject,
  ContentRefused,
  cannotSay,
  describedSchema,
  type Format,
  ProviderFailure,
  refuse,
  resultImages,
  resultText,
  type StreamReader,
  said,
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
  usageMetadata?: unknown
  error?: unknown
}

/** Of models before the third generation, in tokens; the later ones have levels. */
const THINKING_BUDGET: Partial<Record<Reasoning, number>> = {
  none: 0,
  minimal: 512,
  low: 1_024,
  medium: 8_192,
  high: 24_576,
}
const THINKING_LEVELS: readonly Reasoning[] = ['minimal', 'low', 'medium', 'high']
const RESOLUTION = { low: 'MEDIA_RESOLUTION_LOW', high: 'MEDIA_RESOLUTION_HIGH' }

/** Google's value for calls that another model made, which therefore carry no signature of its own. */
const FOREIGN_CALL = 'skip_thought_signature_validator'

/** Google's generateContent. */
export const gemini: Format = {
  request(translation, stream) {
    const { input, model, names, conversation } = translation
    refuse(translation, "Gemini's API", ['parallelToolCalls', 'verbosity'])
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
              ...toolConfig(translation),
            }),
        ...generationConfig(translation),
      },
    }
  },

  auth: (key) => (key === undefined ? {} : { 'x-goog-api-key': key }),

  answer(body, translation, exact) {
    const chunk = body as WireChunk
    const builder = translation.builder()
    return addChunk(builder, chunk, exact) ? builder.finish() : undefined
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

  event(event: Record<string, unknown>, exact: () => unknown): void {
    if (addChunk(this.builder, event as WireChunk, exact)) this.finished = true
  }

  done(): void {}

  finish(): Answer | undefined {
    return this.finished ? this.builder.finish() : undefined
  }
}

/** Returns whether the answer has come to its end. */
function addChunk(builder: AnswerBuilder, chunk: WireChunk, exact: () => unknown): boolean {
  if (chunk.error) throw new ProviderFailure(chunk)
  const { blockReason, blockReasonMessage } = chunk.promptFeedback ?? {}
  if (blockReason) throw new ContentRefused(blockReasonMessage ?? `the prompt was blocked: ${blockReason}`)
  builder.counted(chunk.usageMetadata)
  const candidate = chunk.candidates?.[0]
  let parts = objectsOf(candidate?.content?.parts)
  if (parts.some(({ functionCall }) => functionCall))
    parts = objectsOf((exact() as typeof chunk).candidates?.[0]?.content?.parts)
  for (const part of parts) {
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
  const turns = validTurns(conversation.turns, { takes: () => false, userFirst: true, last: 'user' })
  for (const { role, parts } of turns) {
    const wireRole = role === 'assistant' ? 'model' : 'user'
    let first = true
    const wireParts = parts.flatMap((part): unknown[] => {
      switch (part.type) {
        case 'text':
          return [{ text: part.text }]
        case 'image':
          return [image(part)]
        case 'file':
          return [fileOf(part)]
        case 'toolCall': {
          called.set(part.callId, names.name(part.id))
          const signature = part.signature ?? (first && generation >= 3 ? FOREIGN_CALL : undefined)
          first = false
          return [
            {
              functionCall: { name: names.name(part.id), args: argumentsObject(part) },
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

function fileOf({ mediaType, data }: FilePart): unknown {
  if (mediaType !== 'application/pdf' && !mediaType.startsWith('text/')) {
    throw cannotSay('file', `Gemini's API reads PDF and text here, not ${mediaType}; send its content as text`)
  }
  return { inlineData: { mimeType: mediaType, data } }
}

function toolConfig({ input, names }: Translation): { toolConfig?: object } {
  const { toolChoice: choice } = input
  if (typeof choice === 'object') {
    const functionCallingConfig = { mode: 'ANY', allowedFunctionNames: [names.name(choice.id)] }
    return { toolConfig: { functionCallingConfig } }
  }
  const strict = input.tools?.some((tool) => tool.strict)
  if (choice === undefined && !strict) return {}
  // The schema counts where a call is forced, and elsewhere in this mode.
  const modes = { auto: strict ? 'VALIDATED' : 'AUTO', none: 'NONE', required: 'ANY' }
  return { toolConfig: { functionCallingConfig: { mode: modes[choice ?? 'auto'] } } }
}

function generationConfig(translation: Translation): Record<string, unknown> {
  const { input, model } = translation
  const { temperature, topP } = sampling(translation)
  const frequencyPenalty = said(translation, 'frequencyPenalty')
  const presencePenalty = said(translation, 'presencePenalty')
  const mediaResolution = resolutionOf(translation)
  const schema = input.responseFormat && describedSchema(input.responseFormat)
  const config = {
    ...(input.maxTokens === undefined ? {} : { maxOutputTokens: input.maxTokens }),
    ...(temperature === undefined ? {} : { temperature }),
    ...(topP === undefined ? {} : { topP }),
    ...(input.stop === undefined ? {} : { stopSequences: input.stop }),
    ...(input.seed === undefined ? {} : { seed: input.seed }),
    ...(frequencyPenalty === undefined ? {} : { frequencyPenalty }),
    ...(presencePenalty === undefined ? {} : { presencePenalty }),
    ...(mediaResolution === undefined ? {} : { mediaResolution }),
    ...(input.responseFormat?.type === 'json' ? { responseMimeType: 'application/json' } : {}),
    ...(input.responseFormat?.type === 'json' && schema ? { responseJsonSchema: schema } : {}),
    ...(input.reasoning === undefined ? {} : { thinkingConfig: thinkingConfig(model, input.reasoning) }),
  }
  return Object.keys(config).length === 0 ? {} : { generationConfig: config }
}

/** One for all images: the API has none for each. */
function resolutionOf({ conversation }: Translation): string | undefined {
  const images = conversation.turns.flatMap(({ parts }) =>
    parts.flatMap((part) => (part.type === 'image' ? [part] : part.type === 'toolResult' ? resultImages(part) : [])),
  )
  const [detail, ...others] = new Set(images.map((part) => part.detail ?? 'auto'))
  if (others.length > 0) {
    throw cannotSay('detail', "Gemini's API has one detail for all images of a request; send the same for each")
  }
  if (detail === undefined || detail === 'auto') return undefined
  if (detail === 'original') throw cannotSay('detail', "Gemini's API has no detail `original`; send `high`")
  return RESOLUTION[detail]
}

function thinkingConfig(model: string, effort: Reasoning): unknown {
  if (!/^gemini-[12]\b/.test(model)) {
    if (THINKING_LEVELS.includes(effort)) return { thinkingLevel: effort, includeThoughts: true }
    throw cannotSay('reasoning', `${model} thinks ${THINKING_LEVELS.join(', ')}, not ${effort}`)
  }
  const thinkingBudget = THINKING_BUDGET[effort]
  if (thinkingBudget === undefined) {
    throw cannotSay('reasoning', `${model} thinks ${Object.keys(THINKING_BUDGET).join(', ')}, not ${effort}`)
  }
  return { thinkingBudget, includeThoughts: thinkingBudget > 0 }
}
