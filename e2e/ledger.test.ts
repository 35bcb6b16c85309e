import * as ledger from '@agentos/contracts/ledger'
import * as llm from '@agentos/contracts/llm-router'
import { type IIIClient, InvocationError, type OutputOf } from '@agentos/sdk'
import { type RecordedRequest, type Simulator, type System, startOpenAiSimulator, startSystem } from '@agentos/testing'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { ALL_WORKERS, NO_LOCAL_MODELS } from './support/all-workers.ts'

/** Micro-dollars per token of the model that the provider counts. */
const PRICE = { input: 1, output: 2 }
const MODEL = 'bank/counted'
const CONTEXT = 'word '.repeat(1_600)
const OUTPUT = 400

describe('budgets on a running engine', () => {
  let provider: Simulator
  let system: System
  let owner: IIIClient
  /** Micro-dollars that the provider charged, whatever became of its answers. */
  let charged: number

  beforeEach(async () => {
    charged = 0
    provider = await startOpenAiSimulator(answer)
    system = await startSystem({
      workers: ['llm-router', 'ledger'],
      env: NO_LOCAL_MODELS,
      workerEnv: { 'llm-router': { OPENAI_API_KEY: provider.key } },
      config: {
        agentos: { limits: { worker_wait_ms: 2_000 } },
        workers: [
          {
            name: 'llm-router',
            config: {
              providers: { bank: { baseUrl: provider.url, keyEnv: 'OPENAI_API_KEY' } },
              prices: {
                [MODEL]: PRICE,
                'bank/dear': { input: 1, output: 10 },
                'bank/gold': { input: 400, output: 400 },
              },
              concurrency: { perProvider: 20 },
              retries: { max: 0 },
            },
          },
          { name: 'ledger', config: { leaseMs: 1_500, waitMs: 20_000 } },
        ],
      },
    })
    owner = system.client({ owner: true })
  })
  afterEach(async () => {
    await system?.stop()
    await provider.close()
  })

  /** Four letters are a token; the output is as long as it may be, up to what is asked for. */
  function answer({ body }: RecordedRequest) {
    const input = Math.ceil(JSON.stringify(body.messages).length / 4)
    const output = Math.min(Number(body.max_tokens ?? OUTPUT), OUTPUT)
    charged += input * PRICE.input + output * PRICE.output
    return { text: 'ok', usage: { input, output } }
  }

  const ask = (client: IIIClient, more: object = {}) =>
    client.call(llm.complete, {
      messages: [{ role: 'user', content: CONTEXT }],
      model: MODEL,
      maxTokens: OUTPUT,
      ...more,
    })

  /** What one of these calls may hold. */
  const RESERVATION = Math.ceil((CONTEXT.length / 3 + 100) * PRICE.input + OUTPUT * PRICE.output)

  /** Asks until the budget is used up; every other failure counts as passing. */
  async function spendAll(client: IIIClient, agentId: string): Promise<void> {
    for (;;) {
      try {
        await ask(client, { agentId })
      } catch (error) {
        if (!(error instanceof InvocationError)) throw error
        if (error.code === 'budget_exceeded') return
        expect(error.retryable, error.message).toBe(true)
      }
    }
  }

  const twenty = (client: IIIClient) =>
    Promise.all(Array.from({ length: 20 }, (_, index) => spendAll(client, `agent-${index}`)))

  async function realmBudget(): Promise<ledger.Budget> {
    const { budgets } = await owner.call(ledger.budgets, {})
    return budgets.find(({ agentId }) => agentId === null)!
  }

  it('twenty agents on one budget spend at least 95 % of it and never more', async () => {
    const limit = 300_000
    await owner.call(ledger.setBudget, { limitMicroUsd: limit, period: 'total' })
    await twenty(system.client({ owner: true }))
    expect(charged).toBeLessThanOrEqual(limit)
    expect(charged).toBeGreaterThanOrEqual(0.95 * limit)
    expect(await realmBudget()).toMatchObject({ spentMicroUsd: charged, reservedMicroUsd: 0 })
    expect(await owner.call(ledger.verify, {})).toMatchObject({ valid: true, differences: [] })
  })

  it('nor after a kill of the ledger, of the router and of the engine in the middle of it', async () => {
    const limit = 600_000
    await owner.call(ledger.setBudget, { limitMicroUsd: limit, period: 'total' })
    const spending = twenty(system.client({ owner: true }))
    for (const [share, name] of [
      [0.2, 'ledger'],
      [0.4, 'llm-router'],
      [0.6, 'engine'],
      [0.8, 'ledger'],
    ] as const) {
      await expect.poll(() => charged, { timeout: 30_000, interval: 5 }).toBeGreaterThan(share * limit)
      const killed = name === 'engine' ? system.engine : system.workers[name]!
      await killed.kill()
      await killed.start()
    }
    await spending
    await system.ready()
    expect(charged).toBeLessThanOrEqual(limit + RESERVATION)
    const { maybeCharged, open } = await owner.call(ledger.reservations, {})
    expect(open).toEqual([])
    expect(maybeCharged.length).toBeGreaterThan(0)
    const budget = await realmBudget()
    expect(budget.reservedMicroUsd).toBe(0)
    expect(budget.spentMicroUsd).toBeLessThanOrEqual(limit)
    expect(budget.spentMicroUsd).toBeGreaterThanOrEqual(0.95 * limit)
    expect(budget.spentMicroUsd).toBeGreaterThanOrEqual(charged - RESERVATION)
    expect(await owner.call(ledger.verify, {})).toMatchObject({ valid: true, differences: [] })
  })

  it.each([
    ['nothing', null],
    ['zeros', { prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 }],
  ])('ten cents come to their end though the provider counts %s', async (_, countedAs) => {
    await owner.call(ledger.setBudget, { monthlyCents: 10, agentId: 'uncounted' })
    provider.play({ text: 'word '.repeat(200), countedAs })
    const client = system.client({ owner: true })
    const completion = await ask(client, { agentId: 'uncounted', model: 'bank/dear', maxTokens: 5_000 })
    expect(completion).toMatchObject({ usage: { estimated: true }, cost: { microUsd: null, priced: false } })
    expect(completion.usage.output).toBeGreaterThan(100)
    const asked = provider.requests.length
    await expect(
      (async () => {
        for (let n = 0; n < 20; n += 1) {
          await ask(client, { agentId: 'uncounted', model: 'bank/dear', maxTokens: 5_000 })
        }
      })(),
    ).rejects.toMatchObject({ code: 'budget_exceeded' })
    expect(provider.requests.length - asked).toBeLessThan(20)
  })

  it('five cents, told to the provider as its limit, to the cent', async () => {
    await owner.call(ledger.setBudget, { monthlyCents: 5, agentId: 'poor' })
    let told = 0
    provider.play(({ body }) => {
      told = Number(body.max_tokens)
      return { text: 'long', stop: 'length', usage: { input: 10, output: told } }
    })
    const long = { messages: [{ role: 'user' as const, content: 'hi' }], model: 'bank/dear', maxTokens: 8_000 }
    const done = await owner.call(llm.complete, { ...long, agentId: 'poor' })
    expect(done).toMatchObject({ stopReason: 'budget_exceeded', budget: { ...FIVE_CENTS, leftMicroUsd: 50_000 } })
    expect(done.budget!.message).toContain('of the agent poor ($0.05 per month) had $0.05 left for this answer')
    expect(told).toBeGreaterThan(4_900)
    expect(done.cost.microUsd).toBeLessThanOrEqual(50_000)
    expect(done.cost.microUsd).toBeGreaterThan(49_000)
    const { body } = await system.api<OutputOf<typeof ledger.check>>(
      'GET',
      '/v1/ledger/check/realm-default/poor',
      undefined,
      { owner: true },
    )
    expect(body).toMatchObject({ limitCents: 5, spentCents: 5, alert: 'warning' })
    // The one that did not fit was not asked at all; whoever has no budget goes on.
    const asked = provider.requests.length
    await owner.call(ledger.spend, { agentId: 'poor', costMicroUsd: 50_000, ...elsewhere })
    const refused = owner.call(llm.complete, { ...long, agentId: 'poor' })
    await expect(refused).rejects.toMatchObject({ code: 'budget_exceeded' })
    expect(provider.requests.length).toBe(asked)
    await expect(owner.call(llm.complete, { ...long, agentId: 'rich' })).resolves.toBeDefined()
    const overHttp = await system.api<{ code: string }>('GET', '/v1/budgets')
    expect(overHttp.status).toBe(200)
  })

  it('five cents, a stream that does not keep to its limit is cut off at the edge', async () => {
    await owner.call(ledger.setBudget, { monthlyCents: 5 })
    provider.play({ text: 'word '.repeat(20_000), usage: { input: 10, output: 20_000 } })
    const guest = system.client({ owner: true })
    const { writerRef, reader } = await guest.createChannel()
    reader.onMessage(() => {})
    const done = await guest.call(llm.stream, {
      messages: [{ role: 'user', content: 'go on' }],
      model: 'bank/dear',
      stream: { ...writerRef, direction: 'write' },
    })
    expect(done).toMatchObject({ stopReason: 'budget_exceeded', budget: FIVE_CENTS })
    expect(done.content.length).toBeLessThan(5 * 8_000)
    await expect.poll(() => provider.answering).toBe(0)
    const { spentMicroUsd, limitMicroUsd } = await realmBudget()
    expect(spentMicroUsd).toBeLessThanOrEqual(limitMicroUsd)
    expect(spentMicroUsd).toBeGreaterThan(0.95 * limitMicroUsd)
  })

  it('refuses a model whose price is not known, where a budget applies, and says how to add it', async () => {
    const unpriced = { model: 'bank/unpriced' }
    await expect(ask(system.client({ owner: true }), unpriced)).resolves.toBeDefined()
    await owner.call(ledger.setBudget, { monthlyCents: 100 })
    const asked = provider.requests.length
    await expect(ask(system.client({ owner: true }), unpriced)).rejects.toMatchObject({
      code: 'price_unknown',
      reason: expect.stringContaining('prices: { "bank/unpriced"'),
    })
    expect(provider.requests.length).toBe(asked)
    expect(await realmBudget()).toMatchObject({ spentMicroUsd: 0, reservedMicroUsd: 0 })
  })

  it('gives back what was held for a request that the provider refused', async () => {
    await owner.call(ledger.setBudget, { monthlyCents: 100 })
    provider.play({ fault: { kind: 'status', status: 500 } })
    await expect(ask(system.client({ owner: true }))).rejects.toMatchObject({ code: 'upstream_error' })
    expect(await realmBudget()).toMatchObject({ spentMicroUsd: 0, reservedMicroUsd: 0 })
    provider.play({ text: 'half of it', fault: { kind: 'half' } })
    await expect(ask(system.client({ owner: true }))).rejects.toMatchObject({ code: 'upstream_error' })
    const { maybeCharged } = await owner.call(ledger.reservations, {})
    expect(maybeCharged).toMatchObject([{ provider: 'bank', model: 'counted' }])
  })

  it('asks no model while a ledger that is installed is down', async () => {
    await owner.call(ledger.setBudget, { monthlyCents: 100 })
    await system.workers.ledger!.kill()
    const asked = provider.requests.length
    await expect(ask(system.client({ owner: true }))).rejects.toMatchObject({ code: 'worker_unavailable' })
    expect(provider.requests.length).toBe(asked)
    await system.workers.ledger!.start()
    await expect(ask(system.client({ owner: true }))).resolves.toBeDefined()
  })

  it('cuts off what guests’ models cost at five dollars a day, until the owner says something else', async () => {
    const there = { owner: true, realm: 'guest' }
    const budgets = async () =>
      (await system.api<{ budgets: ledger.Budget[] }>('GET', '/v1/budgets', undefined, there)).body.budgets
    const guest = system.client()
    const complete = (client: IIIClient, model = 'bank/gold') =>
      ask(client, { model }).then(
        () => 'answered',
        (error: InvocationError) => `${error.code}: ${error.reason}`,
      )
    const outcomes: string[] = []
    do outcomes.push(await complete(guest))
    while (outcomes.at(-1) === 'answered' && outcomes.length < 10)
    expect(outcomes.length).toBeGreaterThan(2)
    const refusal = expect.stringMatching(
      /^budget_exceeded: The default budget of the realm realm-guest \(\$5\.00 per day\)/,
    )
    expect(outcomes.at(-1)).toEqual(refusal)
    expect(await complete(system.client())).toEqual(refusal)

    const [before] = await budgets()
    expect(before).toMatchObject({ isDefault: true, period: 'day', limitMicroUsd: 5_000_000, overdraft: false })
    expect(before!.spentMicroUsd).toBeGreaterThan(2_000_000)
    expect(await complete(owner)).toBe('answered')
    expect(await complete(owner, 'bank/unpriced')).toBe('answered')
    expect(await complete(guest, 'bank/unpriced')).toMatch(/^price_unknown: .*owner token.*unlimited: true/)

    for (const process of [system.workers.ledger!, system.engine]) {
      await process.kill()
      await process.start()
      await system.ready()
    }
    expect(await budgets()).toMatchObject([{ isDefault: true, spentMicroUsd: before!.spentMicroUsd }])

    expect((await system.api('POST', '/v1/budgets', { unlimited: true })).status).toBe(403)
    expect((await system.api('DELETE', `/v1/budgets/${before!.id}`)).status).toBe(403)
    expect((await system.api('DELETE', `/v1/budgets/${before!.id}`, undefined, there)).status).toBe(409)
    const { body: own } = await system.api<ledger.Budget>('POST', '/v1/budgets', { unlimited: true }, there)
    expect(await budgets()).toMatchObject([{ id: own.id, isDefault: false }])
    expect(await complete(guest)).toBe('answered')
    expect(await complete(guest, 'bank/unpriced')).toBe('answered')
    await system.api('DELETE', `/v1/budgets/${own.id}`, undefined, there)
    expect(await budgets()).toMatchObject([{ isDefault: true, spentMicroUsd: before!.spentMicroUsd }])
    expect(await complete(guest)).toEqual(refusal)
  })

  it('lets the owner alone set budgets and move money, and keeps realms apart', async () => {
    const pinned = { realmId: 'realm-default', agentId: 'ops', monthlyCents: 10_000, softThreshold: 0.8 }
    expect((await system.api('POST', '/v1/budgets', pinned)).status).toBeGreaterThanOrEqual(401)
    const { body } = await system.api<ledger.Budget>('POST', '/v1/ledger/budget', pinned, { owner: true })
    expect(body).toMatchObject({ monthlyCents: 10_000, spentCents: 0, hardLimit: true, version: 1, billingCode: null })
    const checked = await system.api('GET', '/v1/ledger/check/realm-default/ops', undefined, { owner: true })
    expect(checked.body).toMatchObject({ allowed: true, limitCents: 10_000, utilizationPct: 0 })
    const elsewhereRealm = system.api('POST', '/v1/budgets', { ...pinned, realmId: 'realm-x' }, { owner: true })
    expect((await elsewhereRealm).body).toMatchObject({ code: 'realm_mismatch' })

    const guest = system.client()
    const reserve = { key: 'k', realmId: 'realm-default', minimumMicroUsd: 1, holdMicroUsd: 1, wantedMicroUsd: 1 }
    for (const [contract, input] of [
      [ledger.reserve, { ...reserve, ...elsewhere }],
      [ledger.settle, { reservationId: 'x', microUsd: 0, inputTokens: 0, outputTokens: 0 }],
      [ledger.release, { reservationId: 'x' }],
      [ledger.spend, { agentId: 'ops', costCents: 1, ...elsewhere }],
    ] as const) {
      const call = guest.trigger({ function_id: contract.id, payload: input })
      await expect(call, contract.id).rejects.toMatchObject({ code: 'forbidden' })
    }
    const entries = guest.trigger({ function_id: 'state::list', payload: { scope: 'ledger-entries' } })
    await expect(entries).rejects.toMatchObject({ code: 'forbidden' })
  })

  it('shows in every reading what an answer cost that came before it', async () => {
    await owner.call(ledger.setBudget, { monthlyCents: 100_000, period: 'total' })
    let before = 0
    for (let asked = 1; asked <= 5; asked += 1) {
      const { cost } = await ask(owner)
      const [budgets, sums, checked, held, used] = await Promise.all([
        owner.call(ledger.budgets, {}),
        owner.call(ledger.summary, {}),
        owner.call(ledger.check, { realmId: 'realm-default', agentId: 'default' }),
        owner.call(ledger.reservations, {}),
        owner.call(llm.usage, {}),
      ])
      before += cost.microUsd!
      expect(budgets.budgets).toMatchObject([{ spentMicroUsd: before, reservedMicroUsd: 0 }])
      expect(checked).toMatchObject({ spentMicroUsd: before, reservedMicroUsd: 0 })
      expect(sums.eventCount).toBe(asked)
      expect(held.open).toEqual([])
      expect(used.stats).toMatchObject([{ requests: asked }])
    }
    const { cost } = await ask(owner)
    await system.workers['llm-router']!.stop()
    expect((await owner.call(ledger.budgets, {})).budgets).toMatchObject([
      { spentMicroUsd: before + cost.microUsd!, reservedMicroUsd: 0 },
    ])
  })

  it('tells subscribers once when a level is crossed, and sums up what was spent', async () => {
    const alerts: { type: string; spentCents: number }[] = []
    const listener = system.client({ owner: true })
    listener.registerFunction('test::alerts', async (alert: { type: string; spentCents: number }) => {
      alerts.push(alert)
    })
    listener.registerTrigger({ type: 'subscribe', function_id: 'test::alerts', config: { topic: 'ledger.alert' } })
    await listener.ready()
    await owner.call(ledger.setBudget, { monthlyCents: 100, billingCode: 'b-1' })
    const spend = { agentId: 'ops', costCents: 45, idempotencyKey: 'one', ...elsewhere }
    await owner.call(ledger.spend, spend)
    await owner.call(ledger.spend, spend)
    await owner.call(ledger.spend, { ...spend, idempotencyKey: 'two' })
    await expect.poll(() => alerts).toMatchObject([{ type: 'soft_threshold', spentCents: 90 }])
    expect(await owner.call(ledger.spend, { ...spend, idempotencyKey: 'three' })).toMatchObject({ overdraft: true })
    await expect.poll(() => alerts.at(-1)).toMatchObject({ type: 'hard_limit_reached', spentCents: 135 })
    const { body } = await system.api('GET', '/v1/spend?groupBy=model', undefined, { owner: true })
    expect(body).toMatchObject({ totalCents: 135, eventCount: 3, breakdown: { m: 135 } })
  })
})

