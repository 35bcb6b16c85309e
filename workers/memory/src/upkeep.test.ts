import { consolidate, evict, type Memory, store } from '@agentos/contracts/memory'
import type { InputOf } from '@agentos/sdk'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { insertMemory, newMemory, requireMemory } from './entries.ts'
import { FakeEngine } from './fake-engine.ts'
import { addEntity, queryGraph } from './graph.ts'
import { storeMemory } from './store.ts'
import { consolidateMemories, evictMemories } from './upkeep.ts'

const DAY = 86_400_000
const NOW = 1_000 * DAY
let engine: FakeEngine
beforeEach(() => {
  engine = new FakeEngine()
  vi.useFakeTimers({ toFake: ['Date'], now: NOW })
})
afterEach(async () => {
  vi.useRealTimers()
  await engine.stop()
})

const put = (id: string, changes: Partial<Memory> = {}) =>
  engine.use('default', (space) =>
    insertMemory(
      space,
      newMemory({ id, agentId: 'default', role: 'user', importance: 0.5, content: `about ${id}`, ...changes }),
    ),
  )
const runEvict = (input: InputOf<typeof evict> = {}) =>
  engine.use('default', (space) => evictMemories(evict.input().parse(input), space))
const runConsolidate = () => engine.use('default', (space) => consolidateMemories(consolidate.input().parse({}), space))
const read = (id: string) => engine.use('default', (space) => requireMemory(space, id))

describe('eviction', () => {
  const old = { timestamp: NOW - 31 * DAY, lastAccessed: NOW - 31 * DAY, importance: 0.1 }

  test('deletes what is stale with its marker, keeps what is pinned', async () => {
    const content = 'a stale fact'
    vi.setSystemTime(old.timestamp)
    await engine.use('default', (space) =>
      storeMemory(store.input().parse({ content, importance: 0.1 }), space, { run: undefined, session: undefined }),
    )
    vi.setSystemTime(NOW)
    await put('pinned', { ...old, pinned: true })
    expect(await runEvict()).toMatchObject({ evicted: 1, plan: [{ reason: 'stale', agentId: 'default' }] })
    expect(engine.keys('memory:default')).toEqual(['pinned'])
  })

  test('a dry run says the same and deletes nothing', async () => {
    await put('stale', old)
    const { plan, evicted } = await runEvict({ dryRun: true })
    expect(evicted).toBe(0)
    expect(plan).toMatchObject([{ id: 'stale' }])
    expect(engine.keys('memory:default')).toEqual(['stale'])
    expect(await runEvict()).toMatchObject({ evicted: 1, plan })
  })

  test('relations that were learnt from a memory go with it', async () => {
    await put('stale', old)
    const graph = (id: string, source: string) =>
      engine.use('default', (space) =>
        addEntity({ entity: { id, relations: [{ target: 'acme', type: 'works_at', source }] } }, space),
      )
    await graph('alice', 'stale')
    await graph('bob', 'other')
    await runEvict()
    const query = { entityId: 'acme', depth: 1, perDepth: 10 }
    await graph('acme', 'other')
    const [acme] = await engine.use('default', (space) => queryGraph(query, space))
    expect(acme!.relations.map(({ target }) => target)).not.toContain('alice')
    expect(acme!.relations.map(({ target }) => target)).toContain('bob')
  })
})

describe('consolidation', () => {
  test('lowers the confidence of what nobody read for a week', async () => {
    await put('unread', { lastAccessed: NOW - 8 * DAY })
    await put('read')
    expect(await runConsolidate()).toMatchObject({ memoriesDecayed: 1, memoriesMerged: 0 })
    expect((await read('unread')).confidence).toBeCloseTo(0.95)
    expect((await read('read')).confidence).toBe(1)
  })

  test('merges what says the same into the one most used', async () => {
    await put('a', { content: 'User prefers dark mode', tags: ['ui'] })
    await put('b', { content: 'user prefers  dark mode', accessCount: 3, tags: ['editor'] })
    expect(await runConsolidate()).toMatchObject({ memoriesMerged: 1 })
    expect(engine.keys('memory:default')).toEqual(['b'])
    expect(await read('b')).toMatchObject({ tags: ['editor', 'ui'], mergedFrom: ['a'], accessCount: 3 })
  })

  test('leaves what only says nearly the same', async () => {
    await put('a', { content: 'It was -18 degrees' })
    await put('b', { content: 'It was 18 degrees' })
    await put('c', { content: 'User prefers dark mode' })
    await put('d', { content: 'The user prefers dark mode!' })
    expect(await runConsolidate()).toMatchObject({ memoriesMerged: 0 })
    expect(engine.keys('memory:default')).toEqual(['a', 'b', 'c', 'd'])
  })
})
