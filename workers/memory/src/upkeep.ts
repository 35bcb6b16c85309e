import { setImmediate } from 'node:timers/promises'
import type { consolidate, evict, Memory } from '@agentos/contracts/memory'
import type { OutputOf, ParsedInputOf } from '@agentos/sdk'
import { inBatches } from './batches.ts'
import { decayed } from './decay.ts'
import { deleteMemories, joinedTags, replaceMemory } from './entries.ts'
import { planEviction } from './eviction.ts'
import type { IndexedMemory } from './index/memories.ts'
import { contentHash } from './similarity.ts'
import type { Space } from './spaces.ts'

const MOST_SHOWN = 1_000
/** Of those that a memory was merged from, the latest are named. */
const MOST_MERGED = 200
/** Texts hashed before other calls get their turn. */
const SLICE = 200

type Evicted = OutputOf<typeof evict>
type Consolidated = OutputOf<typeof consolidate>

/** Makes and, unless it is a dry run, carries out the plan of one agent. */
export async function evictMemories(input: ParsedInputOf<typeof evict>, space: Space): Promise<Evicted> {
  return space.exclusive('store', async () => {
    await space.index.syncMemories(space.caller)
    const memories = new Map(space.index.memories.all(space.agentId).map(({ memory }) => [memory.id, memory]))
    const plan = planEviction([...memories.values()], input, Date.now())
    const victims = plan.map(({ id }) => memories.get(id)!)
    if (!input.dryRun) await deleteMemories(space, victims)
    return {
      evicted: input.dryRun ? 0 : plan.length,
      dryRun: input.dryRun,
      plan: plan.slice(0, MOST_SHOWN).map((eviction) => ({ agentId: space.agentId, ...eviction })),
    }
  })
}

/** One plan out of several. */
export function joinEvictions(parts: readonly Evicted[], dryRun: boolean): Evicted {
  return {
    evicted: parts.reduce((sum, part) => sum + part.evicted, 0),
    dryRun,
    plan: parts.flatMap(({ plan }) => plan).slice(0, MOST_SHOWN),
  }
}

export function joinConsolidations(parts: readonly Consolidated[]): Consolidated {
  const sum = (pick: (part: Consolidated) => number) => parts.reduce((total, part) => total + pick(part), 0)
  return {
    memoriesDecayed: sum(({ memoriesDecayed }) => memoriesDecayed),
    memoriesMerged: sum(({ memoriesMerged }) => memoriesMerged),
    durationMs: sum(({ durationMs }) => durationMs),
  }
}

/** Decays and merges the memories of one agent. A memory that changes meanwhile is left for the next time. */
export async function consolidateMemories(
  { decayRate }: ParsedInputOf<typeof consolidate>,
  space: Space,
): Promise<Consolidated> {
  const began = performance.now()
  return space.exclusive('store', async () => {
    const memoriesMerged = await merge(space)
    await space.index.syncMemories(space.caller)
    const now = Date.now()
    const writes = await inBatches(space.index.memories.all(space.agentId), async ({ memory, version }) => {
      const confidence = decayed(memory, decayRate, now)
      return confidence !== undefined && (await replaceMemory(space, { ...memory, confidence }, version))
    })
    return {
      memoriesDecayed: writes.filter(Boolean).length,
      memoriesMerged,
      durationMs: Math.round(performance.now() - began),
    }
  })
}

interface Group {
  best: IndexedMemory
  others: Memory[]
}

async function merge(space: Space): Promise<number> {
  await space.index.syncMemories(space.caller)
  const groups = await group(space.index.memories.all(space.agentId))
  let merged = 0
  for (const { best, others } of groups) {
    if (others.length === 0 || !(await replaceMemory(space, union(best.memory, others), best.version))) continue
    await deleteMemories(space, others)
    merged += others.length
  }
  return merged
}

/** The memories of each text and role, with the one that stays. */
async function group(all: readonly IndexedMemory[]): Promise<Group[]> {
  const candidates = all
    // What ends by itself is not merged: what stays would end with it, or what ends would stay.
    .filter(({ memory: { supersededBy, expiresAt, type } }) => !supersededBy && !expiresAt && type !== 'summary')
    .sort((a, b) => worth(b.memory) - worth(a.memory) || a.memory.timestamp - b.memory.timestamp)
  const groups = new Map<string, Group>()
  for (const [position, candidate] of candidates.entries()) {
    if (position % SLICE === SLICE - 1) await setImmediate()
    const { role, content } = candidate.memory
    const hash = contentHash(role, content)
    const same = groups.get(hash)
    if (!same) groups.set(hash, { best: candidate, others: [] })
    else if (!candidate.memory.pinned) same.others.push(candidate.memory)
  }
  return [...groups.values()]
}

function worth({ pinned, accessCount, importance }: Memory): number {
  return (pinned ? 1_000_000 : 0) + accessCount + importance
}

function union(best: Memory, others: readonly Memory[]): Memory {
  const all = [best, ...others]
  return {
    ...best,
    tags: joinedTags(...all.map(({ tags }) => tags)),
    importance: Math.max(...all.map(({ importance }) => importance)),
    confidence: Math.max(...all.map(({ confidence }) => confidence)),
    accessCount: all.reduce((sum, { accessCount }) => sum + accessCount, 0),
    lastAccessed: Math.max(...all.map(({ lastAccessed }) => lastAccessed)),
    mergedFrom: [
      ...new Set([...all.flatMap(({ mergedFrom }) => mergedFrom ?? []), ...others.map(({ id }) => id)]),
    ].slice(-MOST_MERGED),
  }
}
