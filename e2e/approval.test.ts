import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Request } from '@agentos/contracts/approval'
import {
  type CallOptions,
  defineFunction,
  defineWorker,
  type HandlerContext,
  type IIIClient,
  type InvocationError,
  serve as serveContract,
  type TriggerRequest,
  type WorkerHandle,
} from '@agentos/sdk'
import {
  type Simulator,
  type SmtpSimulator,
  type System,
  startOpenAiSimulator,
  startSmtpSimulator,
  startSystem,
} from '@agentos/testing'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import * as z from 'zod'
import { ALL_WORKERS, type ChatReply, NO_GUEST_BUDGET, NO_LOCAL_MODELS } from './support/all-workers.ts'

const CLI = join(import.meta.dirname, '../dist/agentos.mjs')
/** In the realm of guests, where what plain clients serve is. */
const OWNER = { owner: true, realm: 'guest' } as const
const LETTER = { to: 'harbour@example.com', subject: 'Hours', text: 'We close at nine.' }

let mails: SmtpSimulator
let model: Simulator
let system: System
/** Makes calls as the installed worker that runs agents does: within the call that it serves, naming the agent. */
let loop: WorkerHandle
let owner: IIIClient
/** The installed worker for itself. */
let installed: IIIClient
/** What reached a function that nobody described. */
const reached: { way: string }[] = []

beforeAll(async () => {
  ;[mails, model] = await Promise.all([startSmtpSimulator(), startOpenAiSimulator({ text: 'hello' })])
  const providers = { sim: { baseUrl: model.url, format: 'openai-chat', keyEnv: 'OPENAI_API_KEY' } }
  system = await startSystem({
    workers: ALL_WORKERS,
    env: NO_LOCAL_MODELS,
    workerEnv: {
      'llm-router': { OPENAI_API_KEY: 'test-key' },
      toolbox: { SMTP_URL: mails.url, MAIL_FROM: 'agent@example.com' },
    },
    config: {
      workers: [
        NO_GUEST_BUDGET,
        { name: 'llm-router', config: { providers } },
        { name: 'toolbox', config: { allow_private: ['127.0.0.0/8'] } },
        { name: 'iii-queue', config: { queue_configs: { jobs: { max_retries: 2, backoff_ms: 50 } } } },
      ],
    },
  })
  const credential = readFileSync(join(system.dataDir, 'credentials/agent-core'), 'utf8').trim()
  installed = system.client({ credential })
  owner = system.client({ owner: true, headers: { 'X-AgentOS-Realm': 'guest' } })
  loop = await connect('agent-core', credential, 'loop::choose', (call, ctx) => ctx.trigger(call))
  await serve('sink::send', async (input: { way?: string; new_value?: { way: string } }) => {
    reached.push({ way: input.way ?? input.new_value!.way })
    return 'sent'
  })
})
afterAll(async () => {
  await loop?.stop()
  await system?.stop()
  await Promise.all([mails?.close(), model?.close()])
})

/** A function of a plain client that no manifest knows; resolves when it can be called. */
async function serve(id: string, handler: (input: never) => Promise<unknown>): Promise<void> {
  system.client().registerFunction(id, handler as never)
  await vi.waitUntil(() => listed(id), { timeout: 20_000 })
}

/** A worker with one function, which takes any input; without a credential a guest's. */
async function connect(
  name: string,
  credential: string | undefined,
  id: string,
  handle: (input: TriggerRequest & CallOptions, ctx: HandlerContext) => Promise<unknown>,
): Promise<WorkerHandle> {
  const contract = defineFunction({ id, summary: id, input: z.any, output: z.unknown, effects: 'write' })
  const worker = defineWorker({ name, functions: [serveContract(contract, handle)] })
  const handle_ = await worker.connect({ url: system.wsUrl, ...(credential === undefined ? {} : { credential }) })
  await vi.waitUntil(() => listed(id), { timeout: 20_000 })
  return handle_
}

async function listed(id: string): Promise<boolean> {
  const payload = { search: id }
  const list = await owner.trigger<object, unknown>({ function_id: 'engine::functions::list', payload })
  return JSON.stringify(list).includes(`"function_id":${JSON.stringify(id)}`)
}

/** What a model of this agent chose. */
const choose = <T = unknown>(agent: string, function_id: string, payload: object, more: object = {}): Promise<T> =>
  owner.trigger({ function_id: 'loop::choose', payload: { function_id, payload, agent, ...more } })

async function refusal(call: Promise<unknown>): Promise<InvocationError & { details: Record<string, unknown> }> {
  try {
    await call
  } catch (error) {
    return error as InvocationError & { details: Record<string, unknown> }
  }
  throw new Error('It was not refused')
}

/** Asks for what needs an approval; answers the id of the request. */
async function ask(agent: string, function_id: string, payload: object, more: object = {}): Promise<string> {
  const error = await refusal(choose(agent, function_id, payload, more))
  expect(error.code, error.message).toBe('approval_required')
  return String(error.details.requestId)
}

