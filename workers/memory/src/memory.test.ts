import { forget, list, recall, search, store, update } from '@agentos/contracts/memory'
import type { InputOf, OutputOf } from '@agentos/sdk'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { forgetMemories, updateMemory } from './change.ts'
import { insertMemory, newMemory, requireMemory } from './entries.ts'
import { FakeEngine } from './fake-engine.ts'
import { listMemories, recallMemories, searchMemories } from './find.ts'
import { contentHash } from './similarity.ts'
import { agentOf } from './spaces.ts'
import { storeMemory } from './store.ts'

let engine: FakeEngine
beforeEach(() => {
  engine = new FakeEngine()
})
afterEach(async () => {
  vi.useRealTimers()
  await engine.stop()
})

const remember = (content: string, more: Partial<InputOf<typeof store>> = {}, realm?: string) =>
  engine.use(
    more.agentId ?? 'default',
    (space) => storeMemory(store.input().parse({ content, ...more }), space, { run: undefined, session: undefined }),
    realm,
  )
const find = (query: string, more: Partial<InputOf<typeof search>> = {}, realm?: string) =>
  engine.use(
    more.agentId ?? 'default',
    (space) => searchMemories(search.input().parse({ query, ...more }), space),
    realm,
  )
const texts = (hits: { content: string }[]) => hits.map(({ content }) => content)
const idOf = (stored: OutputOf<typeof store>) => ('id' in stored ? stored.id : '')
const read = (id: string) => engine.use('default', (space) => requireMemory(space, id))

describe('what was stored is found', () => {
  test('a question finds the fact that answers it, with a score from 0 to 1', async () => {
    await remember('remember that my dog is called Rex')
    await remember('The meeting is on Tuesday')
    const hits = await find('what do you know about my dog?')
    expect(texts(hits)).toEqual(['remember that my dog is called Rex'])
    expect(hits[0]!.score).toBeGreaterThan(0.5)
    expect(hits[0]!.score).toBeLessThanOrEqual(1)
  })

  test('what has nothing to do with the query is not returned to fill the limit', async () => {
    await remember('Paris is the capital of France')
    expect(await find('kubernetes deployment')).toEqual([])
  })

  test('hits below the minimum score are left out', async () => {
    await remember('The dog of the neighbour barks at every bicycle that passes the garden in the evening')
    const query = 'Which bicycle routes through the mountains of Norway are open in winter?'
    const [hit] = await find(query, { minScore: 0 })
    expect(hit!.score).toBeLessThan(0.5)
    expect(await find(query, { minScore: 0.5 })).toEqual([])
  })

  test('a question of small words only finds what is newest', async () => {
    await remember('The user lives in Lisbon')
    expect(texts(await find('what do you know about me?'))).toEqual(['The user lives in Lisbon'])
  })

  test('text of a user is never read as a query language', async () => {
    await remember('an "odd" note about dogs')
    for (const query of ['"dogs', 'dogs AND (', 'agent:x OR dogs*', "dogs' --", 'NEAR(dogs, 2)']) {
      expect(texts(await find(query))).toEqual(['an "odd" note about dogs'])
    }
  })

  test.each([
    ['저는 서울에 살아요', '서울'],
    ['우리 집에 개가 있어요', '개'],
    ['고양이는 귀엽다', '고양이가'],
    ['我的狗叫小白', '狗'],
    ['我的狗叫小白', '你知道我的狗叫什么名字吗？'],
    ['我的狗叫小白', '小狗'],
    ['我用iPhone拍照', 'iphone'],
    ['私の犬は白い', '犬の名前'],
    ['Die Straße ist lang', 'strasse'],
    ['in Maßen', 'Massen'],
    ['Mieszkam w Łodzi, czyli łódź', 'lodz'],
    ['Bodø ligger i nord', 'bodo'],
    ["Je vais à l'école", 'ecole'],
    ['मैं हिन्दी बोलता हूँ', 'हिन्दी'],
    ['ผมชอบภาษาไทย', 'ภาษา'],
  ])('%s is found by %s', async (fact, query) => {
    await remember(fact)
    await remember('Paris is the capital of France')
    await remember('車は赤い')
    expect(texts(await find(query))).toEqual([fact])
  })

  test('filters narrow by session, role, type, tag and time', async () => {
    await remember('dog one', { sessionId: 's1', tags: ['pet', 'home'] })
    await remember('dog two', { role: 'assistant', type: 'fact' })
    expect(texts(await find('dog', { sessionId: 's1' }))).toEqual(['dog one'])
    expect(texts(await find('dog', { role: 'assistant' }))).toEqual(['dog two'])
    expect(texts(await find('dog', { type: 'fact' }))).toEqual(['dog two'])
    expect(texts(await find('dog', { tags: ['home', 'pet'] }))).toEqual(['dog one'])
    expect(await find('dog', { tags: ['home', 'work'] })).toEqual([])
    expect(await find('dog', { since: Date.now() + 1_000 })).toEqual([])
  })

  test('hits that say the same are shown once', async () => {
    await remember('The deployment of the shop runs on Monday at night')
    await remember('the deployment of the shop  runs on monday at night', { role: 'assistant' })
    expect(await find('shop deployment')).toHaveLength(1)
  })

  test('agents and realms do not see each other', async () => {
    await remember('dog of a', { agentId: 'a' })
    await remember('dog of the other realm', {}, 'realm-2')
    expect(await find('dog')).toEqual([])
    expect(texts(await find('dog', { agentId: 'a' }))).toEqual(['dog of a'])
    expect(texts(await find('dog', {}, 'realm-2'))).toEqual(['dog of the other realm'])
  })

  test('recall counts the use of what it found', async () => {
    const id = idOf(await remember('my dog is called Rex'))
    await engine.use('default', (space) =>
      recallMemories(recall.input().parse({ query: 'dog' }), space, () => space.caller, engine.call()),
    )
    await vi.waitFor(async () => expect((await read(id)).accessCount).toBe(1), 20_000)
  })
})

