import { join } from 'node:path'
import { complete } from '@agentos/contracts/llm-router'
import {
  sessionAppend,
  sessionCompact,
  sessionGet,
  sessionList,
  sessionRepair,
  type TranscriptMessage,
} from '@agentos/contracts/memory'
import type { Message } from '@agentos/contracts/message'
import { type InputOf, InvocationError, StateClient } from '@agentos/sdk'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { compactSession } from './compact.ts'
import { requireMemory } from './entries.ts'
import { FakeEngine } from './fake-engine.ts'
import { repairSession } from './repair.ts'
import { appendMessages, assertOwnWords, deleteSession, getSession, listSessions, purge } from './sessions.ts'
import { type Space, Spaces } from './spaces.ts'

let engine: FakeEngine
beforeEach(() => {
  engine = new FakeEngine()
})
afterEach(() => engine.stop())

const SESSION = 'default:default'
const append = (messages: Message[], more: Partial<InputOf<typeof sessionAppend>> = {}) =>
  engine.use('default', (space) =>
    appendMessages(sessionAppend.input().parse({ sessionId: SESSION, messages, ...more }), space),
  )
const get = (more: Partial<InputOf<typeof sessionGet>> = {}) =>
  engine.use('default', (space) => getSession(sessionGet.input().parse({ sessionId: SESSION, ...more }), space))
const OWNER = { principal: { kind: 'owner', id: 'owner' }, caller: undefined } as const
const compact = (
  more: Partial<InputOf<typeof sessionCompact>> = {},
  as: Parameters<typeof compactSession>[2] = OWNER,
) =>
  engine.use('default', (space) =>
    compactSession(sessionCompact.input().parse({ sessionId: SESSION, ...more }), space, as),
  )
const repair = (more: Partial<InputOf<typeof sessionRepair>> = {}) =>
  engine.use('default', (space) => repairSession(sessionRepair.input().parse({ sessionId: SESSION, ...more }), space))
const turn = (i: number): Message => ({ role: i % 2 ? 'assistant' : 'user', content: `turn ${i}` })
const turns = (count: number, from = 0) => Array.from({ length: count }, (_, i) => turn(from + i))
const texts = (messages: TranscriptMessage[]) => messages.map(({ content }) => content)

/** Bytes of the largest call that `callsOf` saw, and how many keys it has given. */
let largest = 0
let keys = 0
/** The calls to the engine that one append makes. */
async function callsOf(messages: Message[], sessionId = SESSION): Promise<string[]> {
  const calls: string[] = []
  const { state, ...caller } = engine.caller()
  const trigger = async (request: { function_id: string; payload?: unknown }) => {
    calls.push(request.function_id)
    largest = Math.max(largest, JSON.stringify(request.payload).length)
    return engine.caller().trigger(request)
  }
  const counted = { ...caller, state: new StateClient(trigger) }
  const input = sessionAppend.input().parse({ sessionId, messages })
  keys += 1
  const call = engine.call('memory::session::append', `append-${keys}`)
  await engine.spaces.use(counted, 'realm-default', 'default', (space) => appendMessages(input, space), call)
  return calls
}

