import type {
  purgeAgent,
  SessionInfo,
  sessionAppend,
  sessionDelete,
  sessionGet,
  sessionList,
  TranscriptMessage,
} from '@agentos/contracts/memory'
import type { Message } from '@agentos/contracts/message'
import { AgentError, type HandlerContext, mayNameOthers, newId, type OutputOf, type ParsedInputOf } from '@agentos/sdk'
import { graphScope, keyScope, memoryScope, sessionScope, transcriptScope } from './scopes.ts'
import type { Space } from './spaces.ts'
import {
  extended,
  extendKnown,
  inLoads,
  newHead,
  readHead,
  readMessages,
  type SessionHead,
  writeHead,
  writeMessages,
} from './transcript.ts'
import { deleteScope, entriesOf, isConflict } from './truth.ts'

const ATTEMPTS = 8
const MOST_MESSAGES = 10_000

type Appended = OutputOf<typeof sessionAppend>

/** Ids of the messages, and a sequence behind which they are, if anywhere. */
interface AppendPlan {
  ids: string[]
  after: number
}

/** What an agent or a function said is told by the worker that runs agents, and by the owner; a user's words are anybody's. */
export function assertOwnWords(
  { messages }: ParsedInputOf<typeof sessionAppend>,
  ctx: Pick<HandlerContext, 'principal' | 'caller'>,
): void {
  const words = messages.find(({ role }) => role !== 'user')
  if (!words || mayNameOthers(ctx)) return
  const message = `Messages of the role ${words.role} are an agent's, and only the worker that runs agents and the owner append them; append those of the role user`
  throw new AgentError('forbidden', message, { details: { role: words.role } })
}

/** All messages or none: they count from the moment the head covers them. */
export function appendMessages(input: ParsedInputOf<typeof sessionAppend>, space: Space): Promise<Appended> {
  const { sessionId, messages } = input
  return space.exclusive(
    `session ${sessionId}`,
    async () =>
      (await appendAtOnce(input, space)) ??
      (await space.once<AppendPlan, Appended>(input, {
        plan: async () => {
          const { head } = await readHead(space, sessionId)
          return { ids: messages.map(() => newId('msg')), after: head?.sequence ?? 0 }
        },
        carryOut: async (plan, again) => {
          const found = again ? await findAppended(plan, sessionId, space) : undefined
          return found ?? append(input, plan.ids, space)
        },
      })),
  )
}

/**
 * All in one call, against the head that was seen last, which is read where none was. Nothing is appended where that is not the
 * session's any more, or where the messages are too much for one call.
 */
async function appendAtOnce(input: ParsedInputOf<typeof sessionAppend>, space: Space): Promise<Appended | undefined> {
  const { sessionId, messages, expectedSequence } = input
  if (inLoads(messages).length > 1) return undefined
  const known = space.heads.get(sessionId) ?? (await readHead(space, sessionId))
  const now = Date.now()
  const head = known.head ?? newHead(sessionId, space.agentId, now)
  if (expectedSequence !== undefined && expectedSequence !== head.sequence) return undefined
  const ids = messages.map(() => newId('msg'))
  const added = numbered(messages, ids, head, now)
  const next = extended(head, added, now)
  const answer = { sessionId, sequence: next.sequence, messageCount: next.messageCount, ids }
  // What was seen last may be of a session that was deleted since: the messages may be anywhere.
  const plan: AppendPlan = { ids, after: 0 }
  const { begin, end } = space.claim(input, plan, answer)
  return (await extendKnown(space, next, added, { before: begin, behind: end })) ? answer : undefined
}

function numbered(
  messages: readonly Message[],
  ids: readonly string[],
  { sequence }: SessionHead,
  timestamp: number,
): TranscriptMessage[] {
  return messages.map((message, i) => ({ ...message, id: ids[i]!, sequence: sequence + 1 + i, timestamp }))
}

