import type { SessionInfo, SessionSummary, TranscriptMessage } from '@agentos/contracts/memory'
import type { Message } from '@agentos/contracts/message'
import type { StateWrite } from '@agentos/sdk'
import type { KnownHead } from './known-heads.ts'
import { sequenceKey, sessionScope, transcriptScope } from './scopes.ts'
import type { Space } from './spaces.ts'
import { entriesOf, isConflict } from './truth.ts'

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

/** What is written to the state in one call; an engine takes 100 values, and by default frames of 16 MiB. */
const MOST_IN_LOAD = 50
const LOAD_BYTES = 1024 * 1024
const RECENT = 20
/** Archived ranges that a head names; past them the oldest two become one. */
const MOST_ARCHIVED = 200
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

/**
 * The archived ranges with one more. A summary builds on the one before: where two ranges become one, the later stands for
 * both, and `replaced` is the memory of the other.
 */
export function withArchived(
  archive: readonly Archived[],
  range: Archived,
): { archive: Archived[]; replaced?: string } {
  const all = [...archive, range]
  const [first, second, ...rest] = all
  if (all.length <= MOST_ARCHIVED || !first || !second) return { archive: all }
  const summaryId = second.summaryId ?? first.summaryId
  const joined = { from: first.from, through: second.through, ...(summaryId === undefined ? {} : { summaryId }) }
  const isReplaced = first.summaryId !== undefined && first.summaryId !== summaryId
  return { archive: [joined, ...rest], ...(isReplaced ? { replaced: first.summaryId! } : {}) }
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
export async function readHead({ caller: { state }, agentId, heads }: Space, sessionId: string): Promise<KnownHead> {
  const entry = await state.getWithVersion<SessionHead>(sessionScope(agentId), sessionId)
  const known = { head: entry?.value, version: entry?.version ?? 0 }
  heads.set(sessionId, known)
  return known
}

export async function writeHead(space: Space, head: SessionHead, version: number): Promise<void> {
  const { sessionId } = head
  space.heads.forget(sessionId)
  const written = await space.caller.state.set(sessionScope(space.agentId), sessionId, head, {
    expectedVersion: version,
  })
  space.heads.set(sessionId, { head, version: written.version })
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

/**
 * Writes messages and then the head over them, against the head that was seen last, in one call with what is to be written
 * `before` and `behind` them. False where that head is not known, or is old: then only some of the first were written, and
 * nobody sees them.
 */
export async function extendKnown(
  space: Space,
  head: SessionHead,
  messages: readonly TranscriptMessage[],
  { before, behind }: { before: StateWrite[]; behind: StateWrite[] },
): Promise<boolean> {
  const { agentId, heads, caller } = space
  const { sessionId } = head
  const version = heads.get(sessionId)?.version
  heads.forget(sessionId)
  if (version === undefined) return false
  const scope = transcriptScope(agentId, sessionId)
  try {
    const versions = await caller.state.writeInOrder([
      ...before,
      // An old head would have them replace what others wrote there since.
      ...messages.map((value) => ({ scope, key: sequenceKey(value.sequence), value, expectedVersion: 0 })),
      { scope: sessionScope(agentId), key: sessionId, value: head, expectedVersion: version },
      ...behind,
    ])
    heads.set(sessionId, { head, version: versions[before.length + messages.length]! })
    return true
  } catch (error) {
    if (isConflict(error)) return false
    throw error
  }
}

/**
 * Writes messages above the head's sequence, where nobody sees them until the head has moved on: one call and one commit for
 * as many as go together, in order, so that what was written when it breaks off are the first.
 */
export async function writeMessages(
  { caller: { state }, agentId }: Space,
  sessionId: string,
  messages: readonly TranscriptMessage[],
): Promise<void> {
  const scope = transcriptScope(agentId, sessionId)
  for (const together of inLoads(messages)) {
    await state.writeAtomically(together.map((value) => ({ scope, key: sequenceKey(value.sequence), value })))
  }
}

/** Messages in the order given, as many together as one call to the state takes; one that is larger goes alone. */
export function inLoads<M extends Message>(messages: readonly M[]): M[][] {
  const loads: M[][] = []
  let bytes = 0
  for (const message of messages) {
    const size = Buffer.byteLength(JSON.stringify(message))
    const load = loads.at(-1)
    if (load && load.length < MOST_IN_LOAD && bytes + size <= LOAD_BYTES) {
      load.push(message)
      bytes += size
    } else {
      loads.push([message])
      bytes = size
    }
  }
  return loads
}
