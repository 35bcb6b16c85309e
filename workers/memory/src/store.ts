import type { Memory, store } from '@agentos/contracts/memory'
import { AgentError, type HandlerContext, newId, type OutputOf, type ParsedInputOf } from '@agentos/sdk'
import { insertMemory, joinedTags, type Marker, newMemory } from './entries.ts'
import { estimateImportance } from './importance.ts'
import { withoutSecrets } from './redaction.ts'
import { memoryScope } from './scopes.ts'
import { contentHash, jaccard } from './similarity.ts'
import type { Space } from './spaces.ts'
import { terms } from './terms.ts'
import { isConflict, revise } from './truth.ts'

/** Rarest terms by which similar memories are looked for, how many are compared, and how many are linked. */
const PROBES = 3
const CANDIDATES = 12
const MOST_LINKS = 5
/** Share of the terms of two memories that makes them similar. */
const SIMILAR = 0.8
const ATTEMPTS = 8

type Stored = OutputOf<typeof store>

/** The memory of the same text, as it was when it was found. */
interface Known {
  id: string
  version: number
}

interface StorePlan {
  /** Of the new memory, where there will be one. */
  id: string
  at: number
  known?: Known
  /** Memories that say something similar, most similar first. */
  similarTo?: string[]
}

/** Stores a text with links to what is similar, or strengthens the memory that has the same text already. */
export async function storeMemory(
  input: ParsedInputOf<typeof store>,
  space: Space,
  ctx: Pick<HandlerContext, 'run' | 'session'>,
): Promise<Stored> {
  const content = withoutSecrets(input.content.trim())
  if (content === '') throw new AgentError('invalid_input', 'There is nothing to remember: give `content` some text')
  const redacted = content !== input.content.trim()
  const memoryOf = ({ id, at, similarTo }: StorePlan): Memory =>
    newMemory({
      id,
      agentId: space.agentId,
      content,
      role: input.role,
      type: input.type,
      tags: [...new Set(input.tags)],
      sessionId: input.sessionId ?? ctx.session ?? null,
      importance: input.importance ?? estimateImportance(content, input.role),
      pinned: input.pinned,
      timestamp: at,
      lastAccessed: at,
      ...(input.ttlMs ? { expiresAt: at + input.ttlMs } : {}),
      ...provenance(input.source ?? undefined, ctx.run),
      ...(redacted ? { redacted } : {}),
      ...(similarTo ? { similarTo } : {}),
    })
  return space.exclusive('store', () =>
    space.once<StorePlan, Stored>(input, {
      plan: () => planStore(space, memoryOf({ id: newId('mem'), at: Date.now() })),
      carryOut: async (plan, again) => {
        const memory = memoryOf(plan)
        const { similarTo } = plan
        const stored: Stored = {
          id: memory.id,
          stored: true,
          ...(redacted ? { redacted } : {}),
          ...(similarTo ? { similarTo } : {}),
        }
        if (again && (await isStored(space, memory.id))) return stored
        const known = plan.known ?? (await claim(space, memory))
        if (known) {
          if (await reinforce(space, known, memory, again)) return { deduplicated: true, id: known.id }
          await takeOver(space, memory)
        }
        // The entry is what counts, so it comes last: a marker without one, left by a crash, is taken over.
        await insertMemory(space, memory)
        return stored
      },
    }),
  )
}

async function planStore(space: Space, memory: Memory): Promise<StorePlan> {
  await space.index.syncMemories(space.caller)
  const { state } = space.caller
  const scope = memoryScope(space.agentId)
  const similar = similarMemories(space, memory)
  // What an older version of this worker stored is claimed under another hash, so the index is asked too.
  const same =
    similar.find((candidate) => hasTextOf(candidate, memory))?.id ?? (await state.get<Marker>(scope, memory.hash))?.id
  const known = same === undefined ? undefined : await state.getWithVersion<Memory>(scope, same)
  const plan: StorePlan = { id: memory.id, at: memory.timestamp }
  if (known && isAlive(known.value) && hasTextOf(known.value, memory)) {
    return { ...plan, known: { id: known.key, version: known.version } }
  }
  const similarTo = similar.slice(0, MOST_LINKS).map(({ id }) => id)
  return similarTo.length > 0 ? { ...plan, similarTo } : plan
}

function hasTextOf(known: Memory, memory: Memory): boolean {
  return contentHash(known.role, known.content) === memory.hash
}

