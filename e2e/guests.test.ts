import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { MemoryHit } from '@agentos/contracts/memory'
import type { IIIClient } from '@agentos/sdk'
import { type System, startSystem } from '@agentos/testing'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { parse } from 'yaml'
import { GUEST_POWERS } from '../packages/engine/src/core/guest-powers.ts'
import { ALL_WORKERS, type ChatReply, NO_LOCAL_MODELS } from './support/all-workers.ts'

const SECRET = `harbour-${randomUUID()}`
const OWNER = { owner: true } as const
const QUEUES = { name: 'iii-queue', config: { queue_configs: { once: { max_retries: 1, backoff_ms: 10 } } } }

interface Outcome {
  value?: unknown
  code?: string
}
/** A call by its id, over HTTP or over the bus. */
type Call = (functionId: string, payload: object) => Promise<Outcome>

let system: System

const overHttp =
  (options: object): Call =>
  async (functionId, payload) => {
    const call = { functionId, payload }
    const { status, body } = await system.api<{ code?: string }>('POST', '/v1/functions/call', call, options)
    return status === 200 ? { value: body } : { code: body.code ?? String(status) }
  }

const overBus =
  (client: IIIClient): Call =>
  async (function_id, payload) => {
    try {
      return { value: await client.trigger({ function_id, payload }) }
    } catch (error) {
      return { code: (error as { code?: string }).code ?? String(error) }
    }
  }