describe('storing', () => {
  test('the same text strengthens what is there, another role is another memory', async () => {
    const first = await remember('Yes, do it', { importance: 0.3 })
    const again = await remember('  yes,  DO it\n', { importance: 0.8, tags: ['plan'] })
    expect(again).toEqual({ deduplicated: true, id: idOf(first) })
    expect(await read(idOf(first))).toMatchObject({ importance: 0.8, tags: ['plan'], accessCount: 1 })
    expect(await remember('yes, do it', { role: 'assistant' })).toMatchObject({ stored: true })
  })

  test('said again and again with other tags keeps the first two hundred', async () => {
    const tags = (round: number) => Array.from({ length: 50 }, (_, n) => `tag-${round}-${n}`)
    const first = await remember('yes, do it', { tags: tags(0) })
    for (let round = 1; round < 6; round++) await remember('yes, do it', { tags: tags(round) })
    const { tags: kept } = await read(idOf(first))
    expect(kept).toEqual([0, 1, 2, 3].flatMap(tags))
  })

  const long = (when: string) =>
    `The nurse who looks after my mother in the small house behind the old harbour comes by bicycle from the next village, brings fresh bread and the newspaper, and gives her the blue pills with a full glass of water every ${when}`
  test.each([
    ['It was -18 degrees', 'It was 18 degrees'],
    ['The flight costs 500 $', 'The flight costs 500 €'],
    ['I write C++', 'I write C#'],
    ['ship when load > 5', 'ship when load < 5'],
    ['the release made me 😀', 'the release made me 😡'],
    ['😀', '😡'],
    ['パパ', 'ハハ'],
    ['my papá called', 'my papa called'],
    ['The door is open.', 'The door is open?'],
    ['10 m² of tiles', '10 m2 of tiles'],
    ['User prefers dark mode', 'The user prefers dark mode'],
    ['Anna likes Bob', 'Bob likes Anna'],
    ['in Maßen', 'in Massen'],
    [long('morning'), long('evening')],
  ])('%s is another memory than %s, and both are found', async (one, other) => {
    const first = await remember(one)
    const second = await remember(other)
    expect(second).toMatchObject({ stored: true })
    expect(idOf(second)).not.toBe(idOf(first))
    for (const text of [one, other]) expect(texts(await find(text))).toContain(text)
  })

  test('what is nearly the same is stored with a link to what it is like', async () => {
    const morning = idOf(await remember(long('morning')))
    await remember('The nurse has a bicycle')
    const evening = await remember(long('evening'))
    expect(evening).toEqual({ id: expect.any(String), stored: true, similarTo: [morning] })
    expect(await read(idOf(evening))).toMatchObject({ content: long('evening'), similarTo: [morning] })
    expect(await remember('A fact of its own')).not.toHaveProperty('similarTo')
  })

  test('a text that an older version took for the same is another memory', async () => {
    const old = idOf(await remember('It is done.'))
    await engine.caller().state.set('memory:default', contentHash('user', 'It is done'), { id: old, timestamp: 1 })
    const next = await remember('It is done')
    expect(next).toMatchObject({ stored: true })
    expect(await remember('it is done')).toEqual({ deduplicated: true, id: idOf(next) })
    expect(await remember('it is done.')).toEqual({ deduplicated: true, id: old })
  })

  test('a text whose claim is of an older form is known all the same', async () => {
    const old = newMemory({ id: 'old', agentId: 'default', role: 'user', content: 'Tea, please!', importance: 0.5 })
    await engine.use('default', (space) => insertMemory(space, { ...old, hash: 'of an older form' }))
    expect(await remember('tea, please!')).toEqual({ deduplicated: true, id: 'old' })
  })

  test('many at once store one text once', async () => {
    const results = await Promise.all(Array.from({ length: 10 }, () => remember('the same')))
    expect(results.filter((result) => 'stored' in result)).toHaveLength(1)
    expect(new Set(results.map(idOf)).size).toBe(1)
  })

  test('a secret is cut out before anything is written', async () => {
    const key = `sk-ant-${'a1B2'.repeat(8)}`
    const stored = await remember(`my key is ${key}`)
    expect(stored).toMatchObject({ stored: true, redacted: true })
    expect((await read(idOf(stored))).content).not.toContain(key)
  })

  test('nothing to remember is refused', async () => {
    await expect(remember('  ')).rejects.toMatchObject({ code: 'invalid_input' })
  })

  test('an expired memory is not found, and its text can be stored again', async () => {
    vi.useFakeTimers({ toFake: ['Date'], now: 1_000_000 })
    await remember('the code word is tulip', { ttlMs: 1_000 })
    vi.setSystemTime(1_002_000)
    expect(await find('code word')).toEqual([])
    expect(await remember('the code word is tulip')).toMatchObject({ stored: true })
    expect(await find('code word')).toHaveLength(1)
  })
})

