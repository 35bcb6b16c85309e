import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { type Simulator, type System, startOpenAiSimulator, startSystem } from '@agentos/testing'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ALL_WORKERS, type ChatReply, NO_GUEST_BUDGET, NO_LOCAL_MODELS } from './support/all-workers.ts'

interface Sent {
  messages: { role: string; content: unknown }[]
  tools?: { function: { name: string; parameters: { type: string; properties: object } } }[]
}
interface Agent {
  id: string
  status: string
  version: number
  capabilities: { functions: string[] }
}

const model = 'sim/test-model'
/** In the realm of those who chat here. */
const OWNER = { owner: true, realm: 'guest' }
/** A function without a grant is not offered; whoever asks for it all the same is refused before anybody is called. */
const NOT_OFFERED = expect.stringMatching(/^(unknown_tool|forbidden)$/)

let simulator: Simulator
let system: System

beforeAll(async () => {
  simulator = await startOpenAiSimulator({ text: 'ok' })
  system = await startSystem({
    workers: ALL_WORKERS,
    env: NO_LOCAL_MODELS,
    workerEnv: { 'llm-router': { OPENAI_API_KEY: 'test-key' } },
    config: {
      workers: [
        NO_GUEST_BUDGET,
        {
          name: 'llm-router',
          config: { providers: { sim: { baseUrl: simulator.url, format: 'openai-chat', keyEnv: 'OPENAI_API_KEY' } } },
        },
      ],
    },
  })
  // What plain clients serve counts as external: the owner lets these tests' agents call it without being asked.
  const allow = ['work::*', 'danger::*', 'look::*', 'make::*', 'again::*']
  expect((await system.api('POST', '/v1/approvals/policy', { allow }, OWNER)).status).toBe(200)
})
afterAll(async () => {
  await system?.stop()
  await simulator?.close()
})

const chat = (message: string, more: object = {}) =>
  system.api<ChatReply & { code: string; agentCreated?: boolean }>(
    'POST',
    '/v1/chat',
    { message, model, ...more },
    OWNER,
  )
const sent = (index = -1): Sent => simulator.requests.at(index)!.body as unknown as Sent

/** Functions of a plain client, which an agent is granted by `work::*`. */
async function serve(functions: Record<string, (input: never) => unknown>, metadata?: object): Promise<void> {
  const client = system.client()
  for (const [id, handler] of Object.entries(functions)) {
    const schema = { type: 'object', properties: { n: { type: 'integer' } } }
    client.registerFunction(
      id,
      handler as never,
      { request_format: schema, ...(metadata ? { metadata } : {}) } as never,
    )
  }
  await client.trigger({ function_id: 'engine::functions::list', payload: {} })
}
const create = (id: string, functions: string[], more: object = {}) =>
  system.api('POST', '/v1/agents', { id, name: id, capabilities: { functions, ...more } }, OWNER)

describe('what a model is told', () => {
  it('is what was recalled, as context and never as turns that nobody took', async () => {
    await system.api('POST', '/v1/functions/call', {
      functionId: 'memory::store',
      payload: { agentId: 'default', content: 'The lighthouse keeper is called Ismael' },
    })
    simulator.play({ text: 'Ismael.' })
    await chat('Who is the lighthouse keeper?')
    const { messages } = sent()
    const [system_, ...turns] = messages
    expect(system_).toMatchObject({ role: 'system', content: expect.stringContaining('Ismael') })
    expect(turns).toEqual([{ role: 'user', content: expect.stringContaining('lighthouse keeper?') }])
  })

  it('are the functions of its grants, with their schemas, and never more than forty', async () => {
    const many = Object.fromEntries(Array.from({ length: 60 }, (_, n) => [`work::job${n}`, () => n]))
    await serve(many)
    await create('worker', ['work::*'])
    simulator.play({ text: 'ok' })
    await chat('please do job17', { agentId: 'worker' })
    const { tools = [] } = sent()
    expect(tools.length).toBeLessThanOrEqual(40)
    expect(tools.map((tool) => tool.function.name)).toContain('work__job17')
    expect(tools.every((tool) => tool.function.name.startsWith('work__'))).toBe(true)
    expect(tools[0]!.function.parameters).toMatchObject({ type: 'object', properties: { n: { type: 'integer' } } })
    await chat('hello')
    expect(sent().tools?.every((tool) => !tool.function.name.startsWith('work__'))).toBe(true)
  })
})