describe('budgets of a chat', () => {
  it('charges the agent, the session and the realm of every model call in it', async () => {
    const provider = await startOpenAiSimulator({ text: 'hello', usage: { input: 100, output: 50 } })
    await using system = await startSystem({
      workers: ALL_WORKERS,
      env: NO_LOCAL_MODELS,
      workerEnv: { 'llm-router': { OPENAI_API_KEY: provider.key } },
      config: {
        workers: [
          {
            name: 'llm-router',
            config: {
              providers: { bank: { baseUrl: provider.url, keyEnv: 'OPENAI_API_KEY' } },
              prices: { [MODEL]: PRICE },
            },
          },
        ],
      },
    })
    const set = (more: object) => system.api('POST', '/v1/budgets', { monthlyCents: 100, ...more }, { owner: true })
    for (const target of [{}, { agentId: 'default' }, { sessionId: 's-1' }, { sessionId: 's-2' }]) await set(target)
    const chat = () =>
      system.api<{ code?: string }>(
        'POST',
        '/v1/chat',
        { message: 'hi', model: MODEL, sessionId: 's-1' },
        { owner: true },
      )
    expect((await chat()).status).toBe(200)
    const { body } = await system.api<{ budgets: ledger.Budget[] }>('GET', '/v1/budgets', undefined, { owner: true })
    expect(body.budgets.map(({ spentMicroUsd }) => spentMicroUsd)).toEqual([200, 200, 200, 0])
    await set({ sessionId: 's-1', monthlyCents: 0 })
    const refused = await chat()
    expect(refused).toMatchObject({ status: 402, body: { code: 'budget_exceeded' } })
    await provider.close()
  })
})

