import type { Memory } from '@agentos/contracts/memory'
import { AgentError } from '@agentos/sdk'
import { inBatches } from './batches.ts'
import { edgeKey } from './index/graph.ts'
import { graphScope, memoryScope } from './scopes.ts'
import { contentHash } from './similarity.ts'
import type { Space } from './spaces.ts'
import { isConflict } from './truth.ts'

/** Tags that a memory has at most, however often it is said again or merged with others. */
const MOST_TAGS = 200

/** All of them once, the first ones where there are too many. */
export function joinedTags(...lists: readonly (readonly string[])[]): string[] {
  return [...new Set(lists.flat())].slice(0, MOST_TAGS)
}

/** Kept beside the entries, by content hash: whose text this is. */
export interface Marker {
  id: string
  timestamp: number
}

export async function requireMemory(space: Space, id: string): Promise<Memory> {
  const memory = await space.caller.state.get<Memory>(memoryScope(space.agentId), id)
  if (memory?.id === id) return memory
  throw new AgentError('not_found', `No memory ${id} of the agent ${space.agentId}; memory::list shows those there are`)
}

/** Writes an entry that is not there yet. */
export async function insertMemory(space: Space, memory: Memory): Promise<void> {
  await space.caller.state.set(memoryScope(space.agentId), memory.id, memory, { expectedVersion: 0 })
}

/** A new entry with everything that has a usual value. */
export function newMemory(
  fields: Pick<Memory, 'id' | 'agentId' | 'content' | 'role' | 'importance'> & Partial<Memory>,
): Memory {
  const now = Date.now()
  return {
    type: 'observation',
    tags: [],
    sessionId: null,
    confidence: 1,
    timestamp: now,
    accessCount: 0,
    lastAccessed: now,
    hash: contentHash(fields.role, fields.content),
    pinned: false,
    ...fields,
  }
}

/** Deletes entries with their markers and what the graph learnt from them. */
export async function deleteMemories(space: Space, memories: readonly Pick<Memory, 'id' | 'hash'>[]): Promise<void> {
  const { state } = space.caller
  const { index, agentId } = space
  const scope = memoryScope(agentId)
  await index.syncGraph(space.caller)
  await inBatches(memories, async ({ id, hash }) => {
    const marker = await state.get<Marker>(scope, hash)
    if (marker?.id === id) await state.delete(scope, hash)
    await inBatches(index.graph.edgesFrom(agentId, id), (edge) => state.delete(graphScope(agentId), edgeKey(edge)))
    await state.delete(scope, id)
  })
}

/** Writes a changed entry where it is still of the version that was read; false where somebody else was faster. */
export async function replaceMemory(space: Space, memory: Memory, version: number): Promise<boolean> {
  try {
    await space.caller.state.set(memoryScope(space.agentId), memory.id, memory, { expectedVersion: version })
    return true
  } catch (error) {
    if (isConflict(error)) return false
    throw error
  }
}
