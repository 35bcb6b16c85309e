import { complete } from '@agentos/contracts/llm-router'
import * as contracts from '@agentos/contracts/memory'
import type { FunctionContract } from '@agentos/sdk'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { forgetMemories, updateMemory } from './change.ts'
import { compactSession } from './compact.ts'
import { FakeEngine } from './fake-engine.ts'
import { recallMemories } from './find.ts'
import { addEntity, queryGraph, removeFromGraph } from './graph.ts'
import { appendMessages, getSession } from './sessions.ts'
import type { Space } from './spaces.ts'
import { storeMemory } from './store.ts'

let engine: FakeEngine
beforeEach(() => {
  engine = new FakeEngine()
})
afterEach(() => engine.stop())

type Handler = (input: never, space: Space, ctx: Parameters<typeof compactSession>[2]) => Promise<unknown>

function call(contract: FunctionContract, handle: Handler, input: object, key?: string): Promise<unknown> {
  const parsed = contract.input().parse(input) as never
  const made = engine.call(contract.id, key)
  const ctx = { ...made, caller: undefined }
  return engine.use('default', (space) => handle(parsed, space, ctx), 'realm-default', made)
}

const store: Handler = (input, space) => storeMemory(input, space, { run: undefined, session: undefined })
const remember = async (content: string) => ((await call(contracts.store, store, { content })) as { id: string }).id
const user = (content: string) => ({ role: 'user' as const, content })
const append = (content: string, key?: string, more: object = {}) =>
  call(contracts.sessionAppend, appendMessages, { sessionId: 's', messages: [user(content)], ...more }, key)

interface Case {
  name: string
  contract: FunctionContract
  handle: Handler
  /** Makes what the call finds, and answers its input. */
  prepare: () => Promise<object>
}

const cases: Case[] = [
  {
    name: 'an append',
    contract: contracts.sessionAppend,
    handle: appendMessages,
    prepare: async () => {
      await append('before')
      return { sessionId: 's', messages: [user('one'), { role: 'assistant', content: 'two' }, user('three')] }
    },
  },
  {
    name: 'an append to a session that was just read',
    contract: contracts.sessionAppend,
    handle: appendMessages,
    prepare: async () => {
      await append('before')
      await call(contracts.sessionGet, getSession, { sessionId: 's' })
      return {
        sessionId: 's',
        messages: [
          { role: 'user', content: 'hello' },
          { role: 'assistant', content: 'hi' },
        ],
      }
    },
  },
  {
    name: 'an append that expects a place',
    contract: contracts.sessionAppend,
    handle: appendMessages,
    prepare: async () => {
      await append('before')
      return { sessionId: 's', messages: [user('one')], expectedSequence: 1 }
    },
  },
  {
    name: 'a new memory',
    contract: contracts.store,
    handle: store,
    prepare: async () => ({ content: 'my dog is called Rex', ttlMs: 100_000_000 }),
  },
  {
    name: 'a memory that is there already',
    contract: contracts.store,
    handle: store,
    prepare: async () => {
      await remember('my dog is called Rex')
      return { content: 'my dog is called Rex', tags: ['pet'], importance: 0.9 }
    },
  },
  {
    name: 'a correction of a text',
    contract: contracts.update,
    handle: updateMemory,
    prepare: async () => ({ id: await remember('The office is in Berlin'), content: 'The office is in Hamburg' }),
  },
  {
    name: 'a change in place',
    contract: contracts.update,
    handle: updateMemory,
    prepare: async () => ({ id: await remember('a note'), pinned: true }),
  },
  {
    name: 'forgetting by a query with a limit',
    contract: contracts.forget,
    handle: forgetMemories,
    prepare: async () => {
      for (const name of ['Rex', 'Max', 'Bello']) await remember(`my dog is called ${name}`)
      return { query: 'dog', limit: 1, minScore: 0 }
    },
  },
  {
    name: 'an entity',
    contract: contracts.kgAdd,
    handle: addEntity,
    prepare: async () => ({ entity: { id: 'a', city: 'x', relations: [{ target: 'b', type: 'knows' }] } }),
  },
  {
    name: 'the removal of an entity',
    contract: contracts.kgRemove,
    handle: removeFromGraph,
    prepare: async () => {
      const relations = ['b', 'c'].map((target) => ({ target, type: 'knows' }))
      await call(contracts.kgAdd, addEntity, { entity: { id: 'a', relations } })
      return { entityId: 'a' }
    },
  },
  {
    name: 'a compaction',
    contract: contracts.sessionCompact,
    handle: compactSession,
    prepare: async () => {
      engine.answer(complete, () => ({ content: 'in short', provider: 'p', model: 'm' }))
      for (let n = 0; n < 8; n += 1) await append(`turn ${n}`)
      return { sessionId: 's', threshold: 4, keepRecent: 2 }
    },
  },
]