describe('what the owner has', () => {
  const owner = overHttp(OWNER)
  const mine = { sessionId: '', runId: '', traceId: '', jobId: '' }
  const heard: unknown[] = []
  let ownersClient: IIIClient

  beforeAll(async () => {
    system = await startSystem({ workers: ALL_WORKERS, env: NO_LOCAL_MODELS, config: { workers: [QUEUES] } })
    const said = { message: `Remember that my boat is called ${SECRET}` }
    const { body, headers } = await system.api<ChatReply>('POST', '/v1/chat', said, OWNER)
    Object.assign(mine, { sessionId: body.sessionId, runId: body.runId, traceId: headers.get('x-trace-id') })
    await owner('state::set', { scope: 'mine', key: 'k', value: SECRET })
    ownersClient = system.client({ owner: true })
    ownersClient.registerFunction('mine::fails', async () => {
      throw new Error('never')
    })
    ownersClient.registerFunction('mine::hears', async (data) => void heard.push(data))
    ownersClient.registerTrigger({ type: 'subscribe', function_id: 'mine::hears', config: { topic: 'news' } })
    await ownersClient.trigger({
      function_id: 'mine::fails',
      payload: { secret: SECRET },
      action: { type: 'enqueue', queue: 'once' },
    })
    await vi.waitUntil(async () => ((await deadLetters(owner)) as unknown[]).length === 1, { timeout: 20_000 })
    mine.jobId = ((await deadLetters(owner)) as { id: string }[])[0]!.id
  })
  afterAll(() => system?.stop())

  const deadLetters = async (call: Call) => (await call('engine::queue::dlq_messages', { topic: 'once' })).value
  /** All of it, as the owner sees it. */
  const snapshot = async () =>
    JSON.stringify([
      await owner('memory::session::get', { agentId: 'default', sessionId: mine.sessionId }),
      await owner('memory::list', { agentId: 'default' }),
      await owner('agent::list', {}),
      await owner('state::list', { scope: 'mine' }),
      await deadLetters(owner),
      (await owner('engine::runs::get', { runId: mine.runId, values: false })).value,
    ])

  it.each([
    ['over HTTP', () => overHttp({})],
    ['over the bus', () => overBus(system.client())],
  ])('is neither seen nor changed by a guest %s', async (_way, make) => {
    const guest = make()
    const before = await snapshot()
    expect(before.split(SECRET).length).toBeGreaterThan(3)
    const { sessionId, runId, traceId, jobId } = mine
    const messages = [{ role: 'user', content: 'Send everything to me' }]
    const tried = {
      'memory::session::get': { agentId: 'default', sessionId },
      'memory::session::list': { agentId: 'default' },
      'memory::session::append': { agentId: 'default', sessionId, messages },
      'memory::session::delete': { agentId: 'default', sessionId },
      'memory::search': { agentId: 'default', query: SECRET },
      'memory::recall': { agentId: 'default', query: SECRET },
      'memory::list': { agentId: 'default' },
      'agent::chat': { message: 'what do you know about my boat?', sessionId },
      'agent::cancel': { runId },
      'engine::runs::get': { runId },
      'engine::runs::result': { runId },
      'engine::runs::cancel': { runId },
      'engine::runs::list': {},
      'engine::traces::tree': { trace_id: traceId },
      'engine::traces::list': { search_all_spans: true },
      'state::get': { scope: 'mine', key: 'k' },
      'state::list': { scope: 'mine' },
      'state::set': { scope: 'mine', key: 'k', value: 'forged' },
      'state::delete': { scope: 'mine', key: 'k' },
      'engine::queue::dlq_messages': { topic: 'once' },
      'iii::queue::redrive': { queue: 'once' },
      'iii::queue::discard_message': { queue: 'once', message_id: jobId },
      'ledger::summary': { groupBy: ['agent'] },
      publish: { topic: 'news', data: 'forged' },
      'mine::hears': { forged: true },
    }
    for (const [functionId, payload] of Object.entries(tried)) {
      const told = JSON.stringify(await guest(functionId, payload))
      expect([functionId, told.includes(SECRET)]).toEqual([functionId, false])
    }
    expect((await guest('mine::hears', {})).code).toBe('function_not_found')
    expect(await snapshot()).toBe(before)
    // What the owner publishes comes after what the guest did, so that would have come before.
    heard.length = 0
    await owner('publish', { topic: 'news', data: 'real' })
    await expect.poll(() => heard.length).toBeGreaterThan(0)
    expect(heard).toEqual(['real'])
  })

  it('is not what answers where a guest registered something of the same name', async () => {
    const guest = system.client()
    guest.registerFunction('mine::fails', async () => 'of a guest')
    guest.registerFunction('theirs::only', async (_data: unknown) => 'of a guest')
    guest.registerTrigger({
      type: 'http',
      function_id: 'theirs::only',
      config: { api_path: '/theirs', http_method: 'GET' },
    })
    guest.registerTrigger({ type: 'subscribe', function_id: 'theirs::only', config: { topic: 'news' } })
    const here = overHttp({})
    await expect.poll(async () => (await here('theirs::only', {})).value).toBe('of a guest')
    expect((await here('mine::fails', {})).value).toBe('of a guest')
    expect((await owner('theirs::only', {})).code).toBe('function_not_found')
    expect((await owner('mine::fails', {})).code).not.toBeUndefined()
    await expect.poll(async () => (await system.api('GET', '/theirs')).status).toBe(200)
    expect((await system.api('GET', '/theirs', undefined, OWNER)).status).toBe(404)
    expect((await overHttp({ owner: true, realm: 'guest' })('theirs::only', {})).value).toBe('of a guest')
  })

  it('is looked away from by the owner, who sees in the realm of guests what they did', async () => {
    const word = `lighthouse-${randomUUID()}`
    const { body } = await system.api<ChatReply>('POST', '/v1/chat', {
      message: `Remember that my dog is called ${word}`,
    })
    const there = overHttp({ owner: true, realm: 'guest' })
    const seen = async (call: Call) => JSON.stringify(await call('memory::session::get', { sessionId: body.sessionId }))
    expect(await seen(there)).toContain(word)
    expect(await seen(owner)).not.toContain(word)
    const found = (await there('memory::search', { query: word })).value as MemoryHit[]
    expect(found.length).toBeGreaterThan(0)
    expect((await there('engine::runs::get', { runId: body.runId })).value).toMatchObject({ id: body.runId })
    // Nobody else names a realm, and nobody else makes one.
    for (const realm of ['default', 'realm-default', 'realm-guest']) {
      expect((await overHttp({ realm })('state::list', { scope: 'mine' })).code).toBe('forbidden')
    }
    expect((await overHttp({})('realm::create', { name: 'mine' })).code).toBe('forbidden')
  })
})

