import type { RepairStats, TranscriptMessage } from '@agentos/contracts/memory'
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

/** Every tool result follows the call that it answers, and every call has a result before the talk goes on. */
function withPairs(messages: readonly TranscriptMessage[], stats: RepairStats, newId: () => string) {
  const list: TranscriptMessage[] = []
  const open = new Map<string, string>()
  const answerOpen = (after: TranscriptMessage) => {
    if (open.size === 0) return
    const content = [...open].map(([callId, id]) => ({
      type: 'toolResult' as const,
      callId,
      id,
      content: NO_RESULT,
      isError: true,
    }))
    stats.callsAnswered += open.size
    open.clear()
    list.push({ id: newId(), sequence: after.sequence, timestamp: after.timestamp, role: 'tool', content })
  }
  for (const message of messages) {
    if (message.role !== 'tool' && list.length > 0) answerOpen(list.at(-1)!)
    const parts = typeof message.content === 'string' ? [] : message.content
    for (const part of parts) if (part.type === 'toolCall') open.set(part.callId, part.id)
    if (message.role !== 'tool') {
      list.push(message)
      continue
    }
    const kept = parts.filter((part) => part.type === 'toolResult' && open.delete(part.callId))
    stats.orphanedRefs += Math.max(1, parts.length) - kept.length
    if (kept.length > 0) list.push({ ...message, content: kept })
  }
  if (list.length > 0) answerOpen(list.at(-1)!)
  return list
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
