import type { RepairStats, TranscriptMessage } from '@agentos/contracts/memory'
import type { Part } from '@agentos/contracts/message'
import { chunk } from './chunking.ts'

const OVERSIZED = 500_000
/** Code points of a piece of an oversized text: at four bytes each it is not over the limit. */
const PIECE = 125_000
/** Joined neighbours stay below the size of a piece, so that repairing again does not undo a split. */
const MOST_JOINED = 100_000

const NO_RESULT = 'No result was recorded: the call was interrupted.'

export interface Repair {
  messages: TranscriptMessage[]
  stats: RepairStats
}

/** The messages as they should be, and what was wrong. `newId` names what is added. */
export function repaired(messages: readonly TranscriptMessage[], newId: () => string): Repair {
  const stats: RepairStats = {
    emptyRemoved: 0,
    duplicatesRemoved: 0,
    consecutiveMerged: 0,
    orphanedRefs: 0,
    reordered: 0,
    oversizedDetected: 0,
    callsAnswered: 0,
    sharedCallIds: 0,
  }
  let list = withoutEmpty(messages, stats)
  list = withoutDuplicates(list, stats)
  list = withPairs(list, stats, newId)
  list = joined(list, stats)
  list = inOrder(list, stats)
  list = split(list, stats, newId)
  return { messages: list, stats }
}

function withoutEmpty(messages: readonly TranscriptMessage[], stats: RepairStats): TranscriptMessage[] {
  return messages.filter(({ id, content }) => {
    const isEmpty =
      id === '' ||
      (typeof content === 'string'
        ? content.trim() === ''
        : content.every((part) => part.type === 'text' && part.text.trim() === ''))
    if (isEmpty) stats.emptyRemoved++
    return !isEmpty
  })
}

function withoutDuplicates(messages: readonly TranscriptMessage[], stats: RepairStats): TranscriptMessage[] {
  const seen = new Set<string>()
  return messages.filter(({ id }) => {
    if (seen.has(id)) stats.duplicatesRemoved++
    const isNew = !seen.has(id)
    seen.add(id)
    return isNew
  })
}

interface OpenCall {
  /** The function's id. */
  id: string
  /** As the transcript has it; calls of one answer may share it. */
  given: string
  callId: string
}

/**
 * Every tool result follows the call that it answers, and every call has a result before the talk goes on. Of calls that
 * share an id the later ones get another, and so do the results that stand in their places.
 */
function withPairs(messages: readonly TranscriptMessage[], stats: RepairStats, newId: () => string) {
  const list: TranscriptMessage[] = []
  let open: OpenCall[] = []
  const answerOpen = (after: TranscriptMessage) => {
    if (open.length === 0) return
    const content = open.map(({ callId, id }) => ({
      type: 'toolResult' as const,
      callId,
      id,
      content: NO_RESULT,
      isError: true,
    }))
    stats.callsAnswered += open.length
    open = []
    list.push({ id: newId(), sequence: after.sequence, timestamp: after.timestamp, role: 'tool', content })
  }
  for (const message of messages) {
    if (message.role !== 'tool' && list.length > 0) answerOpen(list.at(-1)!)
    if (typeof message.content === 'string') {
      if (message.role === 'tool') stats.orphanedRefs++
      else list.push(message)
      continue
    }
    if (message.role !== 'tool') {
      const calls = callsOf(message.content)
      stats.sharedCallIds += calls.filter(({ given, callId }) => given !== callId).length
      open = [...calls]
      list.push(calls.every(({ given, callId }) => given === callId) ? message : renamed(message, calls))
      continue
    }
    const kept = message.content.flatMap((part) => {
      const at = part.type === 'toolResult' ? open.findIndex(({ given }) => given === part.callId) : -1
      const [call] = at < 0 ? [] : open.splice(at, 1)
      return call ? [{ ...part, callId: call.callId }] : []
    })
    stats.orphanedRefs += Math.max(1, message.content.length) - kept.length
    if (kept.length > 0) list.push({ ...message, content: kept })
  }
  if (list.length > 0) answerOpen(list.at(-1)!)
  return list
}

function callsOf(parts: readonly Part[]): OpenCall[] {
  const calls = parts.filter((part) => part.type === 'toolCall')
  const used = new Set(calls.map(({ callId }) => callId))
  const seen = new Set<string>()
  return calls.map(({ id, callId: given }) => {
    let callId = given
    for (let count = 2; seen.has(given) && used.has(callId); count++) callId = `${given}_${count}`
    seen.add(given)
    used.add(callId)
    return { id, given, callId }
  })
}

function renamed(message: TranscriptMessage, calls: readonly OpenCall[]): TranscriptMessage {
  if (typeof message.content === 'string') return message
  let at = 0
  const content = message.content.map((part) =>
    part.type === 'toolCall' ? { ...part, callId: calls[at++]!.callId } : part,
  )
  return { ...message, content }
}

/** Neighbours of one role become one message with the text of both. System messages and tool results stay apart. */
function joined(messages: readonly TranscriptMessage[], stats: RepairStats): TranscriptMessage[] {
  const list: TranscriptMessage[] = []
  for (const message of messages) {
    const before = list.at(-1)
    if (!before || !joinable(before, message)) {
      list.push(message)
      continue
    }
    list[list.length - 1] = { ...before, content: joinedContent(before.content, message.content) }
    stats.consecutiveMerged++
  }
  return list
}

function joinable(a: TranscriptMessage, b: TranscriptMessage): boolean {
  if (a.role !== b.role || a.role === 'system' || a.role === 'tool') return false
  return sizeOf(a) + sizeOf(b) <= MOST_JOINED
}

function joinedContent(a: TranscriptMessage['content'], b: TranscriptMessage['content']): TranscriptMessage['content'] {
  if (typeof a === 'string' && typeof b === 'string') return `${a}\n\n${b}`
  return [a, b].flatMap((content) =>
    typeof content === 'string' ? [{ type: 'text' as const, text: content }] : content,
  )
}

function inOrder(messages: readonly TranscriptMessage[], stats: RepairStats): TranscriptMessage[] {
  let last = Number.NEGATIVE_INFINITY
  return messages.map((message) => {
    const isEarly = message.timestamp < last
    if (isEarly) stats.reordered++
    last = isEarly ? last + 1 : message.timestamp
    return isEarly ? { ...message, timestamp: last } : message
  })
}

/** An oversized text becomes several messages of the same role. What is not text cannot be cut and stays. */
function split(messages: readonly TranscriptMessage[], stats: RepairStats, newId: () => string): TranscriptMessage[] {
  return messages.flatMap((message) => {
    const { content } = message
    if (typeof content !== 'string' || sizeOf(message) <= OVERSIZED) return [message]
    stats.oversizedDetected++
    return chunk(content, PIECE).map((text, i) => ({ ...message, id: i === 0 ? message.id : newId(), content: text }))
  })
}

function sizeOf({ content }: TranscriptMessage): number {
  return Buffer.byteLength(typeof content === 'string' ? content : JSON.stringify(content))
}

export function findings(stats: RepairStats): number {
  return Object.values(stats).reduce((sum, count) => sum + count, 0)
}
