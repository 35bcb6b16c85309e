import type { Entity, kgAdd, kgQuery, kgRemove } from '@agentos/contracts/memory'
import type { OutputOf, ParsedInputOf } from '@agentos/sdk'
import { inBatches } from './batches.ts'
import { type EdgeRecord, type EntityRecord, edgeKey, entityKey } from './index/graph.ts'
import { graphScope } from './scopes.ts'
import type { Space } from './spaces.ts'
import { revise } from './truth.ts'

const INVERSE = 'inverse:'

/** An entity's fields are merged; each relation is one record that both ends read. */
export function addEntity(input: ParsedInputOf<typeof kgAdd>, space: Space): Promise<OutputOf<typeof kgAdd>> {
  const { state } = space.caller
  const { id, relations, ...fields } = input.entity
  const scope = graphScope(space.agentId)
  return space.once<null, OutputOf<typeof kgAdd>>(input, {
    plan: () => null,
    carryOut: async () => {
      await revise<EntityRecord>(state, scope, entityKey(id), (known) => ({ ...known, ...fields, id }))
      await inBatches(relations, ({ target, type, ...details }) => {
        // An entity that was read and is added again names its inverse relations; they are the other end's own.
        const edge = type.startsWith(INVERSE)
          ? { ...details, from: target, type: type.slice(INVERSE.length), to: id }
          : { ...details, from: id, type, to: target }
        return revise<EdgeRecord>(state, scope, edgeKey(edge), (known) => ({ ...known, ...edge }))
      })
      return { stored: true, id }
    },
  })
}

/** Breadth first: the first level is the entity itself, and each level is at most `perDepth` wide. */
export async function queryGraph(
  { entityId, depth, relations, perDepth }: ParsedInputOf<typeof kgQuery>,
  { index, agentId, caller }: Space,
): Promise<OutputOf<typeof kgQuery>> {
  await index.syncGraph(caller)
  const wanted = relations ? new Set(relations) : undefined
  const found: (Entity | null)[] = []
  const seen = new Set([entityId])
  let level = [entityId]
  for (let step = 0; step < depth && level.length > 0; step++) {
    const next: string[] = []
    for (const id of level) {
      const around = index.graph.edges(agentId, id).map((edge) => relationOf(edge, id))
      const record = index.graph.entity(agentId, id)
      found.push(record ? { ...record, relations: around } : null)
      for (const { target, type } of around) {
        if (seen.has(target) || next.length >= perDepth || (wanted && !wanted.has(type))) continue
        seen.add(target)
        next.push(target)
      }
    }
    level = next
  }
  return found
}

/** A relation as the entity sees it; one to itself is seen once, as it was said. */
function relationOf({ from, type, to, ...details }: EdgeRecord, id: string): Entity['relations'][number] {
  return from === id ? { ...details, target: to, type } : { ...details, target: from, type: INVERSE + type }
}

export function removeFromGraph(
  input: ParsedInputOf<typeof kgRemove>,
  space: Space,
): Promise<OutputOf<typeof kgRemove>> {
  const { entityId, target, type } = input
  const { index, agentId, caller } = space
  const scope = graphScope(agentId)
  return space.once<{ keys: string[]; entity: boolean }, OutputOf<typeof kgRemove>>(input, {
    plan: async () => {
      await index.syncGraph(caller)
      const edges = index.graph.edges(agentId, entityId).filter((edge) => {
        const relation = relationOf(edge, entityId)
        return (target === undefined || relation.target === target) && (type === undefined || relation.type === type)
      })
      const whole = target === undefined && type === undefined
      const entity = whole && (await caller.state.get(scope, entityKey(entityId))) !== undefined
      return { keys: edges.map(edgeKey), entity }
    },
    carryOut: async ({ keys, entity }) => {
      await inBatches(keys, (key) => caller.state.delete(scope, key))
      if (entity) await caller.state.delete(scope, entityKey(entityId))
      return { removed: entity || keys.length > 0, relations: keys.length }
    },
  })
}
