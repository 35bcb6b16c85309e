import type { forget, Memory, update } from '@agentos/contracts/memory'
import { AgentError, newId, type OutputOf, type ParsedInputOf } from '@agentos/sdk'
import { deleteMemories, insertMemory, type Marker, requireMemory } from './entries.ts'
import { answersTo } from './find.ts'
import { withoutSecrets } from './redaction.ts'
import { memoryScope } from './scopes.ts'
import { contentHash } from './similarity.ts'
import type { Space } from './spaces.ts'
import { revise } from './truth.ts'

type Updated = OutputOf<typeof update>
type Forgotten = OutputOf<typeof forget>

/** Changes a memory in place, or puts a new one in its stead where the text changes. */
export function updateMemory(input: ParsedInputOf<typeof update>, space: Space): Promise<Updated> {
  const { id, agentId: _, content, expiresAt, ...changes } = input
  return space.exclusive('store', () =>
    space.once<{ next: string; at: number }, Updated>(input, {
      plan: () => ({ next: newId('mem'), at: Date.now() }),
      carryOut: async ({ next, at }) => {
        const old = await requireMemory(space, id)
        if (old.supersededBy !== undefined && old.supersededBy !== next) {
          throw new AgentError('conflict', `The memory ${id} was replaced by ${old.supersededBy}; update that one`)
        }
        const text = content === undefined ? old.content : withoutSecrets(content.trim())
        if (text === '') {
          throw new AgentError('invalid_input', 'The new content is empty; memory::forget deletes a memory')
        }
        if (text !== old.content) {
          const { supersededBy: _, similarTo: __, ...base } = changed(old, changes, expiresAt)
          return supersede(space, old, { ...base, id: next, content: text, timestamp: at, lastAccessed: at })
        }
        await revise<Memory>(space.caller.state, memoryScope(space.agentId), id, (now) =>
          changed(now ?? old, changes, expiresAt),
        )
        return { id, updated: true }
      },
    }),
  )
}

function changed(memory: Memory, changes: object, expiresAt: number | null | undefined): Memory {
  const { expiresAt: before, ...rest } = memory
  const end = expiresAt === undefined ? before : (expiresAt ?? undefined)
  return { ...rest, ...changes, ...(end === undefined ? {} : { expiresAt: end }) }
}

/** The new one is written first: a crash in between leaves both, never none. Every step may be done again. */
async function supersede(space: Space, old: Memory, fields: Memory): Promise<Updated> {
  const { state } = space.caller
  const scope = memoryScope(space.agentId)
  const hash = contentHash(old.role, fields.content)
  const { id, timestamp } = fields
  if ((await state.get(scope, id)) === undefined) await insertMemory(space, { ...fields, hash, supersedes: old.id })
  await revise<Marker>(state, scope, hash, () => ({ id, timestamp }))
  await revise<Memory>(state, scope, old.id, (current) => current && { ...current, supersededBy: id })
  if (old.hash !== hash) {
    const marker = await state.get<Marker>(scope, old.hash)
    if (marker?.id === old.id) await state.delete(scope, old.hash)
  }
  return { id, updated: true, supersedes: old.id }
}

/** Deletes by id or query, each memory with its older versions. */
export async function forgetMemories(input: ParsedInputOf<typeof forget>, space: Space): Promise<Forgotten> {
  const { id, query, dryRun } = input
  if ((id === undefined) === (query === undefined)) {
    throw new AgentError('invalid_input', 'Say what to forget: give either `id` or `query`')
  }
  const choose = async () => {
    const chosen =
      id === undefined ? await bestAnswers({ ...input, query: query! }, space) : [await requireMemory(space, id)]
    const memories = await withOlderVersions(space, chosen)
    return memories.map((memory) => ({ id: memory.id, hash: memory.hash, content: memory.content }))
  }
  return space.exclusive('store', () =>
    space.once<Awaited<ReturnType<typeof choose>>, Forgotten>(input, {
      plan: choose,
      carryOut: async (memories) => {
        if (!dryRun) await deleteMemories(space, memories)
        return {
          forgotten: dryRun ? 0 : memories.length,
          dryRun,
          memories: memories.map((memory) => ({ id: memory.id, content: memory.content })),
        }
      },
    }),
  )
}

/** Those of one text too that a search shows once: what is forgotten is not found any more. */
async function bestAnswers(query: Parameters<typeof answersTo>[0], space: Space): Promise<Memory[]> {
  const answers = (await answersTo(query, space)).sort((a, b) => b.score - a.score)
  return answers.slice(0, query.limit).map(({ memory }) => memory)
}

async function withOlderVersions(space: Space, chosen: readonly Memory[]): Promise<Memory[]> {
  const all = new Map<string, Memory>()
  for (const memory of chosen) {
    let version: Memory | undefined = memory
    while (version && !all.has(version.id)) {
      all.set(version.id, version)
      const older: string | undefined = version.supersedes
      version =
        older === undefined ? undefined : await space.caller.state.get<Memory>(memoryScope(space.agentId), older)
    }
  }
  return [...all.values()]
}