async function isStored({ caller: { state }, agentId }: Space, id: string): Promise<boolean> {
  return (await state.get(memoryScope(agentId), id)) !== undefined
}

function provenance(source: string | undefined, run: string | undefined): Pick<Memory, 'provenance'> {
  if (source === undefined && run === undefined) return {}
  return { provenance: { ...(source === undefined ? {} : { source }), ...(run === undefined ? {} : { run }) } }
}

/** Memories of the same role in nearly the same words, most similar first. */
function similarMemories({ index, agentId }: Space, memory: Memory): Memory[] {
  const wanted = new Set(terms(memory.content))
  const frequency = index.memories.frequencies([...wanted])
  const known = [...wanted].filter((term) => frequency.has(term))
  // With more words that nobody used before there can be none.
  if (known.length === 0 || known.length < wanted.size * SIMILAR) return []
  const probes = known.sort((a, b) => frequency.get(a)! - frequency.get(b)!).slice(0, PROBES)
  return index.memories
    .matching(agentId, probes, { role: memory.role }, Date.now(), CANDIDATES)
    .map((candidate) => ({ memory: candidate.memory, likeness: jaccard(wanted, new Set(candidate.terms)) }))
    .filter(({ likeness }) => likeness >= SIMILAR)
    .sort((a, b) => b.likeness - a.likeness)
    .map((candidate) => candidate.memory)
}

/** Claims the text for this memory with one set-if-absent, or answers whose it has become meanwhile. */
async function claim({ caller: { state }, agentId }: Space, memory: Memory): Promise<Known | undefined> {
  const scope = memoryScope(agentId)
  const mine: Marker = { id: memory.id, timestamp: memory.timestamp }
  try {
    await state.set(scope, memory.hash, mine, { expectedVersion: 0 })
    return undefined
  } catch (error) {
    if (!isConflict(error)) throw error
  }
  const owner = (await state.get<Marker>(scope, memory.hash))?.id
  return owner === undefined || owner === memory.id ? undefined : { id: owner, version: 0 }
}

/**
 * False where the memory is gone, has expired, was replaced or has another text: then this one is stored anew. What is done again where
 * the memory changed since the plan may have been done already: it is merged, which alters nothing, and not counted.
 */
async function reinforce(
  { caller: { state }, agentId }: Space,
  known: Known,
  memory: Memory,
  again: boolean,
): Promise<boolean> {
  const scope = memoryScope(agentId)
  for (let attempt = 1; ; attempt++) {
    const found = await state.getWithVersion<Memory>(scope, known.id)
    if (!found || !isAlive(found.value) || !hasTextOf(found.value, memory)) return false
    const merged = mergedWith(found.value, memory)
    const isCounted = again && found.version !== known.version
    const next = isCounted ? merged : strengthened(merged, memory.timestamp)
    try {
      await state.set(scope, known.id, next, { expectedVersion: found.version })
      return true
    } catch (error) {
      if (!isConflict(error) || attempt === ATTEMPTS) throw error
    }
  }
}

function mergedWith({ expiresAt, ...known }: Memory, again: Memory): Memory {
  // Said again without an end, it stays; with one, the later end counts.
  const end =
    again.expiresAt === undefined || expiresAt === undefined ? undefined : Math.max(expiresAt, again.expiresAt)
  return {
    ...known,
    importance: Math.max(known.importance, again.importance),
    pinned: known.pinned || again.pinned,
    tags: joinedTags(known.tags, again.tags),
    ...(end === undefined ? {} : { expiresAt: end }),
  }
}

function strengthened(memory: Memory, now: number): Memory {
  return {
    ...memory,
    confidence: Math.min(1, memory.confidence + (1 - memory.confidence) / 2),
    accessCount: memory.accessCount + 1,
    lastAccessed: now,
  }
}

function isAlive(memory: Memory): boolean {
  if (memory.supersededBy !== undefined) return false
  return memory.expiresAt === undefined || memory.expiresAt > Date.now()
}

/** The text is this memory's from now on: whoever had it is gone, has expired, was replaced or says something else. */
async function takeOver(space: Space, memory: Memory): Promise<void> {
  const mine: Marker = { id: memory.id, timestamp: memory.timestamp }
  await revise<Marker>(space.caller.state, memoryScope(space.agentId), memory.hash, () => mine)
}
