import { type System, startEngine } from '@agentos/testing'
import { registerWorker as register022 } from 'iii-sdk'
import { createChannel as createChannel022 } from 'iii-sdk/helpers'
import { registerWorker as register011 } from 'iii-sdk-0.11'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

/** What the tests use of both generations; each is the unmodified package from npm. */
interface IiiClient {
  registerFunction(
    id: string,
    handler: ((input: never) => Promise<unknown>) | { url: string },
    options?: { description?: string; request_format?: unknown },
  ): { unregister(): void }
  registerTrigger(trigger: { type: string; function_id: string; config: unknown }): { unregister(): void }
  trigger(request: {
    function_id: string
    payload?: unknown
    timeoutMs?: number
    action?: { type: 'void' } | { type: 'enqueue'; queue: string }
  }): Promise<unknown>
  shutdown(): Promise<void>
}

const generations: [version: string, register: (url: string) => IiiClient][] = [
  ['0.11.6', (url) => register011(url, { otel: { enabled: false } }) as unknown as IiiClient],
  ['0.22.1', (url) => register022(url) as unknown as IiiClient],
]

let system: System
const clients: IiiClient[] = []

beforeAll(async () => {
  const jobs = { backoff_ms: 20, max_retries: 2 }
  system = await startEngine({
    config: {
      workers: [{ name: 'iii-queue', config: { queue_configs: { 'v0_11_6-jobs': jobs, 'v0_22_1-jobs': jobs } } }],
    },
  })
})
afterAll(async () => {
  await Promise.all(clients.map((client) => client.shutdown()))
  await system?.stop()
})