describe('what a model asks for', () => {
  it('is refused without a grant, though the function is there, and runs as the agent with one', async () => {
    let ran = 0
    await serve({ 'danger::zone': () => (ran += 1) })
    const script = [{ toolCalls: [{ name: 'danger__zone', arguments: {} }] }, { text: 'done' }]
    simulator.play(script)
    const refused = await chat('go', { agentId: 'default' })
    expect(refused.body.toolCalls).toMatchObject([{ id: 'danger::zone', ok: false, error: { code: NOT_OFFERED } }])
    expect(ran).toBe(0)
    await create('daring', ['danger::zone'])
    simulator.play(script)
    expect((await chat('go', { agentId: 'daring' })).body.toolCalls).toMatchObject([{ ok: true }])
    expect(ran).toBe(1)
    await create('denied', ['*'], { deny: ['danger::*'] })
    simulator.play(script)
    expect((await chat('go', { agentId: 'denied' })).body.toolCalls).toMatchObject([{ error: { code: NOT_OFFERED } }])
    expect(ran).toBe(1)
  })

  it('does not reach the owner’s functions, whatever the grant and whoever chats', async () => {
    await create('greedy', ['*'])
    const calls = [
      { name: 'security__set_capabilities', arguments: { agentId: 'greedy', capabilities: { tools: ['*'] } } },
      { name: 'llm__set_key', arguments: { provider: 'openai', key: 'stolen' } },
      { name: 'memory__purge_agent', arguments: { agentId: 'default' } },
      { name: 'agent__update', arguments: { agentId: 'default', capabilities: { functions: ['*'] } } },
      { name: 'agent__delete', arguments: { agentId: 'default' } },
    ]
    simulator.play([{ toolCalls: calls }, { text: 'done' }])
    const { body } = await chat('take everything', { agentId: 'greedy' })
    expect(body.toolCalls.map(({ id, ok }) => [id, ok])).toEqual(
      calls.map(({ name }) => [name.replace('__', '::'), false]),
    )
    const { body: agent } = await system.api<Agent>('GET', '/v1/agents/default')
    expect(agent.capabilities.functions).not.toContain('*')
  })

  it('runs side by side where it only reads, and one after the other elsewhere', async () => {
    let running = 0
    let most = 0
    const work = async (end: Promise<unknown>): Promise<void> => {
      running += 1
      most = Math.max(most, running)
      await end
      running -= 1
    }
    // Those that read are let go once all three are there.
    const all = Promise.withResolvers<void>()
    const look = () => {
      if (running === 2) all.resolve()
      return work(all.promise)
    }
    const make = () => work(delay(50))
    await serve({ 'look::a': look, 'look::b': look, 'look::c': look }, { effects: 'read' })
    await serve({ 'make::a': make, 'make::b': make, 'make::c': make })
    await create('busy', ['look::*', 'make::*'])
    const ask = async (space: string): Promise<number> => {
      most = 0
      const toolCalls = ['a', 'b', 'c'].map((name) => ({ name: `${space}__${name}`, arguments: {} }))
      simulator.play([{ toolCalls }, { text: 'done' }])
      const { body } = await chat('all three', { agentId: 'busy' })
      expect(body.toolCalls.map(({ id, ok }) => [id, ok])).toEqual(
        ['a', 'b', 'c'].map((name) => [`${space}::${name}`, true]),
      )
      return most
    }
    expect(await ask('look')).toBe(3)
    expect(await ask('make')).toBe(1)
  })
})