const api = <T>(method: string, path: string, body?: object, options: object = OWNER) =>
  system.api<T & { code?: string }>(method, path, body, options)
const decide = (requestId: string, decision: string, more: object = {}, options: object = OWNER) =>
  api<{ status: string | number }>('POST', '/v1/approvals/decide', { requestId, decision, ...more }, options)
const requests = async (query = '', options: object = OWNER) =>
  (await api<Request[]>('GET', `/v1/approvals${query}`, undefined, options)).body
const request = async (id: string) => (await requests()).find((found) => found.id === id)!
const waysReached = (way: string) => reached.filter((sent) => sent.way === way).length
const auditEntries = async () =>
  (await api<{ entries: number; valid: boolean }>('GET', '/v1/security/audit/verify')).body

// Requests, decisions and what they let through stay: a test tried again would find those of its first try.
describe('an agent that wants to send a mail', { retry: 0 }, () => {
  const CHAT = { agentId: 'clerk', message: 'Send an email to the harbour.', model: 'sim/test-model' }
  /** Chats until the agent waits for somebody; answers the id of the run. */
  const chat = async (more: object = {}, options: object = OWNER): Promise<string> => {
    model.play([{ toolCalls: [{ name: 'fn__email_send', arguments: LETTER }] }, { text: 'Done.' }])
    const { body } = await api<ChatReply>('POST', '/v1/chat', { ...CHAT, ...more }, options)
    expect(body).toMatchObject({ stopReason: 'waiting', toolCalls: [] })
    return body.runId
  }
  const pendingOf = (runId: string) =>
    requests('?status=pending&agentId=clerk').then((found) => found.filter((each) => each.runId === runId))
  /** What became of the call, once the run has ended. */
  const outcome = async (runId: string) => {
    const { body } = await api<{ status: string; result: ChatReply }>('GET', `/v1/runs/${runId}/result?waitMs=20000`)
    expect(body).toMatchObject({ status: 'done', result: { content: 'Done.', stopReason: 'stop' } })
    return body.result.toolCalls[0]!
  }

  it('sends nothing before a person approved it, and then this mail, once', async () => {
    const agent = { id: 'clerk', name: 'Clerk', capabilities: { functions: ['fn::*'] } }
    expect((await api('POST', '/v1/agents', agent)).status).toBeLessThan(300)
    const before = await auditEntries()
    const runId = await chat()
    expect(mails.connections).toBe(0)

    const [waiting] = await pendingOf(runId)
    expect(waiting).toMatchObject({
      agentId: 'clerk',
      toolName: 'fn::email_send',
      effects: 'external',
      params: LETTER,
      paramsCut: false,
      status: 'pending',
      timeoutMs: 300_000,
      requestedBy: 'agent-core',
    })
    // Another run that wants the same has a request of its own.
    const other = await chat()
    expect((await pendingOf(other)).map(({ id: found }) => found)).not.toContain(waiting!.id)

    model.play({ text: 'Done.' })
    expect((await decide(waiting!.id, 'approve')).body).toEqual({ requestId: waiting!.id, status: 'approved' })
    expect(await outcome(runId)).toMatchObject({ ok: true })
    expect(mails.received).toHaveLength(1)
    expect(mails.received[0]).toMatchObject({ to: [LETTER.to] })
    expect(mails.received[0]!.body.trim()).toBe(LETTER.text)
    const used = await request(waiting!.id)
    expect(used).toMatchObject({ status: 'approved', decidedBy: 'owner:owner' })
    expect(used.usedAt).toBeGreaterThanOrEqual(used.decidedAt!)
    expect(await pendingOf(other)).toHaveLength(1)
    const after = await auditEntries()
    expect(after.valid).toBe(true)
    // Requested twice, granted, used.
    expect(after.entries - before.entries).toBeGreaterThanOrEqual(4)
  })

  it('is told of a denial and its reason, and the decision stands', async () => {
    const runId = await chat()
    const [waiting] = await pendingOf(runId)
    model.play({ text: 'Done.' })
    expect((await decide(waiting!.id, 'deny', { reason: 'not on a Sunday' })).body).toMatchObject({ status: 'denied' })
    expect(await outcome(runId)).toMatchObject({
      error: { code: 'approval_denied', message: expect.stringContaining('not on a Sunday') },
    })
    expect(JSON.stringify(model.requests.at(-1)!.body)).toContain('not on a Sunday')
    expect((await decide(waiting!.id, 'approve')).body).toMatchObject({ code: 'conflict' })
    expect(mails.received).toHaveLength(1)
  })

  it('has it sent when it is approved, though another chat has the session meanwhile, and answers after that one', async () => {
    const session = { sessionId: 'shared' }
    const key = { headers: { 'idempotency-key': 'shared-letter' }, ...OWNER }
    const runId = await chat(session, key)
    const [waiting] = await pendingOf(runId)
    const { promise: held, resolve: free } = Promise.withResolvers<void>()
    model.play((request) =>
      JSON.stringify(request.body).includes('Meanwhile')
        ? { text: 'Mean while.', midway: () => held }
        : { text: 'Done.' },
    )
    const other = api<ChatReply>('POST', '/v1/chat', { ...CHAT, ...session, message: 'Meanwhile, who are you?' })
    await vi.waitUntil(() => model.answering === 1, { timeout: 20_000 })
    // Who asks again is told why there is no answer yet, and waits for nobody's turn.
    const again = await api<ChatReply>('POST', '/v1/chat', { ...CHAT, ...session }, key)
    expect(again.body).toMatchObject({ runId, stopReason: 'waiting' })
    const before = mails.received.length
    await decide(waiting!.id, 'approve')
    await vi.waitUntil(() => mails.received.length > before, { timeout: 20_000 })
    expect(model.answering).toBe(1)
    free()
    expect((await other).body).toMatchObject({ content: 'Mean while.' })
    expect(await outcome(runId)).toMatchObject({ ok: true })
    expect(mails.received).toHaveLength(before + 1)
  })

  it('is replayed whoever has its session', async () => {
    const session = { sessionId: 'replayed' }
    model.play({ text: 'Done.' })
    const { body: first } = await api<ChatReply>('POST', '/v1/chat', { ...CHAT, ...session })
    const { promise: held, resolve: free } = Promise.withResolvers<void>()
    model.play({ text: 'Done.', midway: () => held })
    const other = api<ChatReply>('POST', '/v1/chat', { ...CHAT, ...session })
    await vi.waitUntil(() => model.answering === 1, { timeout: 20_000 })
    const replayed = await api<{ ok: boolean }>('POST', `/v1/runs/${first.runId}/replay`, {})
    expect(replayed.body).toMatchObject({ ok: true, resultEqual: true })
    free()
    await other
  })

  it('reads and writes inside without anybody being asked', async () => {
    await choose('reader', 'fn::file_write', { path: 'a.txt', content: 'x' })
    await choose('reader', 'fn::file_read', { path: 'a.txt' })
    await choose('reader', 'memory::search', { query: 'x' })
    await choose('reader', 'engine::functions::list', {})
    expect(await requests('?agentId=reader')).toEqual([])
  })
})