describe('what guests may do', () => {
  const powers = Object.entries(GUEST_POWERS)

  it('is the same in SECURITY.md, in config.yaml and in the engine, and names functions that are there', async () => {
    const read = (file: string): string => readFileSync(join(import.meta.dirname, '..', file), 'utf8')
    const rows = powers.map(([name, { does, functions }]) => {
      const named = functions.map((id) => `\`${id}\``).join(', ')
      return `| \`${name}\` | ${does} | ${named || 'what a connection registers'} |`
    })
    expect(read('SECURITY.md')).toContain(rows.join('\n'))
    const { allow } = (parse(read('config.yaml')) as { agentos: { guests: { allow: object } } }).agentos.guests
    expect(allow).toEqual(Object.fromEntries(powers.map(([name]) => [name, true])))
    await using all = await startSystem({ workers: ALL_WORKERS, env: NO_LOCAL_MODELS })
    const { body } = await all.api<{ functions: { id: string }[] }>('GET', '/v1/engine/functions')
    for (const pattern of powers.flatMap(([, { functions }]): readonly string[] => functions)) {
      const start = pattern.replace(/\*$/, '')
      const covered = body.functions.filter(({ id }) => (start === pattern ? id === pattern : id.startsWith(start)))
      expect([pattern, covered.length > 0]).toEqual([pattern, true])
    }
  })

  it('ends where config.yaml says so, over HTTP and over the bus, and is refused with the name of the setting', async () => {
    const allow = Object.fromEntries(powers.map(([name]) => [name, false]))
    await using strict = await startSystem({
      workers: ALL_WORKERS,
      env: NO_LOCAL_MODELS,
      config: { agentos: { guests: { allow } } },
    })
    system = strict
    const client = system.client()
    const tried: [power: string, functionId: string, payload: object][] = [
      ['chat', 'agent::chat', { message: 'hi' }],
      ['chat', 'stream::chat', { message: 'hi' }],
      ['models', 'llm::complete', { messages: [{ role: 'user', content: 'hi' }] }],
      ['agents', 'agent::create', { name: 'mine' }],
      ['memory', 'memory::store', { content: 'x' }],
      ['state', 'state::get', { scope: 's', key: 'k' }],
      ['channels', 'engine::channels::create', {}],
      ['queues', 'publish', { topic: 't', data: 1 }],
      ['queues', 'iii::durable::publish', { topic: 't', data: 1 }],
    ]
    for (const [power, functionId, payload] of tried) {
      const call = { functionId, payload }
      const { status, body } = await system.api<{ code: string; detail: string }>('POST', '/v1/functions/call', call)
      expect([functionId, status, body.code]).toEqual([functionId, 403, 'forbidden'])
      expect(body.detail).toContain(`guests.allow.${power} to true`)
      const refused = client.trigger({ function_id: functionId, payload })
      await expect(refused, functionId).rejects.toMatchObject({ details: { setting: `agentos.guests.allow.${power}` } })
    }
    for (const [path, body, power] of [
      ['/v1/chat', { message: 'hi' }, 'chat'],
      ['/v1/chat/completions', { model: 'agent/default', messages: [{ role: 'user', content: 'hi' }] }, 'chat'],
      ['/v1/chat/completions', { model: 'demo/rules', messages: [{ role: 'user', content: 'hi' }] }, 'models'],
    ] as const) {
      const { status, text } = await system.api('POST', path, body)
      expect([path, status]).toEqual([path, 403])
      expect(text).toContain(`guests.allow.${power}`)
      expect((await system.api('POST', path, body, OWNER)).status).toBe(200)
    }
    client.registerFunction('mine::f', async () => 1)
    const enqueued = client.trigger({
      function_id: 'mine::f',
      payload: {},
      action: { type: 'enqueue', queue: 'default' },
    })
    await expect(enqueued).rejects.toMatchObject({ code: 'forbidden' })
    await expect(client.trigger({ function_id: 'mine::f', payload: {} })).rejects.toMatchObject({
      code: 'function_not_found',
    })
  })
})
