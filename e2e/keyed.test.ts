import * as ledger from '@agentos/contracts/ledger'
import * as llm from '@agentos/contracts/llm-router'
import * as memory from '@agentos/contracts/memory'
import * as realm from '@agentos/contracts/realm'
import * as security from '@agentos/contracts/security'
import type { IIIClient } from '@agentos/sdk'
import { type Simulator, type System, startOpenAiSimulator, startSystem } from '@agentos/testing'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { NO_LOCAL_MODELS } from './support/all-workers.ts'

/** On a machine that is busy with other things too. */
const PATIENT = { timeout: 20_000 }

/** Repeats a call as the engine repeats a step: under its key, until it is answered by other than a passing failure. */
async function answered<T>(call: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await call()
    } catch (error) {
      const { code, retryable } = error as { code?: string; retryable?: boolean }
      if (!retryable && code !== 'in_doubt' && code !== 'invocation_stopped') throw error
    }
  }
}

describe('kill -9 of memory in mid-call', () => {
  let system: System
  let client: IIIClient
  beforeAll(async () => {
    system = await startSystem({ workers: ['memory'] })
    client = system.client()
  })
  afterAll(() => system?.stop())

  const ROUNDS = 5
  const CALLS = 8

  it('what is appended and stored again under its key is there once, in the place that was answered', async () => {
    for (let round = 0; round < ROUNDS; round += 1) {
      const sessionId = `s${round}`
      const append = (n: number) =>
        client.call(
          memory.sessionAppend,
          { sessionId, messages: [{ role: 'user', content: `message ${n}` }] },
          { idempotencyKey: `run-${round}/${n}` },
        )
      const store = (n: number) =>
        client.call(memory.store, { content: `fact${round}x${n}` }, { idempotencyKey: `run-${round}/store-${n}` })
      const numbers = Array.from({ length: CALLS }, (_, n) => n)
      const early = new Map<number, unknown>()
      const begun = numbers.flatMap((n) => [
        append(n).then((answer) => early.set(n, answer)),
        store(n).then((answer) => early.set(CALLS + n, answer)),
      ])
      const over = Promise.allSettled(begun)
      // Somewhere in the middle of them: not all rounds die at the same place.
      if (round > 0) await Promise.race(begun.slice(round)).catch(() => {})
      await system.workers.memory!.kill()
      await over
      await system.workers.memory!.start()
      const again = new Map<number, unknown>()
      await Promise.all(
        numbers.flatMap((n) => [
          answered(() => append(n)).then((answer) => again.set(n, answer)),
          answered(() => store(n)).then((answer) => again.set(CALLS + n, answer)),
        ]),
      )
      for (const [n, answer] of early) expect(again.get(n)).toEqual(answer)
      const { messages } = await client.call(memory.sessionGet, { sessionId })
      const contents = messages.map(({ content }) => content)
      expect([...contents].sort()).toEqual(numbers.map((n) => `message ${n}`))
      for (const n of numbers) {
        const { ids, sequence } = again.get(n) as { ids: string[]; sequence: number }
        expect(messages[sequence - 1]).toMatchObject({ id: ids[0], content: `message ${n}` })
      }
      const { memories } = await client.call(memory.list, { limit: 500 })
      const own = memories.filter(({ content }) => content.startsWith(`fact${round}x`))
      expect(own).toHaveLength(CALLS)
      expect(own.every(({ accessCount }) => accessCount === 0)).toBe(true)
    }
  })
})