/** Ways to have `sink::send` done for an agent; each is given an agent of its own, and says its name in the input. */
interface Way {
  name: string
  go(agent: string, input: { way: string }): Promise<unknown>
}

const id = 'sink::send'
const ways: Way[] = [
  { name: 'a call', go: (agent, input) => choose(agent, id, input) },
  { name: 'a void call', go: (agent, input) => choose(agent, id, input, { action: { type: 'void' } }) },
  {
    name: 'a job in a queue',
    go: (agent, input) => choose(agent, id, input, { action: { type: 'enqueue', queue: 'jobs' } }),
  },
  { name: 'an idempotency key', go: (agent, input) => choose(agent, id, input, { idempotencyKey: 'k' }) },
  {
    name: 'retries',
    go: (agent, input) => choose(agent, id, input, { retry: { max: 3, backoffMs: 1 } }),
  },
  { name: 'a run and a session', go: (agent, input) => choose(agent, id, input, { run: 'run-1', session: 's-1' }) },
  { name: 'a function that calls on', go: (agent, input) => choose(agent, 'relay::call', input) },
  { name: 'a function that calls on after its answer', go: (agent, input) => choose(agent, 'relay::later', input) },
  {
    name: 'a job that a function puts into a queue',
    go: (agent, input) => choose(agent, 'relay::job', input),
  },
  {
    name: 'a durable message to a subscriber',
    go: async (agent, input) => {
      const plain = system.client()
      plain.registerTrigger({ type: 'durable:subscriber', function_id: id, config: { topic: 'way.durable' } })
      await expect.poll(() => bound(plain, 'way.durable')).toBe(true)
      return choose(agent, 'iii::durable::publish', { topic: 'way.durable', data: input })
    },
  },
  {
    name: 'a message to a subscriber that a guest bound',
    go: async (agent, input) => {
      const plain = system.client()
      plain.registerTrigger({ type: 'subscribe', function_id: id, config: { topic: 'way.pubsub' } })
      await expect.poll(() => bound(plain, 'way.pubsub')).toBe(true)
      return choose(agent, 'publish', { topic: 'way.pubsub', data: input })
    },
  },
  {
    name: 'a change of state that a guest’s trigger hears of',
    go: async (agent, input) => {
      const plain = system.client()
      plain.registerTrigger({ type: 'state', function_id: id, config: { scope: 'way-state' } })
      await expect.poll(() => bound(plain, 'way-state')).toBe(true)
      return choose(agent, 'state::set', { scope: 'way-state', key: 'k', value: input })
    },
  },
]