/** Without ids and times: two runs of the same calls are equal in it. */
function masked(value: unknown): string {
  return JSON.stringify(value)
    .replaceAll(/(mem|msg)-[0-9a-f-]{36}/g, '$1')
    .replaceAll(/\d{13}/g, 'now')
}

const picture = () => engine.stored().map(masked).sort()

const MOST_WRITES = 30

describe.each(cases)('$name', ({ contract, handle, prepare }) => {
  test('is done once for its key, however often and at once it is asked for, and answered the same', async () => {
    const input = await prepare()
    const before = picture()
    const [first, ...more] = await Promise.all([1, 2, 3].map(() => call(contract, handle, input, 'run-1/2')))
    const after = picture()
    expect(after).not.toEqual(before)
    await engine.restart()
    more.push(await call(contract, handle, input, 'run-1/2'))
    for (const answer of more) expect(answer).toEqual(first)
    expect(picture()).toEqual(after)
  })

  test('is finished once by the next call, wherever the worker was killed', async () => {
    const whole = await call(contract, handle, await prepare(), 'k')
    const expected = picture()
    let deaths = 0
    for (let writes = 1; writes < MOST_WRITES; writes += 1) {
      await engine.stop()
      engine = new FakeEngine()
      const input = await prepare()
      engine.dieAfter(writes)
      await call(contract, handle, input, 'k').catch(() => {})
      if (!engine.died) break
      deaths += 1
      await engine.restart()
      const again = await call(contract, handle, input, 'k')
      expect(masked(again), `killed after write ${writes}`).toBe(masked(whole))
      expect(picture(), `killed after write ${writes}`).toEqual(expected)
      expect(await call(contract, handle, input, 'k')).toEqual(again)
    }
    expect(deaths).toBeGreaterThan(1)
    expect(deaths).toBeLessThan(MOST_WRITES - 1)
  })
})

describe('a key', () => {
  test('is that of one input: another under it is refused', async () => {
    await append('one', 'k')
    await expect(append('two', 'k')).rejects.toMatchObject({ code: 'key_reused' })
    await expect(append('one', 'k', { sessionId: 'other' })).rejects.toMatchObject({ code: 'key_reused' })
  })

  test('is that of one function', async () => {
    await append('one', 'k')
    await call(contracts.kgAdd, addEntity, { entity: { id: 'a' } }, 'k')
    expect(await call(contracts.kgQuery, queryGraph, { entityId: 'a' })).toHaveLength(1)
  })

  test('of an append finds its place behind others, and after the first messages are archived', async () => {
    engine.dieAfter(3)
    await append('mine', 'k').catch(() => {})
    expect(engine.died).toBe(true)
    await engine.restart()
    for (let n = 0; n < 6; n += 1) await append(`other ${n}`)
    engine.answer(complete, () => ({ content: 'in short', provider: 'p', model: 'm' }))
    await call(contracts.sessionCompact, compactSession, { sessionId: 's', threshold: 2, keepRecent: 2 })
    expect(await append('mine', 'k')).toMatchObject({ sequence: 1, messageCount: 1 })
    const session = (await call(contracts.sessionGet, getSession, { sessionId: 's' })) as { sequence: number }
    expect(session.sequence).toBe(7)
  })

  test('of an append that never counted does not find what others wrote in its place', async () => {
    engine.dieAfter(2)
    await append('mine', 'k').catch(() => {})
    await engine.restart()
    await append('other')
    expect(await append('mine', 'k')).toMatchObject({ sequence: 2 })
  })

  test('does not count what a recall found twice', async () => {
    const id = await remember('my dog is called Rex')
    const recall = () =>
      call(
        contracts.recall,
        (input, space) => recallMemories(input, space, () => space.caller, engine.call('memory::recall', 'k')),
        { query: 'dog' },
      )
    const used = () => (engine.stored().find(({ key }) => key === id)!.value as contracts.Memory).accessCount
    await recall()
    await vi.waitFor(() => expect(used()).toBe(1), 20_000)
    await recall()
    await engine.restart()
    expect(used()).toBe(1)
  })
})