describe('a model call under a key', () => {
  const MODEL = 'bank/counted'
  const LIMIT = 100_000
  let provider: Simulator
  let system: System
  let owner: IIIClient
  beforeEach(async () => {
    provider = await startOpenAiSimulator({ text: 'ok', usage: { input: 10, output: 5 } })
    system = await startSystem({
      workers: ['llm-router', 'ledger'],
      env: NO_LOCAL_MODELS,
      workerEnv: { 'llm-router': { OPENAI_API_KEY: provider.key } },
      config: {
        workers: [
          {
            name: 'llm-router',
            config: {
              providers: { bank: { baseUrl: provider.url, keyEnv: 'OPENAI_API_KEY' } },
              prices: { [MODEL]: { input: 1, output: 2 } },
              retries: { max: 0 },
            },
          },
          // Much longer than this test: nothing here is booked because a lease ran out.
          { name: 'ledger', config: { leaseMs: 600_000 } },
        ],
      },
    })
    owner = system.client({ owner: true, headers: { 'X-AgentOS-Realm': 'guest' } })
    await owner.call(ledger.setBudget, { limitMicroUsd: LIMIT, period: 'total' })
  })
  afterEach(async () => {
    await system?.stop()
    await provider.close()
  })

  const request = { messages: [{ role: 'user' as const, content: 'hi' }], model: MODEL, maxTokens: 1_000 }
  const ask = (client: IIIClient) => client.call(llm.complete, request, { idempotencyKey: 'run-1/1' })
  const budget = async () => (await owner.call(ledger.budgets, {})).budgets[0]!

  it('that is made again after a kill of the router: the first is booked as maybe charged, once, the second is paid', async () => {
    provider.play([{ fault: { kind: 'hang' } }, { text: 'at last', usage: { input: 10, output: 5 } }])
    const client = system.client()
    const lost = ask(client).catch(() => {})
    await expect.poll(() => provider.answering, PATIENT).toBe(1)
    const { reservedMicroUsd: held } = await budget()
    expect(held).toBeGreaterThan(2_000)
    await system.workers['llm-router']!.kill()
    await lost
    await system.workers['llm-router']!.start()
    const done = await answered(() => ask(client))
    expect(done).toMatchObject({ content: 'at last', cost: { microUsd: 20 } })
    expect(await answered(() => ask(client))).toEqual(done)
    expect(provider.requests).toHaveLength(2)
    expect(await budget()).toMatchObject({ spentMicroUsd: held + 20, reservedMicroUsd: 0 })
    const { open, maybeCharged } = await owner.call(ledger.reservations, {})
    expect(open).toEqual([])
    expect(maybeCharged).toMatchObject([{ microUsd: held, provider: 'bank', model: 'counted' }])
    expect(await owner.call(ledger.verify, {})).toMatchObject({ valid: true })
  })

  it('is refused where what the lost one may have cost leaves too little: the budget is never passed', async () => {
    await owner.call(ledger.setBudget, { limitMicroUsd: 2_000, period: 'total' })
    provider.play([{ fault: { kind: 'hang' } }, { text: 'never asked' }])
    const client = system.client()
    const lost = ask(client).catch(() => {})
    await expect.poll(() => provider.answering, PATIENT).toBe(1)
    await system.workers['llm-router']!.kill()
    await lost
    await system.workers['llm-router']!.start()
    await expect(answered(() => ask(client))).rejects.toMatchObject({ code: 'budget_exceeded' })
    expect(provider.requests).toHaveLength(1)
    expect(await budget()).toMatchObject({ spentMicroUsd: 2_000, reservedMicroUsd: 0 })
  })
})

describe('other calls under a key', () => {
  it('change realms, the audit chain and the count of tokens once, after a kill of their workers too', async () => {
    await using system = await startSystem({ workers: ['realm', 'security'] })
    const owner = system.client({ owner: true, headers: { 'X-AgentOS-Realm': 'guest' } })
    const key = (name: string) => ({ idempotencyKey: `run-1/${name}` })
    const create = () => answered(() => owner.call(realm.create, { name: 'Keyed' }, key('create')))
    const audit = () => answered(() => owner.call(security.audit, { type: 'test' }, key('audit')))
    const count = () => answered(() => owner.call(security.addUsage, { agentId: 'a', tokens: 7 }, key('count')))
    const calls = () => Promise.all([create(), create(), audit(), audit(), count(), count()])
    const killed = calls()
    await Promise.all(Object.values(system.workers).map((worker) => worker.kill()))
    await Promise.all(Object.values(system.workers).map((worker) => worker.start()))
    const [made, , entry, , usage] = await killed
    expect(await calls()).toEqual([made, made, entry, entry, usage, usage])
    expect(usage.used).toBe(7)
    const realms = await owner.call(realm.list, {})
    expect(realms.filter(({ name }) => name === 'Keyed')).toHaveLength(1)
    expect(await owner.call(security.verifyAudit, {})).toMatchObject({ valid: true, entries: 1 })

    const change = () =>
      owner.call(realm.update, { id: made.id, name: 'Renamed', expectedVersion: made.version }, key('update'))
    const changed = await change()
    expect(await change()).toEqual(changed)
    await owner.call(realm.remove, { id: made.id }, key('delete'))
    const restore = () => owner.call(realm.restore, { id: made.id }, key('restore'))
    const restored = await restore()
    expect(await restore()).toEqual(restored)
  })
})