async function bound(client: IIIClient, text: string): Promise<boolean> {
  const rows = await client.trigger({ function_id: 'engine::registered-triggers::list', payload: {} })
  return JSON.stringify(rows).includes(text)
}

describe('no way goes around it', () => {
  const relays: WorkerHandle[] = []

  beforeAll(async () => {
    relays.push(
      await connect('relay', undefined, 'relay::call', (payload, ctx) => ctx.trigger({ function_id: id, payload })),
      await connect('relay', undefined, 'relay::later', async (payload, ctx) => {
        const later = ctx.detach({ deadlineMs: 10_000 })
        setTimeout(() => later.trigger({ function_id: id, payload }).catch(() => {}), 50)
      }),
      await connect('relay', undefined, 'relay::job', (payload, ctx) =>
        ctx.trigger({ function_id: id, payload, action: { type: 'enqueue', queue: 'jobs' } }),
      ),
    )
    // The functions that call on are let through; what they call is not.
    const policy = await api('POST', '/v1/approvals/policy', { allow: ['relay::*'] })
    expect(policy.body).toEqual({ updated: true })
  })
  afterAll(async () => {
    await api('POST', '/v1/approvals/policy', { clear: true })
    for (const relay of relays) await relay.stop()
  })

  it.each(ways.map((way, index) => [way.name, way, index] as const))('%s', async (_name, way, index) => {
    const agent = `way-${index}`
    await way.go(agent, { way: agent }).catch(() => {})
    // The question was asked, so that nothing is still on its way: only then does silence say something.
    await expect
      .poll(async () => (await requests(`?status=pending&agentId=${agent}`)).length, { timeout: 20_000 })
      .toBe(1)
    const [waiting] = await requests(`?status=pending&agentId=${agent}`)
    expect(JSON.stringify(waiting!.params)).toContain(`"way":"${agent}"`)
    expect(waysReached(agent)).toBe(0)
  })

  it('a job in a queue runs once, when a person has approved it', async () => {
    const at = ways.findIndex(({ name }) => name === 'a job in a queue')
    const [waiting] = await requests(`?status=pending&agentId=way-${at}`)
    await decide(waiting!.id, 'approve')
    await expect.poll(() => waysReached(`way-${at}`), { timeout: 20_000 }).toBe(1)
    await expect.poll(async () => (await request(waiting!.id)).usedAt).toBeGreaterThan(0)
    expect(await requests(`?status=pending&agentId=way-${at}`)).toEqual([])
  })

  it('a job is judged as what a model chose, and one that an approved function puts there is covered', async () => {
    await api('POST', '/v1/approvals/policy', { agentId: 'putter', tools: ['memory::store', 'relay::job'] })
    const note = { content: 'a note' }
    await choose('putter', 'memory::store', note, { action: { type: 'enqueue', queue: 'jobs' } })
    await expect.poll(async () => (await requests('?status=pending&agentId=putter')).length).toBe(1)
    const input = { way: 'putter' }
    await decide(await ask('putter', 'relay::job', input), 'approve')
    await choose('putter', 'relay::job', input)
    await expect.poll(() => waysReached('putter')).toBe(1)
    const tools = (await requests('?status=pending&agentId=putter')).map(({ toolName }) => toolName)
    expect(tools).toEqual(['memory::store'])
  })

  it('a chat that an agent starts has to ask for what its model chooses, approved or not', async () => {
    const agent = { id: 'boss', name: 'Boss', capabilities: { functions: ['agent::*', 'sink::*'] } }
    expect((await api('POST', '/v1/agents', agent)).status).toBeLessThan(300)
    const delegate = { agentId: 'boss', sessionId: 'another', message: 'send it', model: 'sim/test-model' }
    // The owner wants to be asked for the chat too: approving that approves nothing that the model in it chooses.
    await api('POST', '/v1/approvals/policy', { agentId: 'boss', tools: ['agent::chat'] })
    await decide(await ask('boss', 'agent::chat', delegate), 'approve')
    model.play([{ toolCalls: [{ name: 'sink__send', arguments: { way: 'boss' } }] }, { text: 'Done.' }])
    const reply = await choose<ChatReply>('boss', 'agent::chat', delegate)
    expect(reply).toMatchObject({ stopReason: 'waiting', content: expect.stringContaining('sink::send') })
    expect(await requests('?status=pending&agentId=boss')).toHaveLength(1)
    expect(waysReached('boss')).toBe(0)
  })

  it.each(['Sink::send', 'sink::Send', 'SINK::SEND', 'sink:: send', ' sink::send', 'sink::send\u0000', 'sink::ѕend'])(
    'not the spelling %j',
    async (spelling) => {
      const { code } = await refusal(choose('speller', spelling, { way: 'speller' }))
      expect(code).toBe('function_not_found')
      expect(waysReached('speller')).toBe(0)
    },
  )

  it('not a function that sounds like one and that a guest registers, nor one that calls itself harmless', async () => {
    const metadata = { effects: 'read', idempotent: true, access: 'guest' }
    for (const name of ['fnx::email_send', 'harmless::read']) {
      const client = system.client()
      const handler = async () => reached.push({ way: name })
      client.registerFunction(name, handler as never, { metadata } as never)
      await expect.poll(() => listed(name)).toBe(true)
      await ask('trusting', name, { way: name })
      expect(waysReached(name)).toBe(0)
    }
  })

  it('not a request over HTTP to our own ports, nor another method of a function that may read', async () => {
    const own = { url: `${system.httpUrl}/v1/functions/call`, method: 'POST', body: { functionId: id } }
    await decide(await ask('caller', 'fn::http_request', own), 'approve')
    expect((await refusal(choose('caller', 'fn::http_request', own))).code).toBe('forbidden')
    for (const method of ['POST', 'PUT', 'PATCH', 'DELETE']) {
      await ask(`caller-${method}`, 'fn::http_request', { url: 'http://127.0.0.1:9/', method })
    }
    const disguised = { url: 'http://127.0.0.1:9/', method: 'GET', headers: { 'x-http-method-override': 'DELETE' } }
    await ask('caller-disguised', 'fn::http_request', disguised)
  })

  it('nor the functions of the approvals themselves', async () => {
    const waiting = await ask('clever', id, { way: 'clever' })
    for (const [name, payload] of [
      ['approval::decide', { requestId: waiting, decision: 'approve' }],
      ['approval::set_policy', { effects: [] }],
      ['approval::gate', { agentId: 'clever', functionId: id, effects: 'read' }],
      ['approval::check', { agentId: 'clever', toolName: id }],
      ['state::set', { scope: 'approvals', key: `realm-default/${waiting}`, value: { status: 'approved' } }],
      ['state::delete', { scope: 'approval-policy', key: 'realm-default' }],
    ] as const) {
      expect((await refusal(choose('clever', name, payload))).code, name).toBe('forbidden')
    }
    expect(await request(waiting)).toMatchObject({ status: 'pending' })
    await ask('clever', id, { way: 'clever' })
    expect(waysReached('clever')).toBe(0)
  })
})

