import type { get, list, Memory, MemoryHit, recall, search } from '@agentos/contracts/memory'
import { isFirst, type KeyedCall } from '@agentos/keyed'
import { AgentError, type Caller, type OutputOf, type ParsedInputOf } from '@agentos/sdk'
import { diverse } from './diversity.ts'
import { replaceMemory, requireMemory } from './entries.ts'
import type { IndexedMemory } from './index/memories.ts'
import { keyScope } from './scopes.ts'
import { fusedRelevance, lexicalRelevance, recallScore } from './scoring.ts'
import { plainText } from './similarity.ts'
import type { Space } from './spaces.ts'
import { readings } from './terms.ts'

/** Best by BM25 that are scored in full. */
const CANDIDATES = 100
const MOST_TERMS = 32
/** A memory that answers less of the query than this does not answer it, however new and important it is. */
const LEAST_RELEVANCE = 0.1
const LEAST_SCORE = 0.2

export interface Found extends IndexedMemory {
  score: number
}

type Query = ParsedInputOf<typeof search>

/** Best first, 0 to 1, each text once. A query without words to look for finds the newest, by importance and age. */
export async function findMemories(query: Query, space: Space): Promise<Found[]> {
  const hits = (await answersTo(query, space)).map((found) => ({
    found,
    score: found.score,
    terms: new Set(found.terms),
    text: plainText(found.memory.content),
  }))
  return diverse(hits, query.limit).map(({ found }) => found)
}

/** Everything that answers a query well enough, in no order: in its exact reading, else in the next. */
export async function answersTo(query: Query, space: Space): Promise<Found[]> {
  await space.index.syncMemories(space.caller)
  for (const wanted of readings(query.query)) {
    const answers = answersOf(wanted.slice(0, MOST_TERMS), query, space)
    if (answers.length > 0) return answers
  }
  return []
}

function answersOf(wanted: readonly string[], query: Query, { index, agentId }: Space): Found[] {
  const now = Date.now()
  const candidates =
    wanted.length > 0
      ? index.memories.matching(agentId, wanted, query, now, Math.max(CANDIDATES, 2 * query.limit))
      : index.memories.newest(agentId, query, now, Math.max(CANDIDATES, 2 * query.limit))
  const statistics = index.memories.statistics(wanted)
  const leastScore = query.minScore ?? (wanted.length > 0 ? LEAST_SCORE : 0)
  return candidates.flatMap((candidate) => {
    const relevance = fusedRelevance(lexicalRelevance(wanted, candidate.terms, statistics))
    const score = Math.round(recallScore(relevance, candidate.memory, now) * 10_000) / 10_000
    const answers = wanted.length === 0 || relevance >= LEAST_RELEVANCE
    return answers && score >= leastScore ? [{ ...candidate, score }] : []
  })
}

export async function searchMemories(query: Query, space: Space): Promise<MemoryHit[]> {
  return (await findMemories(query, space)).map(({ memory, score }) => ({
    ...hit(memory, score),
    type: memory.type,
    tags: memory.tags,
    sessionId: memory.sessionId,
    importance: memory.importance,
    pinned: memory.pinned,
  }))
}

/** `afterwards` gives what carries the calls that note the use of what was found; that outlives the answer. */
export async function recallMemories(
  query: ParsedInputOf<typeof recall>,
  space: Space,
  afterwards: () => Caller,
  call: KeyedCall,
): Promise<OutputOf<typeof recall>> {
  if (query.limit === 0) return []
  const found = await findMemories({ ...query, minScore: undefined }, space)
  if (found.length > 0) void noteUse(found, query, { ...space, caller: afterwards() }, call)
  return found.map(({ memory, score }) => hit(memory, score))
}

function hit({ id, role, content, timestamp }: Memory, score: number): OutputOf<typeof recall>[number] {
  return { id, role, content, score, timestamp }
}

/** A use that is not counted harms nobody, so a memory that changed meanwhile, or a call that comes again, is left alone. */
async function noteUse(found: readonly Found[], input: unknown, space: Space, call: KeyedCall): Promise<void> {
  const { agentId, caller } = space
  const now = Date.now()
  const note = ({ memory, version }: Found) =>
    replaceMemory(space, { ...memory, accessCount: memory.accessCount + 1, lastAccessed: now }, version)
  try {
    if (!(await isFirst({ state: caller.state, scope: keyScope(agentId), call, input }))) return
    const failed = (await Promise.allSettled(found.map(note))).find(({ status }) => status === 'rejected')
    if (failed) throw (failed as PromiseRejectedResult).reason
  } catch (error) {
    caller.log.debug({ err: error }, 'a use was not counted')
  }
}

export function getMemory({ id }: ParsedInputOf<typeof get>, space: Space): Promise<Memory> {
  return requireMemory(space, id)
}

export async function listMemories(
  input: ParsedInputOf<typeof list>,
  { index, agentId, caller }: Space,
): Promise<OutputOf<typeof list>> {
  await index.syncMemories(caller)
  const now = Date.now()
  const page = index.memories.newest(agentId, input, now, input.limit + 1, placeOf(input.after ?? undefined))
  const memories = page.slice(0, input.limit).map(({ memory }) => memory)
  const last = memories.at(-1)
  return {
    memories,
    total: index.memories.count(agentId, input, now),
    ...(last && page.length > input.limit ? { next: `${last.timestamp}.${last.id}` } : {}),
  }
}

function placeOf(after: string | undefined): { timestamp: number; id: string } | undefined {
  if (after === undefined) return undefined
  const match = /^(\d+)\.(.+)$/.exec(after)
  if (!match) throw new AgentError('invalid_input', '`after` is not a place in the list; pass the `next` of a page')
  return { timestamp: Number(match[1]), id: match[2]! }
}