describe('a chat ends', () => {
  it('at its rounds, tokens and time with a reason of its own', async () => {
    await serve({ 'again::and': () => 'again' })
    await create('endless', ['again::*'])
    const again = (request: { index: number }) => ({
      toolCalls: [{ name: 'again__and', arguments: { n: request.index } }],
      usage: { input: 100, output: 10 },
    })
    simulator.play(again)
    const rounds = await chat('go', { agentId: 'endless', maxIterations: 3 })
    expect(rounds.body).toMatchObject({ stopReason: 'max_rounds', iterations: 3 })
    simulator.play(again)
    const tokens = await chat('go', { agentId: 'endless', maxTokens: 250 })
    expect(tokens.body).toMatchObject({ stopReason: 'max_tokens', iterations: 2 })
    simulator.play({ text: 'cut', stop: 'length' })
    expect((await chat('go')).body).toMatchObject({ stopReason: 'length', content: 'cut' })
    simulator.play({ fault: { kind: 'hang' } })
    const late = await chat('go', { timeoutMs: 300 })
    expect(late.body.code).toMatch(/deadline_exceeded|upstream_timeout/)
    await expect.poll(() => simulator.answering).toBe(0)
  })
})

describe('agents', () => {
  it('have a default with few grants, and routes to create, read, change, list and delete', async () => {
    const { body: first } = await system.api<Agent>('GET', '/v1/agents/default')
    expect(first.capabilities.functions.sort()).toEqual([
      'agent::find_functions',
      'agent::list_functions',
      'memory::recall',
      'memory::search',
      'memory::store',
    ])
    expect((await system.api('POST', '/v1/agents', { id: 'ops', name: 'Ops' }, OWNER)).status).toBe(201)
    expect((await system.api('POST', '/v1/agents', { id: 'ops', name: 'Ops' }, OWNER)).status).toBe(409)
    const changed = await system.api<Agent>('PATCH', '/v1/agents/ops', { status: 'paused' }, OWNER)
    expect(changed.body).toMatchObject({ status: 'paused', version: 2 })
    const stale = { status: 'active', expectedVersion: 1 }
    expect((await system.api('PATCH', '/v1/agents/ops', stale, OWNER)).body).toMatchObject({ code: 'version_conflict' })
    expect((await chat('hi', { agentId: 'ops' })).body.code).toBe('conflict')
    const { body: list } = await system.api<Agent[]>('GET', '/v1/agents', undefined, OWNER)
    expect(list.map(({ id }) => id)).toEqual(expect.arrayContaining(['default', 'ops']))
    expect((await system.api('DELETE', '/v1/agents/ops', undefined, OWNER)).body).toEqual({ deleted: true })
    expect((await system.api('GET', '/v1/agents/ops')).status).toBe(404)
  })

  it('that nobody knows are made for the owner and for guests at home, and an error elsewhere', async () => {
    const agentId = `newcomer-${randomUUID()}`
    simulator.play({ text: 'hello' })
    type Reply = ChatReply & { code?: string; agentCreated?: boolean }
    const say = async (as: object) =>
      (await system.api<Reply>('POST', '/v1/chat', { message: 'hi', model, agentId }, as)).body
    for (const as of [{}, { owner: true }]) {
      const first = await say(as)
      expect(first).toMatchObject({ agentCreated: true, content: 'hello' })
      const looking = 'owner' in as ? as : OWNER
      const { body: replay } = await system.api('POST', `/v1/runs/${first.runId}/replay`, {}, looking)
      expect(replay).toMatchObject({ ok: true, resultEqual: true })
      expect((await say(as)).agentCreated).toBeUndefined()
    }
    const { body: realm } = await system.api<{ id: string }>('POST', '/v1/realms', { name: 'strict' }, OWNER)
    expect((await say({ ...OWNER, realm: realm.id })).code).toBe('not_found')
    const other = { message: 'hi', model, agentId: `newcomer-${randomUUID()}` }
    expect((await system.api('POST', '/v1/chat', other, OWNER)).status).toBe(404)
  })
})
