import { setTimeout as delay } from 'node:timers/promises'
import type { Part, StreamFrame } from '@agentos/contracts/llm-router'
import type { Answer } from './answer.ts'
import { isObject } from './answer.ts'
import type { Hold } from './budget.ts'
import { parseExact } from './exact-json.ts'
import { type Format, ProviderFailure, parseEvent, type StreamReader, type Translation } from './formats/format.ts'
import { type ServerEvent, ServerEventReader } from './server-events.ts'
import { saysError } from './upstream-error.ts'

/** How long the end of a body may take after the last event before the connection is given up. */
const END_OF_BODY_MS = 20

/** The body is none of this API, or it ended before its answer did. */
export class NotAnAnswer extends Error {}

const TORN = 'the stream ended in the middle of the answer'
const OF_ANOTHER_API = 'the answer is not one of this API'

/** The answer in a body that came whole: JSON, or events where a server streams without being asked to. */
export function readWhole(format: Format, translation: Translation, text: string): Answer {
  const body = text.replace(/^\uFEFF/, '')
  if (!/^\s*(data|event|id|retry)?:/.test(body)) return answerOf(format, translation, body)
  const reader = format.reader(translation, () => {})
  const events = new ServerEventReader()
  for (const batch of [events.push(Buffer.from(body)), events.end()]) {
    for (const event of batch) feed(reader, event)
  }
  return finished(reader, TORN)
}

/**
 * The answer of a stream, with its frames as they come; all of them are handed on before an error that came behind them.
 * Where the body is JSON after all, its frames come at the end.
 */
export async function readStream(
  format: Format,
  translation: Translation,
  chunks: AsyncGenerator<Buffer, void, undefined>,
  emit: (frame: StreamFrame) => Promise<void>,
  hold: Hold | undefined,
): Promise<Answer> {
  const frames: StreamFrame[] = []
  const seen: StreamFrame[] = []
  const reader = format.reader(translation, (frame) => frames.push(frame))
  const events = new ServerEventReader()
  const handOn = async (count: number) => {
    hold?.meter.count(count, frames)
    for (const frame of frames.splice(0)) {
      if (hold) seen.push(frame)
      await emit(frame)
    }
  }
  const take = async (batch: ServerEvent[]) => {
    try {
      for (const event of batch) feed(reader, event)
    } finally {
      await handOn(batch.length)
    }
  }
  let whole: Buffer[] | undefined
  let isBegun = false
  for await (const chunk of chunks) {
    const first: string | undefined = isBegun ? undefined : firstLetter(chunk)
    isBegun ||= first !== undefined
    if (first === '{' || first === '[') whole = []
    if (whole) {
      whole.push(chunk)
      continue
    }
    await take(events.push(chunk))
    if (!reader.over && hold && !(await hold.meter.goesOn())) return cutOff(seen, hold)
    if (!reader.over) continue
    // The end of the body mostly comes with the last event; reading it keeps the connection for the next request.
    await Promise.race([chunks.next(), delay(END_OF_BODY_MS)])
    break
  }
  if (whole) {
    const text = Buffer.concat(whole).toString('utf8')
    const answer = answerOf(format, translation, text.replace(/^\uFEFF/, ''))
    frames.push(...framesOf(answer.parts))
    await handOn(0)
    return answer
  }
  await take(events.end())
  try {
    return finished(reader, TORN)
  } finally {
    await handOn(0)
  }
}

/**
 * Gives an event to its reader. Empty ones and null keep a connection awake, `[DONE]` ends the stream of some APIs.
 * Throws a `ProviderFailure` where it is an error by its name, or holds nothing but one, whatever the format.
 */
export function feed(reader: StreamReader, { event: name, data }: ServerEvent): void {
  const text = data.trim()
  if (reader.over || text === '' || text === 'null') return
  if (text === '[DONE]') return reader.done()
  if (name === 'error') throw new ProviderFailure(parsedOr(text))
  const event = parseEvent(text)
  const isAnswer = [event.choices, event.candidates].some((list) => Array.isArray(list) && list.length > 0)
  if (!isAnswer && saysError(event)) throw new ProviderFailure(event)
  understood(() => reader.event(event, () => parseExact(text)))
}

function parsedOr(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

function answerOf(format: Format, translation: Translation, text: string): Answer {
  const body: unknown = JSON.parse(text)
  if (isObject(body) && body.error) throw new ProviderFailure(body)
  if (Array.isArray(body)) {
    // Gemini streams so where it is not asked for events.
    if (saysError(body)) throw new ProviderFailure(body)
    const reader = format.reader(translation, () => {})
    for (const chunk of parseExact(text) as unknown[]) feed(reader, { event: '', data: JSON.stringify(chunk) })
    return finished(reader, OF_ANOTHER_API)
  }
  const answer = isObject(body) ? understood(() => format.answer(body, translation, () => parseExact(text))) : undefined
  if (answer) return answer
  if (saysError(body)) throw new ProviderFailure(body)
  throw new NotAnAnswer(OF_ANOTHER_API)
}

function finished(reader: StreamReader, otherwise: string): Answer {
  const answer = reader.finish()
  if (!answer) throw new NotAnAnswer(otherwise)
  return answer
}

/** Formats read what their API promises; what has another shape fails somewhere in the middle. */
function understood<T>(read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (error instanceof TypeError) throw new NotAnAnswer(OF_ANOTHER_API, { cause: error })
    throw error
  }
}

/** Of a body that may begin with a byte order mark and white space; undefined where nothing else has come. */
function firstLetter(chunk: Buffer): string | undefined {
  return /[^\s\u00ef\u00bb\u00bf]/.exec(chunk.toString('latin1'))?.[0]
}

/** As far as the answer has come; leaving the loop closes the connection. */
function cutOff(frames: readonly StreamFrame[], hold: Hold): Answer {
  const parts: Part[] = []
  for (const frame of frames) {
    const last = parts.at(-1)
    if (frame.type === 'usage' || frame.type === 'restart') continue
    if (frame.type !== 'toolCall' && last?.type === frame.type) last.text += frame.text
    else parts.push({ ...frame })
  }
  return { parts, stopReason: 'length', usage: hold.counted, cut: true }
}

function framesOf(parts: readonly Part[]): StreamFrame[] {
  return parts.flatMap((part): StreamFrame[] => {
    if (part.type === 'toolCall') return [part]
    return (part.type === 'text' || part.type === 'reasoning') && part.text !== ''
      ? [{ type: part.type, text: part.text }]
      : []
  })
}