describe('a transcript', () => {
  test('keeps the order, and the same words twice', async () => {
    await append(turns(2))
    expect(await append([turn(0), turn(3)])).toMatchObject({ sequence: 4, messageCount: 4 })
    expect(texts((await get()).messages)).toEqual(['turn 0', 'turn 1', 'turn 0', 'turn 3'])
    expect(texts((await get({ limit: 2 })).messages)).toEqual(['turn 0', 'turn 3'])
  })

  test('of a session that is not there is empty', async () => {
    expect(await get()).toMatchObject({ messages: [], messageCount: 0, sequence: 0 })
  })

  test('takes appends from many callers without mixing or losing them', async () => {
    await Promise.all(Array.from({ length: 20 }, (_, i) => append([turn(2 * i), turn(2 * i + 1)])))
    const { messages } = await get()
    expect(messages.map(({ sequence }) => sequence)).toEqual(Array.from({ length: 40 }, (_, i) => i + 1))
    const numbers = messages.map(({ content }) => Number(String(content).slice(5)))
    for (let i = 0; i < 40; i += 2) expect(numbers[i + 1]).toBe(numbers[i]! + 1)
  })

  test('is read once for many appends, and an append is one call', async () => {
    await get()
    for (const from of [0, 2]) expect(await callsOf(turns(2, from))).toEqual(['engine::state::write'])
    expect(texts((await get()).messages)).toEqual(['turn 0', 'turn 1', 'turn 2', 'turn 3'])
  })

  test('whose session was never read is appended to in two calls, of which one reads', async () => {
    await append(turns(2))
    await engine.restart()
    expect(await callsOf(turns(2, 2))).toEqual(['state::entries', 'engine::state::write'])
    expect(texts((await get()).messages)).toEqual(['turn 0', 'turn 1', 'turn 2', 'turn 3'])
    expect(await callsOf(turns(2), 'another')).toEqual(['state::entries', 'engine::state::write'])
  })

  test('is written in few calls, each of which has a bound, however much is appended at once', async () => {
    const long = Array.from({ length: 3 }, (_, i): Message => ({ role: 'user', content: `${i}`.repeat(700_000) }))
    const much = [...turns(200), ...long]
    const calls = await callsOf(much)
    // 200 turns in four, each of the long ones alone; besides the claim, the head, which is read twice, and the answer.
    expect(calls.filter((id) => id === 'engine::state::write')).toHaveLength(7)
    expect(calls).toHaveLength(13)
    expect(texts((await get()).messages)).toEqual(much.map(({ content }) => content))
    expect(largest).toBeLessThan(1_100_000)
  })

  test('that is long is whole or not there, and once, wherever its append is killed', async () => {
    const much = turns(120, 2)
    const input = sessionAppend.input().parse({ sessionId: SESSION, messages: much })
    const appendMuch = () => {
      const call = engine.call('memory::session::append', 'k')
      return engine.use('default', (space) => appendMessages(input, space), 'realm-default', call)
    }
    let deaths = 0
    for (let writes = 1; ; writes += 1) {
      await engine.stop()
      engine = new FakeEngine()
      await append(turns(2))
      engine.dieAfter(writes)
      await appendMuch().catch(() => {})
      if (!engine.died) break
      deaths += 1
      await engine.restart()
      const written = engine.keys(`transcript:default:${SESSION}`)
      expect(written).toEqual(Array.from({ length: written.length }, (_, i) => String(i + 1).padStart(12, '0')))
      const { messages } = await get()
      expect([2, 122]).toContain(messages.length)
      expect(await appendMuch()).toMatchObject({ sequence: 122, messageCount: 122 })
      expect(texts((await get()).messages)).toEqual(turns(122).map(({ content }) => content))
    }
    // The claim, three parts, the head; the answer is known then.
    expect(deaths).toBe(6)
  })

  test('keeps what another process appended, or began anew, since it was read here', async () => {
    const others = new Spaces()
    others.start(join(engine.folder, 'others'))
    const elsewhere = <T>(work: (space: Space) => Promise<T>) =>
      others.use(engine.caller(), 'realm-default', 'default', work, engine.call())
    const theirs = (from: number) =>
      elsewhere((space) =>
        appendMessages(sessionAppend.input().parse({ sessionId: SESSION, messages: turns(2, from) }), space),
      )
    await append([turn(0)])
    await theirs(1)
    expect(await append([turn(3)])).toMatchObject({ sequence: 4, messageCount: 4 })
    expect(texts((await get()).messages)).toEqual(['turn 0', 'turn 1', 'turn 2', 'turn 3'])
    await elsewhere((space) => deleteSession({ sessionId: SESSION }, space))
    await theirs(5)
    expect(await append([turn(7)])).toMatchObject({ sequence: 3, messageCount: 3 })
    expect(texts((await get()).messages)).toEqual(['turn 5', 'turn 6', 'turn 7'])
    await others.stop()
  })

  test('refuses an append that expects another place', async () => {
    await append(turns(2))
    await expect(append([turn(2)], { expectedSequence: 1 })).rejects.toMatchObject({ code: 'version_conflict' })
    expect(await append([turn(2)], { expectedSequence: 2 })).toMatchObject({ sequence: 3 })
  })

  test('does not show what an append left that never finished', async () => {
    await append(turns(2))
    const scope = `transcript:default:${SESSION}`
    const torn = { id: 'torn', sequence: 3, timestamp: 1, role: 'user', content: 'torn' }
    await engine.caller().state.set(scope, '000000000003', torn)
    expect((await get()).messages).toHaveLength(2)
    await append([turn(2)])
    expect(texts((await get()).messages)).toEqual(['turn 0', 'turn 1', 'turn 2'])
  })

  test('keeps tool calls and results as they are', async () => {
    const messages: Message[] = [
      { role: 'assistant', content: [{ type: 'toolCall', callId: '1', id: 'a::b', arguments: { x: [1] } }] },
      { role: 'tool', content: [{ type: 'toolResult', callId: '1', content: 'ok' }] },
    ]
    await append(messages)
    expect((await get()).messages.map(({ role, content }) => ({ role, content }))).toEqual(messages)
  })
})