describe('changing', () => {
  const change = (input: InputOf<typeof update>) =>
    engine.use('default', (space) => updateMemory(update.input().parse(input), space))
  const drop = (input: InputOf<typeof forget>) =>
    engine.use('default', (space) => forgetMemories(forget.input().parse(input), space))

  test('new content supersedes, and the old version stays readable by id', async () => {
    const old = idOf(await remember('The office is in Berlin'))
    const next = await change({ id: old, content: 'The office is in Hamburg' })
    expect(next).toMatchObject({ updated: true, supersedes: old })
    expect(texts(await find('office'))).toEqual(['The office is in Hamburg'])
    expect(await read(old)).toMatchObject({ supersededBy: next.id })
    await expect(change({ id: old, content: 'x' })).rejects.toMatchObject({ code: 'conflict' })
    expect(await remember('The office is in Berlin')).toMatchObject({ stored: true })
  })

  test('everything else changes in place', async () => {
    const id = idOf(await remember('a note', { ttlMs: 60_000 }))
    expect(await change({ id, pinned: true, tags: ['x'], expiresAt: null })).toEqual({ id, updated: true })
    const memory = await read(id)
    expect(memory).toMatchObject({ pinned: true, tags: ['x'], content: 'a note' })
    expect(memory).not.toHaveProperty('expiresAt')
  })

  test('forgetting by id takes the older versions along and frees the text', async () => {
    const old = idOf(await remember('The office is in Berlin'))
    const { id } = await change({ id: old, content: 'The office is in Hamburg' })
    expect(await drop({ id })).toMatchObject({ forgotten: 2 })
    expect(engine.keys('memory:default')).toEqual([])
  })

  test('forgetting by query shows first, then deletes', async () => {
    await remember('my dog is called Rex')
    await remember('my cat is called Tom')
    expect(await drop({ query: 'dog', dryRun: true })).toMatchObject({
      forgotten: 0,
      memories: [{ content: 'my dog is called Rex' }],
    })
    expect(await find('dog')).toHaveLength(1)
    expect(await drop({ query: 'dog' })).toMatchObject({ forgotten: 1 })
    expect(await find('dog')).toEqual([])
    expect(await find('cat')).toHaveLength(1)
  })

  test('forgetting by query takes along what a search shows once', async () => {
    await remember('my dog is called Rex')
    await remember('My dog is called Rex', { role: 'assistant' })
    expect(await find('dog')).toHaveLength(1)
    expect(await drop({ query: 'dog' })).toMatchObject({ forgotten: 2 })
    expect(await find('dog')).toEqual([])
  })

  test('without id and query, or with both, nothing is forgotten', async () => {
    await expect(drop({})).rejects.toMatchObject({ code: 'invalid_input' })
    await expect(drop({ id: 'a', query: 'b' })).rejects.toMatchObject({ code: 'invalid_input' })
    await expect(drop({ id: 'mem-none' })).rejects.toMatchObject({ code: 'not_found' })
  })
})