async function append(
  { sessionId, messages, expectedSequence }: ParsedInputOf<typeof sessionAppend>,
  ids: readonly string[],
  space: Space,
): Promise<Appended> {
  for (let attempt = 1; ; attempt++) {
    const { head: stored, version } = await readHead(space, sessionId)
    const now = Date.now()
    const head = stored ?? newHead(sessionId, space.agentId, now)
    if (expectedSequence !== undefined && expectedSequence !== head.sequence) {
      throw new AgentError(
        'version_conflict',
        `The session ${sessionId} is at sequence ${head.sequence}, not ${expectedSequence}; read it again`,
        { details: { sequence: head.sequence } },
      )
    }
    const added = numbered(messages, ids, head, now)
    await writeMessages(space, sessionId, added)
    const next = extended(head, added, now)
    try {
      await writeHead(space, next, version)
    } catch (error) {
      if (!isConflict(error) || attempt === ATTEMPTS) throw error
      continue
    }
    return { sessionId, sequence: next.sequence, messageCount: next.messageCount, ids: [...ids] }
  }
}

/** The answer of the call that had this plan, where its messages are part of the session. */
async function findAppended(
  { ids, after }: AppendPlan,
  sessionId: string,
  space: Space,
): Promise<Appended | undefined> {
  const { head } = await readHead(space, sessionId)
  if (!head) return undefined
  const since = await readMessages(space, sessionId, after + 1, head.sequence)
  const last = since.find(({ id }) => id === ids.at(-1))
  const messageCount = head.messageCount - (head.sequence - (last?.sequence ?? 0))
  return last && { sessionId, sequence: last.sequence, messageCount, ids }
}

export async function getSession(
  { sessionId, limit, archived }: ParsedInputOf<typeof sessionGet>,
  space: Space,
): Promise<OutputOf<typeof sessionGet>> {
  const { head } = await readHead(space, sessionId)
  const { agentId } = space
  if (!head) return { sessionId, agentId, messages: [], messageCount: 0, sequence: 0, archive: [] }
  const first = archived ? 1 : head.first
  const from = Math.max(first, head.sequence + 1 - (limit ?? MOST_MESSAGES))
  return {
    sessionId,
    agentId,
    messages: await readMessages(space, sessionId, from, head.sequence),
    messageCount: head.messageCount,
    sequence: head.sequence,
    archive: head.archive,
    ...(head.summary ? { summary: head.summary } : {}),
  }
}

export async function listSessions(
  { limit }: ParsedInputOf<typeof sessionList>,
  { caller: { state }, agentId }: Space,
): Promise<SessionInfo[]> {
  const sessions: SessionInfo[] = []
  for await (const { value } of entriesOf<SessionHead>(state, sessionScope(agentId))) {
    const { first: _first, summary: _summary, archive: _archive, ...info } = value
    sessions.push(info)
  }
  return sessions.sort((a, b) => b.updatedAt - a.updatedAt).slice(0, limit)
}

/** The head goes last: a session that has none begins at sequence 1, and must not find old messages there. */
export async function deleteSession(
  { sessionId }: ParsedInputOf<typeof sessionDelete>,
  space: Space,
): Promise<OutputOf<typeof sessionDelete>> {
  const { state } = space.caller
  return space.exclusive(`session ${sessionId}`, async () => {
    space.heads.forget(sessionId)
    const messages = await deleteScope(state, transcriptScope(space.agentId, sessionId))
    const head = await state.delete<SessionHead>(sessionScope(space.agentId), sessionId)
    // Who read it meanwhile has put it back.
    space.heads.forget(sessionId)
    const summaries = head?.archive.flatMap(({ summaryId }) => (summaryId ? [summaryId] : [])) ?? []
    for (const id of summaries) await state.delete(memoryScope(space.agentId), id)
    return { deleted: head !== undefined, messages }
  })
}

/** Everything of one agent; again, where a part of it failed. */
export async function purge(space: Space): Promise<OutputOf<typeof purgeAgent>> {
  const { state } = space.caller
  const { agentId } = space
  let sessions = 0
  let messages = 0
  for await (const { key } of entriesOf(state, sessionScope(agentId))) {
    messages += (await deleteSession({ sessionId: key }, space)).messages
    sessions++
  }
  await space.index.syncMemories(space.caller)
  const memories = space.index.memories.all(agentId).length
  await space.exclusive('store', () => deleteScope(state, memoryScope(agentId)))
  const graph = await deleteScope(state, graphScope(agentId))
  await deleteScope(state, keyScope(agentId))
  return { memories, sessions, messages, graph }
}
