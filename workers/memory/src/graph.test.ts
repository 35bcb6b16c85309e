import { type Entity, kgAdd, kgQuery, kgRemove } from '@agentos/contracts/memory'
import type { InputOf } from '@agentos/sdk'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { FakeEngine } from './fake-engine.ts'
import { addEntity, queryGraph, removeFromGraph } from './graph.ts'

let engine: FakeEngine
beforeEach(() => {
  engine = new FakeEngine()
})
afterEach(() => engine.stop())

const add = (entity: InputOf<typeof kgAdd>['entity']) =>
  engine.use('default', (space) => addEntity(kgAdd.input().parse({ entity }), space))
const query = (input: InputOf<typeof kgQuery>) =>
  engine.use('default', (space) => queryGraph(kgQuery.input().parse(input), space))
const remove = (input: InputOf<typeof kgRemove>) =>
  engine.use('default', (space) => removeFromGraph(kgRemove.input().parse(input), space))
const ids = (entities: (Entity | null)[]) => entities.map((entity) => entity?.id ?? null)

test('both ends know a relation', async () => {
  expect(await add({ id: 'alice', name: 'Alice', relations: [{ target: 'acme', type: 'works_at' }] })).toEqual({
    stored: true,
    id: 'alice',
  })
  await add({ id: 'acme' })
  expect(await query({ entityId: 'alice' })).toEqual([
    { id: 'alice', name: 'Alice', relations: [{ target: 'acme', type: 'works_at' }] },
    { id: 'acme', relations: [{ target: 'alice', type: 'inverse:works_at' }] },
  ])
})

test('adding again merges, and keeps the relations that others made', async () => {
  await add({ id: 'acme', city: 'Berlin', size: 10 })
  await add({ id: 'alice', relations: [{ target: 'acme', type: 'works_at' }] })
  await add({ id: 'acme', size: 12 })
  expect(await query({ entityId: 'acme', depth: 1 })).toEqual([
    { id: 'acme', city: 'Berlin', size: 12, relations: [{ target: 'alice', type: 'inverse:works_at' }] },
  ])
})

test('adding an entity as it was read changes nothing', async () => {
  await add({ id: 'alice', relations: [{ target: 'acme', type: 'works_at' }] })
  await add({ id: 'acme' })
  const before = await query({ entityId: 'alice' })
  for (const entity of before) await add(entity!)
  expect(await query({ entityId: 'alice' })).toEqual(before)
})

test('the search is breadth first: a long way does not hide a short one', async () => {
  await add({
    id: 'a',
    relations: [
      { target: 'b', type: 'x' },
      { target: 'd', type: 'x' },
    ],
  })
  await add({ id: 'b', relations: [{ target: 'c', type: 'x' }] })
  await add({ id: 'c', relations: [{ target: 'd', type: 'x' }] })
  await add({ id: 'd', relations: [{ target: 'e', type: 'x' }] })
  await add({ id: 'e' })
  expect(ids(await query({ entityId: 'a', depth: 3 }))).toEqual(['a', 'b', 'd', 'c', 'e'])
})

test('depth 0 gives nothing, and a target that was never added is null', async () => {
  await add({ id: 'a', relations: [{ target: 'ghost', type: 'x' }] })
  expect(await query({ entityId: 'a', depth: 0 })).toEqual([])
  expect(ids(await query({ entityId: 'a' }))).toEqual(['a', null])
})

test('relations filter and width bound the search', async () => {
  await add({ id: 'a', relations: ['b', 'c', 'd'].map((target) => ({ target, type: target === 'd' ? 'y' : 'x' })) })
  for (const id of ['b', 'c', 'd']) await add({ id })
  expect(ids(await query({ entityId: 'a', relations: ['y'] }))).toEqual(['a', 'd'])
  expect(ids(await query({ entityId: 'b', relations: ['inverse:x'] }))).toEqual(['b', 'a'])
  expect(await query({ entityId: 'a', perDepth: 2 })).toHaveLength(3)
})

test('a relation or a whole entity can be removed', async () => {
  await add({
    id: 'a',
    relations: [
      { target: 'b', type: 'x' },
      { target: 'b', type: 'y' },
    ],
  })
  await add({ id: 'b' })
  expect(await remove({ entityId: 'a', target: 'b', type: 'x' })).toEqual({ removed: true, relations: 1 })
  expect((await query({ entityId: 'b', depth: 1 }))[0]!.relations).toEqual([{ target: 'a', type: 'inverse:y' }])
  expect(await remove({ entityId: 'a' })).toEqual({ removed: true, relations: 1 })
  expect(engine.keys('kg:default')).toEqual(['entity:b'])
  expect(await remove({ entityId: 'a' })).toEqual({ removed: false, relations: 0 })
})