test('sessions are listed last used first, with a title', async () => {
  await append([{ role: 'user', content: '  What  is\nnew?' }], { sessionId: 'one' })
  await new Promise((resolve) => setTimeout(resolve, 2))
  await append(turns(1), { sessionId: 'two' })
  const sessions = await engine.use('default', (space) => listSessions(sessionList.input().parse({}), space))
  expect(sessions.map(({ sessionId, title, messageCount }) => [sessionId, title, messageCount])).toEqual([
    ['two', 'turn 0', 1],
    ['one', 'What is new?', 1],
  ])
})

test('a deleted session begins anew', async () => {
  await append(turns(3))
  expect(await engine.use('default', (space) => deleteSession({ sessionId: SESSION }, space))).toEqual({
    deleted: true,
    messages: 3,
  })
  expect((await get()).messages).toEqual([])
  expect(await append([turn(7)])).toMatchObject({ sequence: 1 })
  expect(texts((await get()).messages)).toEqual(['turn 7'])
})

describe('compaction', () => {
  const answerWith = (content: string, provider = 'openai') =>
    engine.answer(complete, () => ({ content, provider, model: 'm' }))

  test('31 messages give 21 summarised and 10 kept; the originals stay readable', async () => {
    answerWith('They counted.')
    await append(turns(31))
    const result = await compact()
    expect(result).toMatchObject({ compacted: true, summarized: 21, kept: 10, model: 'openai/m' })
    const session = await get()
    expect(texts(session.messages)).toEqual(turns(10, 21).map(({ content }) => content))
    expect(session.summary).toMatchObject({ content: 'They counted.', from: 1, through: 21 })
    const { summaryId } = result as { summaryId: string }
    expect(session.archive).toEqual([{ from: 1, through: 21, summaryId }])
    expect((await get({ archived: true })).messages).toHaveLength(31)
    const memory = await engine.use('default', (space) => requireMemory(space, summaryId))
    expect(memory).toMatchObject({ role: 'system', type: 'summary', importance: 0.9, sessionId: SESSION })
  })

  test('the next summary builds on the one before', async () => {
    answerWith('First.')
    await append(turns(30))
    await compact()
    let asked = ''
    engine.answer(complete, (input) => {
      asked = (input as { messages: { content: string }[] }).messages[0]!.content
      return { content: 'Second.', provider: 'openai', model: 'm' }
    })
    await append(turns(20, 30))
    expect(await compact()).toMatchObject({ compacted: true, summarized: 20, kept: 10 })
    expect(asked).toMatch(/^earlier summary: First\.\n\nuser: turn 20/)
    expect((await get()).summary).toMatchObject({ content: 'Second.', from: 1, through: 40 })
  })

  test('of a session that is summarised for ever names a bounded number of parts, and none of its summaries outlives it', async () => {
    answerWith('So far.')
    for (let n = 0; n < 205; n++) {
      await append(turns(2, 2 * n))
      expect(await compact({ threshold: 0, keepRecent: 0 })).toMatchObject({ compacted: true })
    }
    const { archive, sequence } = await get()
    expect(archive).toHaveLength(200)
    expect(archive[0]).toMatchObject({ from: 1, through: 12 })
    for (const [n, { from, through }] of archive.entries()) {
      expect(from).toBe(n === 0 ? 1 : archive[n - 1]!.through + 1)
      expect(through).toBeLessThanOrEqual(sequence)
    }
    expect(engine.keys('memory:default')).toHaveLength(200)
    await engine.use('default', (space) => deleteSession({ sessionId: SESSION }, space))
    expect(engine.stored()).toEqual([])
  })

  test('29 messages are below a threshold of 30', async () => {
    await append(turns(29))
    expect(await compact()).toEqual({ compacted: false, reason: 'below_threshold' })
    expect(await compact({ threshold: 29, keepRecent: 29 })).toEqual({
      compacted: false,
      reason: 'nothing_to_summarize',
    })
  })

  test.each([
    ['the rules demo', () => ({ content: 'no model connected', provider: 'demo', model: 'rules' }), 'no_model'],
    ['no model', () => new InvocationError({ code: 'not_configured', message: 'no key' }), 'no_model'],
    ['a failing model', () => new InvocationError({ code: 'upstream_error', message: '500' }), 'summary_failed'],
    ['an empty answer', () => ({ content: ' ', provider: 'openai', model: 'm' }), 'summary_failed'],
  ])('with %s nothing is lost', async (_, reply, reason) => {
    engine.answer(complete, reply)
    await append(turns(31))
    const before = await get()
    expect(await compact()).toMatchObject({ compacted: false, reason })
    expect(await get()).toEqual(before)
    expect(engine.keys('memory:default')).toEqual([])
  })

  test('one failing part stops it as a whole', async () => {
    let calls = 0
    engine.answer(complete, () =>
      ++calls === 1
        ? { content: 'part', provider: 'openai', model: 'm' }
        : new InvocationError({ code: 'upstream_timeout', message: 'slow' }),
    )
    await append(Array.from({ length: 4 }, () => ({ role: 'user' as const, content: 'x'.repeat(50_000) })))
    expect(await compact({ threshold: 1, keepRecent: 1 })).toMatchObject({ compacted: false, reason: 'summary_failed' })
    expect(calls).toBe(2)
    expect((await get()).messages).toHaveLength(4)
  })

  test('of two at once one wins, and messages that come meanwhile stay', async () => {
    answerWith('Summary.')
    await append(turns(31))
    const [a, b] = await Promise.all([compact(), compact(), append([turn(31)])])
    expect([a, b].filter(({ compacted }) => compacted)).toHaveLength(1)
    expect([a, b]).toContainEqual({ compacted: false, reason: 'conflict' })
    expect((await get()).messages.at(-1)!.content).toBe('turn 31')
  })
})

