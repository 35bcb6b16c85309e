import * as z from 'zod'

export const TextPart = () => z.strictObject({ type: z.literal('text'), text: z.string() })

/**
 * Either `data` (base64) or `url` (https); `mediaType` such as `image/png`. `detail`: how closely the model looks, where
 * its provider lets that be said; absent is `auto`.
 */
export const ImagePart = () =>
  z.strictObject({
    type: z.literal('image'),
    mediaType: z.string(),
    data: z.string().optional(),
    url: z.string().optional(),
    detail: z.enum(['auto', 'low', 'high', 'original']).optional(),
  })

/** A document such as a PDF, in base64. */
export const FilePart = () =>
  z.strictObject({
    type: z.literal('file'),
    mediaType: z.string().min(1),
    data: z.string().min(1),
    name: z.string().max(255).optional(),
  })

/** Why a model's tool call cannot be run as it stands; answer it with a tool result that has `isError`. */
export const ToolCallProblem = () =>
  z.strictObject({
    /** `invalid_json`: the arguments do not parse to an object. `unknown_tool`: no tool of that name was offered. */
    code: z.enum(['invalid_json', 'unknown_tool']),
    /** A sentence that can be shown to the model. */
    message: z.string(),
    /** The arguments as the model wrote them; of an answer at most 2,000 characters. */
    raw: z.string(),
  })

/** `id` is the function's own id (`memory::search`); `callId` pairs the call with its result. */
export const ToolCall = () =>
  z.strictObject({
    callId: z.string().min(1),
    id: z.string().min(1),
    arguments: z.record(z.string(), z.unknown()),
    /**
     * The arguments as the model wrote them, where `arguments` printed is another text: broken, spaced otherwise, with a
     * number that has more digits than `arguments` can hold, or with a key `__proto__`, which schemas drop. This is what
     * goes to a client, and back to the model.
     */
    argumentsText: z.string().optional(),
    problem: ToolCallProblem().optional(),
    /** Opaque; some providers want it back with the call. Keep it as it is. */
    signature: z.string().optional(),
  })

/** `argumentsText` of a call whose arguments, parsed from `text`, are `args`; undefined where they say it themselves. */
export function argumentsTextOf(text: string, args: Record<string, unknown>): string | undefined {
  if (text.trim() === '') return undefined
  return text === JSON.stringify(args) && !text.includes('"__proto__"') ? undefined : text
}

export const ToolCallPart = () => ToolCall().extend({ type: z.literal('toolCall') })

/** Content is text (JSON as text, where the function answered with an object) or text and images. */
export const ToolResultPart = () =>
  z.strictObject({
    type: z.literal('toolResult'),
    callId: z.string().min(1),
    id: z.string().optional(),
    content: z.union([z.string(), z.array(z.union([TextPart(), ImagePart()]))]),
    isError: z.boolean().optional(),
  })

/** What a model thought. Keep it in the history as it is: it is sent back where its provider wants it, and nowhere else. */
export const ReasoningPart = () =>
  z.strictObject({
    type: z.literal('reasoning'),
    text: z.string(),
    /** Opaque proof or encrypted content of the provider. */
    signature: z.string().optional(),
    /** The wire format that the signature belongs to. */
    origin: z.string().optional(),
    /** The text is hidden and only `signature` counts. */
    redacted: z.boolean().optional(),
  })

export const Part = () =>
  z.discriminatedUnion('type', [TextPart(), ImagePart(), FilePart(), ToolCallPart(), ToolResultPart(), ReasoningPart()])

/**
 * System holds text; user text, images and files; assistant text, reasoning and tool calls; tool only tool results, each
 * for a call of an earlier assistant message.
 */
export const Message = () =>
  z.strictObject({
    role: z.enum(['system', 'user', 'assistant', 'tool']),
    content: z.union([z.string(), z.array(Part())]),
    /** Who speaks, where several are the user or the assistant; only OpenAI's chat format has it, others refuse it. */
    name: z.string().min(1).optional(),
  })

export type Part = z.output<ReturnType<typeof Part>>
export type TextPart = z.output<ReturnType<typeof TextPart>>
export type ImagePart = z.output<ReturnType<typeof ImagePart>>
export type FilePart = z.output<ReturnType<typeof FilePart>>
export type ToolCall = z.output<ReturnType<typeof ToolCall>>
export type ToolCallPart = z.output<ReturnType<typeof ToolCallPart>>
export type ToolCallProblem = z.output<ReturnType<typeof ToolCallProblem>>
export type ToolResultPart = z.output<ReturnType<typeof ToolResultPart>>
export type ReasoningPart = z.output<ReturnType<typeof ReasoningPart>>
export type Message = z.output<ReturnType<typeof Message>>