describe('the name of an agent', { retry: 0 }, () => {
  it('is given by the worker that runs agents alone: no guest opens requests for one, or uses its approvals up', async () => {
    const input = { way: 'named' }
    const approved = await ask('named', id, input)
    await decide(approved, 'approve')
    const guest = system.client()
    for (const client of [guest, system.client({ owner: true }), installed]) {
      const claim = { function_id: id, payload: input, agent: 'named' }
      expect(await refusal(client.trigger(claim as never))).toMatchObject({
        code: 'forbidden',
        details: { field: 'agent' },
      })
      const run = { function_id: 'memory::recall', payload: {}, run: 'run-1' }
      expect((await refusal(client.trigger(run as never))).code).toBe('forbidden')
    }
    const check = { function_id: 'approval::check', payload: { agentId: 'named', toolName: id, params: input } }
    expect((await refusal(guest.trigger(check))).code).toBe('forbidden')
    // A guest that has the same agent do the same, in the same words, asks anew: the approval is the owner's.
    const theirs = await refusal(
      guest.trigger({ function_id: 'loop::choose', payload: { function_id: id, payload: input, agent: 'named' } }),
    )
    expect(theirs.code).toBe('approval_required')
    expect(theirs.details.requestId).not.toBe(approved)
    expect(await request(String(theirs.details.requestId))).toMatchObject({ onBehalfOf: { kind: 'guest' } })
    expect(waysReached('named')).toBe(0)
    expect(await choose('named', id, input)).toBe('sent')
  })

  it('is not believed of an input either, where it would make an agent or a session pay', async () => {
    const messages = [{ role: 'user', content: 'hi' }]
    for (const claim of [{ agentId: 'named' }, { sessionId: 'theirs' }]) {
      const call = { functionId: 'llm::complete', payload: { messages, model: 'demo/rules', ...claim } }
      expect((await api('POST', '/v1/functions/call', call, {})).status).toBe(403)
      expect((await api('POST', '/v1/functions/call', call)).status).toBe(200)
    }
    const plain = { model: 'demo/rules', messages }
    const headers = { 'x-session-id': 'not-theirs' }
    expect((await api('POST', '/v1/chat/completions', { ...plain, sessionId: 'not-theirs' }, { headers })).status).toBe(
      200,
    )
    const { stats } = (await api<{ stats: object[] }>('GET', '/v1/llm/usage?by=session')).body
    expect(stats).not.toContainEqual(expect.objectContaining({ session: 'not-theirs' }))
  })
})

