import type { SessionInfo, SessionSummary, TranscriptMessage } from '@agentos/contracts/memory'
import type { Message } from '@agentos/contracts/message'
import { inBatches } from './batches.ts'
import { sequenceKey, sessionScope, transcriptScope } from './scopes.ts'
import type { Space } from './spaces.ts'
import { entriesOf } from './truth.ts'

/** A range of sequences that is not part of the session any more, and what stands for it. */
export interface Archived {
  from: number
  through: number
  summaryId?: string
}

/**
 * The head of a session, which says what its transcript is: the messages `first` to `sequence`. Whatever lies outside
 * is archived (below) or was never finished (above), so one compare-and-set of the head moves a whole change in.
 */
export interface SessionHead extends SessionInfo {
  first: number
  summary?: SessionSummary
  archive: Archived[]
}

const RECENT = 20
const TITLE = 80

export function newHead(sessionId: string, agentId: string, now: number): SessionHead {
  return {
    sessionId,
    agentId,
    title: '',
    messages: [],
    messageCount: 0,
    sequence: 0,
    first: 1,
    archive: [],
    createdAt: now,
    updatedAt: now,
  }
}

/** The head with these messages at its end. */
export function extended(head: SessionHead, messages: readonly TranscriptMessage[], now: number): SessionHead {
  return {
    ...head,
    title: head.title || titleOf(messages),
    messages: recentRefs([...head.messages, ...messages]),
    messageCount: head.messageCount + messages.length,
    sequence: head.sequence + messages.length,
    updatedAt: now,
  }
}

/** The newest few, without content. */
export function recentRefs(messages: readonly SessionInfo['messages'][number][]): SessionInfo['messages'] {
  return messages.slice(-RECENT).map(({ id, role, timestamp }) => ({ id, role, timestamp }))
}

function titleOf(messages: readonly Message[]): string {
  const first = messages.find(({ role }) => role === 'user')
  return first ? Array.from(textOf(first).replace(/\s+/g, ' ').trim()).slice(0, TITLE).join('') : ''
}

/** The text of a message; tool calls and results as one line each. */
export function textOf({ content }: Pick<Message, 'content'>): string {
  if (typeof content === 'string') return content
  return content
    .map((part) => {
      if (part.type === 'text') return part.text
      if (part.type === 'toolCall') return `[calls ${part.id} ${JSON.stringify(part.arguments)}]`
      if (part.type === 'toolResult') return `[result ${textOfResult(part.content)}]`
      if (part.type === 'file') return `[file ${part.name ?? part.mediaType}]`
      return part.type === 'image' ? '[image]' : ''
    })
    .filter((text) => text !== '')
    .join('\n')
}

function textOfResult(content: string | readonly { type: string; text?: string }[]): string {
  return typeof content === 'string' ? content : content.map(({ text }) => text ?? '[image]').join('\n')
}

/** The head of a session with the version to write against (0: there is none). */
export async function readHead(
  { caller: { state }, agentId }: Space,
  sessionId: string,
): Promise<{ head: SessionHead | undefined; version: number }> {
  const entry = await state.getWithVersion<SessionHead>(sessionScope(agentId), sessionId)
  return { head: entry?.value, version: entry?.version ?? 0 }
}

export async function writeHead(space: Space, head: SessionHead, version: number): Promise<void> {
  const scope = sessionScope(space.agentId)
  await space.caller.state.set(scope, head.sessionId, head, { expectedVersion: version })
}

/** Messages `from` to `through`, in order. */
export async function readMessages(
  { caller: { state }, agentId }: Space,
  sessionId: string,
  from: number,
  through: number,
): Promise<TranscriptMessage[]> {
  const messages: TranscriptMessage[] = []
  if (through < from) return messages
  const range = { after: sequenceKey(from - 1) }
  for await (const { value } of entriesOf<TranscriptMessage>(state, transcriptScope(agentId, sessionId), range)) {
    if (value.sequence > through) break
    messages.push(value)
  }
  return messages
}

/** Writes messages above the head's sequence, where nobody sees them until the head has moved on. */
export async function writeMessages(
  { caller: { state }, agentId }: Space,
  sessionId: string,
  messages: readonly TranscriptMessage[],
): Promise<void> {
  const scope = transcriptScope(agentId, sessionId)
  await inBatches(messages, (message) => state.set(scope, sequenceKey(message.sequence), message))
}