/** An answer that ends with the money, at every door. */
describe('an answer that a budget cuts off says so, and with which amount:', () => {
  let provider: Simulator
  let system: System
  beforeAll(async () => {
    provider = await startOpenAiSimulator(({ body }) => {
      const limit = Number(body.max_completion_tokens ?? body.max_tokens)
      return { text: 'word '.repeat(limit), stop: 'length', usage: { input: 100, output: limit } }
    })
    system = await startSystem({
      workers: ALL_WORKERS,
      env: NO_LOCAL_MODELS,
      workerEnv: { 'llm-router': { OPENAI_API_KEY: provider.key } },
      config: {
        workers: [
          {
            name: 'llm-router',
            config: {
              providers: { bank: { baseUrl: provider.url, keyEnv: 'OPENAI_API_KEY' } },
              prices: { [MODEL]: PRICE },
              default: MODEL,
            },
          },
        ],
      },
    })
  })
  afterAll(async () => {
    await system?.stop()
    await provider?.close()
  })
  beforeEach(async () => {
    const { body } = await system.api<{ budgets: ledger.Budget[] }>('GET', '/v1/budgets', undefined, { owner: true })
    for (const { id } of body.budgets) await system.api('DELETE', `/v1/budgets/${id}`, undefined, { owner: true })
    await system.api('POST', '/v1/budgets', { limitMicroUsd: 5_000 }, { owner: true })
  })

  const cut = {
    limitMicroUsd: 5_000,
    leftMicroUsd: 5_000,
    message: expect.stringContaining('of the realm realm-default'),
  }
  const chat = { message: 'Write a novel' }
  const completion = { messages: [{ role: 'user', content: 'Write a novel' }] }
  const post = (path: string, body: object) => system.api<Record<string, unknown>>('POST', path, body, { owner: true })
  const events = async (path: string, body: object): Promise<Record<string, unknown>[]> => {
    const response = await fetch(`${system.httpUrl}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${system.ownerToken}` },
      body: JSON.stringify({ ...body, stream: true }),
    })
    const data = [...(await response.text()).matchAll(/^data: (\{.*)$/gm)]
    return data.map(([, json]) => JSON.parse(json!) as Record<string, unknown>)
  }

  it.each(['/v1/chat', '/v1/chat/stream'])('whole at %s', async (path) => {
    const { body } = await post(path, chat)
    expect(body).toMatchObject({ stopReason: 'budget_exceeded', budget: cut })
  })

  it.each(['/v1/chat', '/v1/chat/stream'])('as a stream at %s', async (path) => {
    const done = (await events(path, chat)).at(-1)
    expect(done).toMatchObject({ stopReason: 'budget_exceeded', budget: cut })
  })

  it.each([MODEL, 'agent/default'])('OpenAI’s completions of %s', async (model) => {
    const { body } = await post('/v1/chat/completions', { ...completion, model })
    expect(body).toMatchObject({ choices: [{ finish_reason: 'length' }], budget_exceeded: cut })
  })

  it.each([MODEL, 'agent/default'])('OpenAI’s completions of %s as a stream', async (model) => {
    const last = (await events('/v1/chat/completions', { ...completion, model })).at(-1)
    expect(last).toMatchObject({ choices: [{ finish_reason: 'length' }], budget_exceeded: cut })
  })

  it('OpenAI’s chunks of an agent', async () => {
    const last = (await events('/v1/chat/completions/stream', chat)).at(-1)
    expect(last).toMatchObject({ choices: [{ finish_reason: 'length' }], budget_exceeded: cut })
  })

  it('but not one that is as long as the request lets it be', async () => {
    const { body } = await post('/v1/chat/completions', { ...completion, model: MODEL, max_tokens: 5 })
    expect(body).toMatchObject({ choices: [{ finish_reason: 'length' }] })
    expect(body).not.toHaveProperty('budget_exceeded')
  })
})

const FIVE_CENTS = { limitMicroUsd: 50_000 }
const elsewhere = { provider: 'p', model: 'm', inputTokens: 1, outputTokens: 1 }