test('a list comes newest first, page by page, whole', async () => {
  vi.useFakeTimers({ toFake: ['Date'], now: 1_000_000 })
  for (let i = 0; i < 7; i++) {
    vi.setSystemTime(1_000_000 + Math.floor(i / 2))
    await remember(`note number ${i} of topic${i}`)
  }
  const seen: string[] = []
  let after: string | undefined
  do {
    const input = list.input().parse({ limit: 3, after })
    const page = await engine.use('default', (space) => listMemories(input, space))
    expect(page.total).toBe(7)
    seen.push(...texts(page.memories))
    after = page.next
  } while (after !== undefined)
  expect(new Set(seen).size).toBe(7)
  expect(seen[0]).toContain('number 6')
})

describe('the index', () => {
  test('loses nothing when the worker restarts or its file is deleted', async () => {
    await remember('my dog is called Rex')
    for (const withoutIndex of [false, true]) {
      await engine.restart({ withoutIndex })
      expect(texts(await find('dog'))).toEqual(['my dog is called Rex'])
    }
  })
})

describe('whose memory', () => {
  const agent = { principal: { kind: 'agent' as const, id: 'a' } }

  test('an agent reaches its own and no other', () => {
    expect(agentOf(agent, undefined)).toBe('a')
    expect(agentOf(agent, 'a')).toBe('a')
    expect(() => agentOf(agent, 'b')).toThrow(/may not touch/)
  })

  test('everybody else names one, or means the default', () => {
    expect(agentOf({ principal: { kind: 'guest', id: 'guest' } }, undefined)).toBe('default')
    expect(agentOf({ principal: { kind: 'owner', id: 'owner' } }, 'b')).toBe('b')
  })
})