describe('an approval', { retry: 0 }, () => {
  it('is for exactly this input, agent, run and realm, whatever the order of the keys', async () => {
    const input = { way: 'exact', to: 'a', amount: 1 }
    const approved = await ask('exact', id, input)
    await decide(approved, 'approve')
    for (const [agent, payload, more] of [
      ['exact', { ...input, amount: 2 }, {}],
      ['exact', { ...input, amount: '1' }, {}],
      ['exact', { ...input, extra: null }, {}],
      ['other', input, {}],
      ['exact', input, { run: 'run-9' }],
    ] as const) {
      expect(await ask(agent, id, payload, more)).not.toBe(approved)
    }
    const realm = (await api<{ id: string }>('POST', '/v1/realms', { name: 'elsewhere' })).body.id
    const there = { owner: true, realm }
    expect((await decide(approved, 'deny', {}, there)).status).toBe(404)
    expect(await requests('', there)).toEqual([])
    const looked = await api('POST', '/v1/approvals/wait', { requestId: approved, timeoutMs: 0 }, there)
    expect(looked.body).toEqual({ status: 'not_found' })
    expect(waysReached('exact')).toBe(0)
    expect(await choose('exact', id, { amount: 1, to: 'a', way: 'exact' })).toBe('sent')
    expect(waysReached('exact')).toBe(1)
    expect(await ask('exact', id, input)).not.toBe(approved)
    expect(waysReached('exact')).toBe(1)
  })

  it('lets one of fifty calls through', async () => {
    const input = { way: 'race' }
    await decide(await ask('racer', id, input), 'approve')
    const calls = await Promise.allSettled(Array.from({ length: 50 }, () => choose('racer', id, input)))
    expect(calls.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    const codes = calls.flatMap((call) => (call.status === 'rejected' ? [(call.reason as InvocationError).code] : []))
    expect(new Set(codes)).toEqual(new Set(['approval_required']))
    expect(waysReached('race')).toBe(1)
    // All of them wait for the same thing.
    expect(await requests('?status=pending&agentId=racer')).toHaveLength(1)
  })

  it('is one of fifty decisions, and the others are conflicts', async () => {
    const waiting = await ask('judged', id, { way: 'judged' })
    const replies = await Promise.all(
      Array.from({ length: 50 }, (_, n) => decide(waiting, n % 2 === 0 ? 'approve' : 'deny')),
    )
    const won = replies.filter(({ status }) => status === 200)
    expect(won).toHaveLength(1)
    const lost = replies.filter(({ status }) => status !== 200)
    expect(new Set(lost.map(({ status, body }) => `${status} ${body.code}`))).toEqual(new Set(['409 conflict']))
    expect((await request(waiting)).status).toBe(won[0]!.body.status)
  })

  it('is decided by the owner alone, whatever the fields say', async () => {
    const waiting = await ask('forger', id, { way: 'forger' })
    const forged = { decidedBy: 'owner', principal: { kind: 'owner', id: 'owner' }, realm: 'realm-default' }
    expect((await decide(waiting, 'approve', forged, {})).status).toBe(403)
    const payload = { requestId: waiting, decision: 'approve', ...forged }
    const asked = { function_id: 'approval::decide', payload }
    // A guest, an installed worker for itself, an agent under the owner's own token.
    for (const [client, more] of [
      [system.client(), {}],
      [installed, {}],
      [owner, { agent: 'forger' }],
    ] as const) {
      expect((await refusal(client.trigger({ ...asked, ...more }))).code).toBe('forbidden')
    }
    expect((await api('POST', '/v1/approvals/policy', { effects: [] }, {})).status).toBe(403)
    const worker = { function_id: 'approval::set_policy', payload: { effects: [] } }
    expect((await refusal(installed.trigger(worker))).code).toBe('forbidden')
    expect(await request(waiting)).toMatchObject({ status: 'pending' })
    expect((await decide('approval-nothing', 'approve')).status).toBe(404)
    expect((await decide(waiting, 'approve', { agentId: 'somebody' })).status).toBe(404)
    await decide(waiting, 'deny', { agentId: 'forger', decidedBy: 'the pope' })
    expect(await request(waiting)).toMatchObject({ decidedBy: 'owner:owner', decidedByNote: 'the pope' })
  })

  it('cannot be given or used when its time is over', async () => {
    await api('POST', '/v1/approvals/policy', { agentId: 'late', timeoutMs: 2_000 })
    const missed = await ask('late', id, { way: 'late' })
    await expect.poll(async () => (await request(missed)).status).toBe('timed_out')
    expect((await decide(missed, 'approve')).body).toMatchObject({ code: 'approval_expired' })
    const unused = await ask('late', id, { way: 'late' })
    expect(unused).not.toBe(missed)
    expect((await decide(unused, 'approve')).body).toMatchObject({ status: 'approved' })
    await expect.poll(async () => (await request(unused)).status).toBe('timed_out')
    expect(await ask('late', id, { way: 'late' })).not.toBe(unused)
    expect(waysReached('late')).toBe(0)
  })

  it('is waited for', async () => {
    const waiting = await ask('patient', id, { way: 'patient' })
    const wait = (timeoutMs: number) =>
      api<{ decision?: Request }>('POST', '/v1/approvals/wait', { requestId: waiting, agentId: 'patient', timeoutMs })
    expect((await wait(0)).body).toEqual({ status: 'pending', requestId: waiting })
    const decided = wait(30_000)
    await decide(waiting, 'approve')
    expect((await decided).body).toMatchObject({ status: 'approved', requestId: waiting, decision: { id: waiting } })
  })

  it('is asked for at most five times at once by one agent', async () => {
    for (let n = 0; n < 5; n += 1) await ask('eager', id, { way: 'eager', n })
    const error = await refusal(choose('eager', id, { way: 'eager', n: 5 }))
    expect(error).toMatchObject({ code: 'overloaded', details: { pending: 5, max: 5 } })
    // What waits already is found again all the same.
    await ask('eager', id, { way: 'eager', n: 0 })
    expect(await requests('?status=pending&agentId=eager')).toHaveLength(5)
  })

  it('shows the input without secrets and in bounds, and is for all of it', async () => {
    const secret = `sk-ant-${'a1'.repeat(20)}`
    const input = { way: 'shown', apiKey: 'plain-secret', text: `use ${secret}`, long: 'x'.repeat(200_000) }
    const waiting = await ask('shy', id, input)
    const found = await request(waiting)
    const text = JSON.stringify(found)
    expect(text).not.toMatch(/plain-secret|sk-ant-a1/)
    expect(text.length).toBeLessThan(20_000)
    expect(found.paramsCut).toBe(true)
    await decide(waiting, 'approve')
    await ask('shy', id, { ...input, long: `${'x'.repeat(100_000)}y${'x'.repeat(99_999)}` })
    expect(await choose('shy', id, input)).toBe('sent')
  })

  it('is not asked for where the owner’s policy lets a call through, and is where it asks for more', async () => {
    await api('POST', '/v1/approvals/policy', { agentId: 'free', allow: ['sink::*'], tools: ['memory::*'] })
    expect(await choose('free', id, { way: 'free' })).toBe('sent')
    const waiting = await ask('free', 'memory::search', { query: 'x' })
    await decide(waiting, 'approve')
    expect(await choose('free', 'memory::search', { query: 'x' })).toEqual([])
    const read = (query: string) => api('GET', `/v1/approvals/policy${query}`)
    expect((await read('?agentId=free')).body).toMatchObject({ source: 'agent', allow: ['sink::*'] })
    expect((await read('')).body).toMatchObject({ source: 'default', effects: ['external'] })
    await api('POST', '/v1/approvals/policy', { agentId: 'free', clear: true })
    await ask('free', id, { way: 'free again' })
  })
})

describe('approval::check', { retry: 0 }, () => {
  const check = (toolName: string, params: object = {}) =>
    api('POST', '/v1/functions/call', {
      functionId: 'approval::check',
      payload: { agentId: 'asker', toolName, params },
    })

  it('says whether a call needs an approval and whether it has one, and uses none up', async () => {
    expect((await check('fn::file_read')).body).toEqual({ required: false })
    expect((await check('fn::http_request', { method: 'GET' })).body).toEqual({ required: false })
    const first = (await check(id, { way: 'asker' })).body as unknown as { requestId: string }
    expect(first).toMatchObject({ required: true, approved: false, status: 'pending' })
    expect(await ask('asker', id, { way: 'asker' })).toBe(first.requestId)
    await decide(first.requestId, 'approve')
    for (let n = 0; n < 2; n += 1) {
      expect((await check(id, { way: 'asker' })).body).toMatchObject({ approved: true, requestId: first.requestId })
    }
    expect(await choose('asker', id, { way: 'asker' })).toBe('sent')
  })
})

describe('agentos approvals', { retry: 0 }, () => {
  function agentos(...args: string[]): Promise<{ code: number; out: string; err: string }> {
    const env = { PATH: process.env.PATH, NO_COLOR: '1', AGENTOS_DATA: system.dataDir, AGENTOS_API_URL: system.httpUrl }
    return new Promise((resolve) => {
      const child = execFile(process.execPath, [CLI, ...args], { env }, (_error, out, err) =>
        resolve({ code: child.exitCode ?? -1, out, err }),
      )
    })
  }

  it('lists what waits, approves and denies it, and says so by its exit code', async () => {
    const [one, two] = [await ask('cli', id, { way: 'cli', n: 1 }), await ask('cli', id, { way: 'cli', n: 2 })]
    expect((await agentos('approvals')).out).toMatch(
      /\d+ calls? waits? in the realm of guests; npm run agentos -- approvals --realm guest/,
    )
    const listed = await agentos('approvals', '--realm', 'guest')
    expect(listed.code).toBe(0)
    for (const part of [one, two, 'sink::send (external)', '{"way":"cli","n":1}']) expect(listed.out).toContain(part)
    expect(await agentos('approvals', 'approve', one, '--realm', 'guest')).toMatchObject({
      code: 0,
      out: `${one} is approved.\n`,
    })
    expect(await choose('cli', id, { way: 'cli', n: 1 })).toBe('sent')
    const denied = await agentos('--json', '--realm', 'guest', 'approvals', 'deny', two, '--reason', 'no')
    expect(denied.code).toBe(0)
    expect(JSON.parse(denied.out)).toEqual({ requestId: two, status: 'denied' })
    const again = await agentos('approvals', 'approve', two, '--realm', 'realm-guest')
    expect(again.code).toBe(1)
    expect(again.err).toContain('denied already')
    expect((await agentos('approvals', 'approve', 'approval-none')).code).toBe(1)
    expect((await agentos('approvals', 'approve')).code).toBe(2)
    const all = await agentos('approvals', '--all', '--json', '--realm', 'guest')
    const found = (JSON.parse(all.out) as Request[]).filter(({ agentId }) => agentId === 'cli')
    expect(found.map(({ status }) => status)).toEqual(['denied', 'approved'])
  })
})

describe('when the worker is away', { retry: 0 }, () => {
  it('no call of an agent goes on, and what was approved before is good for one call after', async () => {
    const input = { way: 'restart' }
    await decide(await ask('survivor', id, input), 'approve')
    await system.workers.approval!.kill()
    for (const name of [id, 'fn::file_read']) {
      const error = await refusal(choose('survivor', name, { ...input, path: 'a.txt' }, { deadlineMs: 500 }))
      expect(['worker_unavailable', 'deadline_exceeded']).toContain(error.code)
    }
    expect(waysReached('restart')).toBe(0)
    await system.workers.approval!.start()
    const calls = await Promise.allSettled(Array.from({ length: 10 }, () => choose('survivor', id, input)))
    expect(calls.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    expect(waysReached('restart')).toBe(1)
  })

  it('killed in the midst of using approvals up, none is used twice', async () => {
    const inputs = Array.from({ length: 20 }, (_, n) => ({ way: `kill-${n}` }))
    await Promise.all(inputs.map(async (input) => decide(await ask(input.way, id, input), 'approve')))
    const calls = Promise.allSettled(
      inputs.flatMap((input) => [choose(input.way, id, input), choose(input.way, id, input)]),
    )
    await expect.poll(() => reached.some(({ way }) => way.startsWith('kill-')), { timeout: 20_000 }).toBe(true)
    await system.workers.approval!.kill()
    await system.workers.approval!.start()
    await calls
    await Promise.allSettled(inputs.map((input) => choose(input.way, id, input)))
    for (const { way } of inputs) expect(waysReached(way), way).toBeLessThanOrEqual(1)
  })
})

describe('without the folder of the worker', () => {
  it('agents change nothing outside, and are told which worker is missing', async () => {
    const bare = await startSystem({ workers: ['agent-core', 'security'], env: NO_LOCAL_MODELS })
    try {
      const plain = bare.client({ owner: true })
      let ran = 0
      plain.registerFunction('plain::send', (async () => (ran += 1)) as never)
      await expect
        .poll(async () => JSON.stringify(await plain.trigger({ function_id: 'engine::functions::list', payload: {} })))
        .toContain('plain::send')
      const client = bare.client({ owner: true })
      const credential = readFileSync(join(bare.dataDir, 'credentials/agent-core'), 'utf8').trim()
      const contract = defineFunction({
        id: 'loop::bare',
        summary: '',
        input: z.any,
        output: z.unknown,
        effects: 'write',
      })
      const chosen = defineWorker({
        name: 'agent-core',
        functions: [
          serveContract(contract, (function_id, ctx) => ctx.trigger({ function_id, payload: {}, agent: 'clerk' })),
        ],
      })
      const bareLoop = await chosen.connect({ url: bare.wsUrl, credential })
      const call = (function_id: string) => client.trigger({ function_id: 'loop::bare', payload: function_id })
      const error = await refusal(call('plain::send'))
      expect(error).toMatchObject({ code: 'worker_unavailable', details: { worker: 'approval', installed: false } })
      expect(error.message).toContain('the worker approval')
      expect(ran).toBe(0)
      await call('agent::list')
      // The owner's own call is not held back.
      expect(await client.trigger({ function_id: 'plain::send', payload: {} })).toBe(1)
      await bareLoop.stop()
    } finally {
      await bare.stop()
    }
  })
})