describe('what an agent said', () => {
  const words = (role: 'user' | 'assistant' | 'tool') =>
    sessionAppend.input().parse({
      sessionId: SESSION,
      messages: [
        { role: 'user', content: 'hi' },
        { role, content: 'x' },
      ],
    })
  const guest = { kind: 'guest', id: 'guest' } as const
  const loop = { worker: 'agent-core', speaksForAgents: true }

  test('is not for a guest to tell, nor for a model of its own accord', () => {
    for (const role of ['assistant', 'tool'] as const) {
      for (const principal of [guest, { kind: 'agent', id: 'default' } as const]) {
        expect(() => assertOwnWords(words(role), { principal, caller: undefined })).toThrow(
          expect.objectContaining({ code: 'forbidden', details: { role } }),
        )
      }
      assertOwnWords(words(role), { principal: guest, caller: loop })
      assertOwnWords(words(role), OWNER)
    }
    assertOwnWords(words('user'), { principal: guest, caller: undefined })
  })

  test('pays for no summary that a guest asks for in its name', async () => {
    const asked: unknown[] = []
    engine.answer(complete, (input) => {
      asked.push(input)
      return { content: 'Summary.', provider: 'openai', model: 'm' }
    })
    await append(turns(40))
    await compact({}, { principal: guest, caller: { worker: 'streaming', speaksForAgents: false } })
    expect(asked).toHaveLength(1)
    expect(asked[0]).not.toHaveProperty('agentId')
    expect(asked[0]).not.toHaveProperty('sessionId')
    await append(turns(40))
    await compact()
    expect(asked[1]).toMatchObject({ agentId: 'default', sessionId: SESSION })
  })
})

describe('repair', () => {
  test('writes the repaired messages in one step and archives the old ones', async () => {
    await append([turn(0), { role: 'user', content: 'more' }, { role: 'assistant', content: ' ' }])
    expect(await repair({ dryRun: true })).toMatchObject({ repaired: false, totalFixes: 0, detected: 2, dryRun: true })
    expect((await get()).messages).toHaveLength(3)
    expect(await repair()).toMatchObject({
      repaired: true,
      totalFixes: 2,
      stats: { emptyRemoved: 1, consecutiveMerged: 1 },
    })
    const session = await get()
    expect(texts(session.messages)).toEqual(['turn 0\n\nmore'])
    expect(session.archive).toEqual([{ from: 1, through: 3 }])
    expect(await repair()).toMatchObject({ repaired: false, totalFixes: 0, detected: 0 })
    expect(await append([turn(1)])).toMatchObject({ sequence: 5 })
    expect(texts((await get()).messages)).toEqual(['turn 0\n\nmore', 'turn 1'])
  })
})

test('a purge leaves nothing of the agent, and everything of the others', async () => {
  await append(turns(2))
  await engine.use('other', (space) => appendMessages({ sessionId: SESSION, messages: turns(1) }, space))
  expect(await engine.use('default', purge)).toMatchObject({ sessions: 1, messages: 2 })
  expect(engine.keys('sessions:default')).toEqual([])
  expect(engine.keys(`transcript:default:${SESSION}`)).toEqual([])
  expect(engine.keys('sessions:other')).toEqual([SESSION])
})