describe.each(generations)('an unmodified iii-sdk %s client', (version, register) => {
  const ns = `v${version.replaceAll('.', '_')}`
  const connect = (): IiiClient => {
    const client = register(system.wsUrl)
    clients.push(client)
    return client
  }

  it('registers a function, is called by another client, and answers', async () => {
    const worker = connect()
    worker.registerFunction(`${ns}::add`, async (input: { a: number; b: number }) => ({ sum: input.a + input.b }))
    const caller = connect()
    await expect.poll(() => call(caller, `${ns}::add`, { a: 2, b: 3 })).toEqual({ sum: 5 })
  })

  it('gets a typed error for a function that nobody has, and the error that a handler threw', async () => {
    const worker = connect()
    await expect(worker.trigger({ function_id: `${ns}::nobody`, payload: {} })).rejects.toMatchObject({
      code: 'function_not_found',
    })
    worker.registerFunction(`${ns}::breaks`, async () => {
      throw new Error('boom')
    })
    const caller = connect()
    await expect
      .poll(() => caller.trigger({ function_id: `${ns}::breaks`, payload: {} }).catch((error) => error.code))
      .toBe('invocation_failed')
  })

  it('hears why a function that is to be called at a URL is not there, and stays connected', async () => {
    const worker = connect()
    const id = `${ns}::hook`
    worker.registerFunction(id, { url: 'http://127.0.0.1:9/hook' })
    worker.registerFunction(`${ns}::beside`, async () => 'still here')
    const caller = connect()
    await expect.poll(() => call(caller, `${ns}::beside`, {})).toBe('still here')
    await expect(caller.trigger({ function_id: id, payload: {} })).rejects.toMatchObject({
      code: 'unsupported_feature',
      message: expect.stringContaining(id),
    })
  })

  it('keeps state with the exact results of the protocol', async () => {
    const client = connect()
    const state = (fn: string, payload: object) => client.trigger({ function_id: `state::${fn}`, payload })
    const scope = `${ns}-users`
    expect(await state('get', { scope, key: '1' })).toBeUndefined()
    expect(await state('set', { scope, key: '1', value: { n: 1 } })).toEqual({
      old_value: null,
      new_value: { n: 1 },
    })
    expect(await state('get', { scope, key: '1' })).toEqual({ n: 1 })
    expect(await state('update', { scope, key: '1', ops: [{ type: 'increment', path: 'n', by: 2 }] })).toEqual({
      old_value: { n: 1 },
      new_value: { n: 3 },
    })
    expect(await state('list', { scope })).toEqual([{ n: 3 }])
    expect(await state('delete', { scope, key: '1' })).toEqual({ n: 3 })
    expect(await state('list', { scope })).toEqual([])
  })

  it('binds an HTTP trigger: its function answers over HTTP and stands in /openapi.json', async () => {
    const worker = connect()
    worker.registerFunction(
      `${ns}::greet`,
      async (request: {
        path_params: { name: string }
        query_params: Record<string, string>
        body: { to?: string }
      }) => ({
        status_code: 201,
        headers: { 'x-greeted': request.path_params.name },
        body: { hello: request.path_params.name, q: request.query_params.q, body: request.body },
      }),
      { description: 'Greets somebody' },
    )
    const trigger = worker.registerTrigger({
      type: 'http',
      function_id: `${ns}::greet`,
      config: { api_path: `${ns}/greet/:name`, http_method: 'POST' },
    })
    const greet = () => system.api('POST', `/${ns}/greet/ada?q=1`, { to: 'all' })
    await expect.poll(async () => (await greet()).status).toBe(201)
    const reply = await greet()
    expect(reply.headers.get('x-greeted')).toBe('ada')
    expect(reply.body).toEqual({ hello: 'ada', q: '1', body: { to: 'all' } })
    const document = await system.api<{ paths: Record<string, unknown> }>('GET', '/openapi.json')
    expect(Object.keys(document.body.paths)).toContain(`/${ns}/greet/{name}`)
    trigger.unregister()
    await expect.poll(async () => (await greet()).status).toBe(404)
  })

  it('publishes to subscribers, who get the data bare', async () => {
    const client = connect()
    const seen: unknown[] = []
    client.registerFunction(`${ns}::on_news`, async (data) => void seen.push(data))
    client.registerTrigger({ type: 'subscribe', function_id: `${ns}::on_news`, config: { topic: `${ns}-news` } })
    await expect
      .poll(async () => {
        await client.trigger({ function_id: 'publish', payload: { topic: `${ns}-news`, data: { n: 1 } } })
        return seen.at(-1)
      })
      .toEqual({ n: 1 })
  })

  it('puts calls into a queue, and gets a receipt by which a dead letter is driven back', async () => {
    const worker = connect()
    const seen: unknown[] = []
    let broken = true
    worker.registerFunction(`${ns}::job`, async (data) => {
      seen.push(data)
      if (broken) throw new Error('boom')
    })
    const data = { n: 1, nested: { list: [1, 2] } }
    await expect.poll(() => call(worker, `${ns}::job`, data)).toBe('invocation_failed')
    seen.length = 0
    const queue = `${ns}-jobs`
    const caller = connect()
    const receipt = (await caller.trigger({
      function_id: `${ns}::job`,
      payload: data,
      action: { type: 'enqueue', queue },
    })) as { messageReceiptId: string }
    expect(receipt).toEqual({ messageReceiptId: expect.stringMatching(/^[0-9a-f-]{36}$/) })
    const dead = () => caller.trigger({ function_id: 'engine::queue::dlq_messages', payload: { topic: queue } })
    await expect.poll(dead).toMatchObject([{ id: receipt.messageReceiptId, payload: data, retries: 2 }])
    expect(seen).toEqual([data, data])
    broken = false
    const message = { queue, message_id: receipt.messageReceiptId }
    const redriven = await caller.trigger({ function_id: 'iii::queue::redrive_message', payload: message })
    expect(redriven).toEqual({ ...message, redriven: 1 })
    await expect.poll(() => seen).toEqual([data, data, data])
    await expect(
      caller.trigger({ function_id: `${ns}::job`, payload: {}, action: { type: 'enqueue', queue: 'nope' } }),
    ).rejects.toMatchObject({ code: 'enqueue_error' })
  })

  it('publishes to durable subscribers, who get the data bare', async () => {
    const client = connect()
    const seen: unknown[] = []
    const topic = `${ns}-durable`
    client.registerFunction(`${ns}::on_durable`, async (data) => void seen.push(data))
    client.registerTrigger({ type: 'durable:subscriber', function_id: `${ns}::on_durable`, config: { topic } })
    const publish = () => client.trigger({ function_id: 'iii::durable::publish', payload: { topic, data: { n: 1 } } })
    await expect
      .poll(async () => {
        expect(await publish()).toBeFalsy()
        return seen.at(-1)
      })
      .toEqual({ n: 1 })
    const topics = await client.trigger({ function_id: 'engine::queue::list_topics', payload: {} })
    expect(topics).toContainEqual({ name: topic, broker_type: 'builtin', subscriber_count: 1 })
  })

  it('lists functions, workers and triggers in its own shape', async () => {
    const worker = connect()
    worker.registerFunction(`${ns}::listed`, async () => 1, { description: 'Listed' })
    await expect
      .poll(async () => {
        const { functions } = (await worker.trigger({ function_id: 'engine::functions::list', payload: {} })) as {
          functions: { function_id: string; description: string }[]
        }
        return functions.find((fn) => fn.function_id === `${ns}::listed`)?.description
      })
      .toBe('Listed')
    const { workers } = (await worker.trigger({ function_id: 'engine::workers::list', payload: {} })) as {
      workers: { status: string; function_count: number }[]
    }
    expect(workers.some((row) => row.status === 'connected' && row.function_count > 0)).toBe(true)
    const { triggers } = (await worker.trigger({ function_id: 'engine::triggers::list', payload: {} })) as {
      triggers: { id: string; description?: string }[]
    }
    expect(triggers.find((row) => row.id === 'http')?.description).toBeTruthy()
  })
})

it('a channel carries bytes both ways between the two generations', async () => {
  const writer = register022(system.wsUrl)
  const reader = register011(system.wsUrl, { otel: { enabled: false } })
  clients.push(writer as unknown as IiiClient, reader as unknown as IiiClient)
  reader.registerFunction('channels::read', async (input: { from: { readAll(): Promise<Buffer> } }) => ({
    text: (await input.from.readAll()).toString(),
  }))
  await expect.poll(() => functionIds(writer as unknown as IiiClient)).toContain('channels::read')
  const channel = await createChannel022(writer)
  const answer = writer.trigger({ function_id: 'channels::read', payload: { from: channel.readerRef } })
  channel.writer.stream.write('one ')
  channel.writer.stream.end('two')
  await expect(answer).resolves.toEqual({ text: 'one two' })
})

async function functionIds(client: IiiClient): Promise<string[]> {
  const { functions } = (await client.trigger({ function_id: 'engine::functions::list', payload: {} })) as {
    functions: { function_id: string }[]
  }
  return functions.map((fn) => fn.function_id)
}

/** Registration and call travel on two sockets: the first calls may come too early. */
async function call(client: IiiClient, function_id: string, payload: unknown): Promise<unknown> {
  return client.trigger({ function_id, payload }).catch((error: { code?: string }) => error.code)
}
