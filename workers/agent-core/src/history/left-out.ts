import type { ImagePart, Message, Part, TextPart, ToolCallPart, ToolResultPart } from '@agentos/contracts/message'
import { charactersIn, tokensIn, tokensOf } from './token-estimate.ts'

/** What is told of what is left out: so many questions or calls, the newest, and so much of each. */
const MOST_SHOWN = 3
const SHOWN_CHARS = 60
const GAP = '\n[AgentOS: a part of this is left out here, because it is long]\n'
const EARLIER = /^\[AgentOS: (\d+) earlier messages?\b/

/** Stands before the first message that is left. */
export function earlierNote(count: number, leftOut: readonly Message[]): string {
  const questions = leftOut.filter(({ role }) => role === 'user').map((message) => `"${beginning(textOf(message))}"`)
  const shown = questions.slice(-MOST_SHOWN)
  const asked = shown.length === 0 ? '' : ` The last of the user's messages among them began: ${shown.join('; ')}.`
  const what =
    count === 1 ? '1 earlier message of this conversation is' : `${count} earlier messages of this conversation are`
  return `[AgentOS: ${what} left out here, because it is long.${asked} Say so, or look it up, where it matters.]`
}

/** Stands behind the question whose rounds were shortened; `rounds` hold calls and their results. */
export function callsNote(rounds: readonly Message[]): string {
  const calls = rounds.flatMap((message) =>
    partsOf(message).flatMap((part) => (part.type === 'toolCall' ? [part] : [])),
  )
  const shown = calls.slice(-MOST_SHOWN).map((call) => beginning(`${call.id} ${JSON.stringify(call.arguments)}`))
  const what =
    calls.length === 1 ? '1 function call that followed is' : `${calls.length} function calls that followed are`
  return `[AgentOS: ${what} left out with what came of it, because it is long. The last: ${shown.join('; ')}.]`
}

/** The messages of a turn with notes around its question. */
export function withNotes(
  messages: readonly Message[],
  before: string | undefined,
  after: string | undefined,
): Message[] {
  if (before === undefined && after === undefined) return [...messages]
  const [question] = messages
  const isQuestion = question?.role === 'user'
  const said = isQuestion && typeof question.content === 'string' ? [text(question.content)] : partsOf(question)
  const content: Part[] = [
    ...(before ? [text(before)] : []),
    ...(isQuestion ? said : []),
    ...(after ? [text(after)] : []),
  ]
  return [{ role: 'user', content }, ...messages.slice(isQuestion ? 1 : 0)]
}

/** The messages without the note that stands before the first, and how many it tells of. */
export function withoutNote(messages: readonly Message[]): { messages: Message[]; earlier: number } {
  const [first, ...others] = messages
  const [note, ...parts] = partsOf(first)
  const count = first?.role === 'user' && note?.type === 'text' ? EARLIER.exec(note.text)?.[1] : undefined
  if (count === undefined) return { messages: [...messages], earlier: 0 }
  return { messages: parts.length > 0 ? [{ role: 'user', content: parts }, ...others] : others, earlier: Number(count) }
}

/** The message with at most about so many tokens in each of its texts and results; calls stay as they are. */
export function shortened(message: Message, tokens: number): Message {
  if (tokensOf(message) <= tokens) return message
  if (typeof message.content === 'string') return { ...message, content: cut(message.content, tokens) }
  const parts = message.content.filter(({ type }) => type !== 'reasoning')
  if (parts.length === 0) return message
  return {
    ...message,
    content: parts.map((part) => (part.type === 'toolResult' ? result(part, tokens) : plain(part, tokens))),
  }
}

/** The message with about so many tokens in all of its calls at most: what of their arguments is too long is cut. */
export function withShortCalls(message: Message, tokens: number): Message {
  const parts = partsOf(message)
  const each = tokens / Math.max(1, parts.filter(({ type }) => type === 'toolCall').length)
  if (parts.every((part) => part.type !== 'toolCall' || isShort(part, each))) return message
  return {
    ...message,
    content: parts.map((part) => (part.type === 'toolCall' ? withShortArguments(part, each) : part)),
  }
}

function withShortArguments(call: ToolCallPart, tokens: number): ToolCallPart {
  if (isShort(call, tokens)) return call
  const { argumentsText, ...rest } = call
  const inPlace = { ...rest, arguments: cutTexts(call.arguments, tokens / 4) as Record<string, unknown> }
  if (isShort(inPlace, tokens)) return inPlace
  // It is cut as JSON that becomes a text in JSON once more.
  return { ...rest, arguments: { begins: cut(JSON.stringify(call.arguments), tokens / 2) } }
}

function isShort(call: ToolCallPart, tokens: number): boolean {
  return tokensIn(JSON.stringify(call)) <= tokens
}

function cutTexts(value: unknown, tokens: number): unknown {
  if (typeof value === 'string') return cut(value, tokens)
  if (Array.isArray(value)) return value.map((one) => cutTexts(one, tokens))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, cutTexts(one, tokens)]))
}

function result(part: ToolResultPart, tokens: number): ToolResultPart {
  const { content } = part
  return {
    ...part,
    content: typeof content === 'string' ? cut(content, tokens) : content.map((one) => plain(one, tokens)),
  }
}

function plain(part: TextPart | ImagePart, tokens: number): TextPart
function plain(part: Part, tokens: number): Part
function plain(part: Part, tokens: number): Part {
  if (part.type === 'image') return text('[AgentOS: an image is left out here]')
  if (part.type === 'file') return text('[AgentOS: a file is left out here]')
  return part.type === 'text' ? text(cut(part.text, tokens)) : part
}

/** Beginning and end of a text that is longer. How much is gone is not told: it may be cut once more. */
function cut(whole: string, tokens: number): string {
  if (tokensIn(whole) <= tokens) return whole
  const kept = charactersIn(whole, Math.max(0, tokens - tokensIn(GAP)))
  const head = whole.slice(0, Math.ceil((kept * 2) / 3)).replace(/[\uD800-\uDBFF]$/, '')
  const tail = whole.slice(whole.length - Math.floor(kept / 3)).replace(/^[\uDC00-\uDFFF]/, '')
  return `${head}${GAP}${tail}`
}

function beginning(whole: string): string {
  const line = whole.replace(/\s+/g, ' ').trim()
  return line.length > SHOWN_CHARS ? `${line.slice(0, SHOWN_CHARS).replace(/[\uD800-\uDBFF]$/, '')}…` : line
}

function textOf(message: Message): string {
  if (typeof message.content === 'string') return message.content
  return message.content.map((part) => (part.type === 'text' ? part.text : '')).join(' ')
}

function partsOf(message: Message | undefined): readonly Part[] {
  return message === undefined || typeof message.content === 'string' ? [] : message.content
}

function text(content: string): TextPart {
  return { type: 'text', text: content }
}
