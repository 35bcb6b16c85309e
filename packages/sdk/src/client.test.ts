import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { FakeEngine } from '../test/fake-engine.ts'
import type { IIIClient, InitOptions } from './api.ts'
import { TriggerAction } from './api.ts'
import { Client } from './client.ts'
import { AgentError, InvocationError } from './errors.ts'

let engine: FakeEngine
let clients: IIIClient[]

beforeEach(async () => {
  engine = await FakeEngine.listen()
  clients = []
})

afterEach(async () => {
  for (const client of clients) await client.shutdown()
  await engine.close()
})

function connect(options: InitOptions = {}, address = engine.url, trouble = (_: string): void => undefined): Client {
  const client = new Client(
    address,
    { reconnectionConfig: { initialDelayMs: 5, maxDelayMs: 20 }, ...options },
    { trouble },
  )
  clients.push(client)
  return client
}

const types = (frames: { type: string }[]) => frames.map(({ type }) => type)

describe('registration', () => {
  it('opens with trigger types, services, functions, triggers, then itself', async () => {
    const arrival = engine.nextPeer()
    const client = connect({ workerName: 'w', group: 'g', instance: 'i', credential: 'secret' })
    client.registerTrigger({ type: 'http', function_id: 'a::b', config: { api_path: 'x' } })
    client.registerFunction('a::b', async () => 1, { description: 'd' })
    client.registerService({ id: 'a' })
    client.registerTriggerType({ id: 'tt', description: 'T' }, { registerTrigger() {}, unregisterTrigger() {} })
    const peer = await arrival
    const self = await peer.frame('invokefunction')
    expect(types(peer.frames)).toEqual([
      'registertriggertype',
      'registerservice',
      'registerfunction',
      'registertrigger',
      'invokefunction',
    ])
    expect(peer.frames[2]).toEqual({
      type: 'registerfunction',
      id: 'a::b',
      description: 'd',
      group: 'g',
      instance: 'i',
    })
    expect(self).toMatchObject({
      function_id: 'engine::workers::register',
      action: { type: 'void' },
      data: { runtime: 'node', name: 'w', pid: process.pid, features: ['cancel'], group: 'g', instance: 'i' },
    })
    expect(peer.request.headers.authorization).toBe('Bearer secret')
  })

  it('refuses a blank id and an id that is registered already', () => {
    const client = connect()
    expect(() => client.registerFunction(' ', () => 1)).toThrow('id is required')
    client.registerFunction('x', () => 1)
    expect(() => client.registerFunction('x', () => 2)).toThrow('function id already registered: x')
  })

  it('is replayed on a new connection with the same trigger ids', async () => {
    const arrival = engine.nextPeer()
    const client = connect()
    client.registerFunction('f', () => 1)
    client.registerTrigger({ type: 'cron', function_id: 'f', config: { expression: '* * * * *' } })
    const gone = client.registerTrigger({ type: 'cron', function_id: 'f', config: { expression: '1 * * * *' } })
    const first = await arrival
    await client.ready()
    gone.unregister()
    const before = await first.frame('registertrigger')
    const second = engine.nextPeer()
    first.socket.terminate()
    const after = await second
    await client.ready()
    const replayed = after.frames.filter(({ type }) => type === 'registertrigger')
    expect(replayed).toEqual([before])
  })

  it('names its previous connection first, so that the engine ends it', async () => {
    engine.greeting = { type: 'workerregistered', worker_id: 'w-1', reattach_token: 'token-1' }
    const arrival = engine.nextPeer()
    const client = connect()
    client.registerFunction('f', () => 1)
    await client.ready()
    const first = await arrival
    expect(types(first.frames)).not.toContain('reattach')
    const second = engine.nextPeer()
    first.socket.terminate()
    const peer = await second
    await client.ready()
    expect(peer.frames[0]).toEqual({ type: 'reattach', previous_worker_id: 'w-1', reattach_token: 'token-1' })
  })

  it('rejects an address that cannot be one at once', () => {
    expect(() => connect({}, 'http://127.0.0.1:1')).toThrow('begins with ws://')
    expect(() => connect({}, 'nonsense')).toThrow()
  })
})

describe('calling', () => {
  it('resolves with the result and rejects with the error of the answer', async () => {
    const arrival = engine.nextPeer()
    const client = connect()
    const good = client.trigger<{ sum: number }>({ function_id: 'math::add', payload: { a: 1 }, metadata: { m: 1 } })
    const bad = client.trigger({ function_id: 'math::div', payload: {} })
    const peer = await arrival
    const add = await peer.frame('invokefunction', { function_id: 'math::add' })
    const div = await peer.frame('invokefunction', { function_id: 'math::div' })
    expect(add).toMatchObject({ data: { a: 1 }, metadata: { m: 1 } })
    const error = { code: 'overloaded', message: 'full', details: { retryAfterMs: 5 } }
    peer.send({ type: 'invocationresult', invocation_id: div.invocation_id, error })
    peer.send({ type: 'invocationresult', invocation_id: add.invocation_id, result: { sum: 3 } })
    expect(await good).toEqual({ sum: 3 })
    const failure = await bad.catch((reason: unknown) => reason)
    expect(failure).toBeInstanceOf(InvocationError)
    expect(failure).toMatchObject({
      message: 'overloaded: full',
      code: 'overloaded',
      function_id: 'math::div',
      details: { retryAfterMs: 5 },
      retryable: true,
    })
  })

  it('sends void calls without an id and resolves at once', async () => {
    const arrival = engine.nextPeer()
    const client = connect()
    expect(await client.trigger({ function_id: 'v', payload: 1, action: TriggerAction.Void() })).toBeUndefined()
    const frame = await (await arrival).frame('invokefunction', { function_id: 'v' })
    expect(frame).toEqual({ type: 'invokefunction', function_id: 'v', data: 1, action: { type: 'void' } })
  })

  it('times out with TIMEOUT and tells the engine that nobody waits any more', async () => {
    const arrival = engine.nextPeer()
    const client = connect()
    const call = client.trigger({ function_id: 'slow', timeoutMs: 20 })
    await expect(call).rejects.toMatchObject({ code: 'TIMEOUT' })
    const peer = await arrival
    const sent = await peer.frame('invokefunction', { function_id: 'slow' })
    expect(await peer.frame('cancelinvocation')).toMatchObject({ invocation_id: sent.invocation_id })
  })

  it('cancels at the engine when the signal is aborted', async () => {
    const arrival = engine.nextPeer()
    const client = connect()
    const controller = new AbortController()
    const call = client.trigger({ function_id: 'slow', signal: controller.signal })
    const peer = await arrival
    const sent = await peer.frame('invokefunction', { function_id: 'slow' })
    controller.abort()
    await expect(call).rejects.toMatchObject({ code: 'cancelled' })
    expect(await peer.frame('cancelinvocation')).toMatchObject({
      invocation_id: sent.invocation_id,
      reason: 'cancelled',
    })
  })

  /** Answers the calls of a function with these errors, one after the other. */
  async function failing(errors: object[]) {
    const arrival = engine.nextPeer()
    const client = connect()
    await client.ready()
    const peer = await arrival
    const frames: Record<string, unknown>[] = []
    peer.socket.on('message', (data: Buffer) => {
      const frame = JSON.parse(data.toString())
      if (frame.function_id !== 'flaky') return
      const error = errors[frames.length]
      frames.push(frame)
      const { invocation_id } = frame
      peer.send({ type: 'invocationresult', invocation_id, ...(error ? { error } : { result: 'ok' }) })
    })
    return { client, frames }
  }
  const retry = { max: 5, backoffMs: 1 }

  it('leaves it to the engine to repeat what failed, and repeats what the engine never took', async () => {
    const { client, frames } = await failing([
      { code: 'overloaded', message: 'no room' },
      { code: 'worker_unavailable', message: 'away', details: { attempts: 6 } },
    ])
    const failure = client.trigger({ function_id: 'flaky', retry })
    await expect(failure).rejects.toMatchObject({ code: 'worker_unavailable' })
    expect(frames).toHaveLength(2)
    expect(frames[1]).toMatchObject({ retry: { max: 5, backoff_ms: 1 } })
  })

  it('does not repeat what the engine has repeated as often as asked', async () => {
    const { client, frames } = await failing([{ code: 'overloaded', message: 'busy', details: { attempts: 6 } }])
    await expect(client.trigger({ function_id: 'flaky', retry })).rejects.toMatchObject({ code: 'overloaded' })
    expect(frames).toHaveLength(1)
  })

  it('repeats after the loss of the engine only what may be repeated', async () => {
    const arrival = engine.nextPeer()
    const client = connect()
    const outcome = (request: object) =>
      client.trigger({ function_id: 'f', retry, ...request }).then(
        (value) => value,
        (error: InvocationError) => error.code,
      )
    const outcomes = [outcome({}), outcome({ repeatable: true }), outcome({ idempotencyKey: 'k' })]
    const first = await arrival
    await expect.poll(() => first.frames.filter(({ function_id }) => function_id === 'f').length).toBe(3)
    const next = engine.nextPeer()
    first.socket.terminate()
    const second = await next
    second.socket.on('message', (data: Buffer) => {
      const { function_id, invocation_id } = JSON.parse(data.toString())
      if (function_id === 'f') second.send({ type: 'invocationresult', invocation_id, result: 'again' })
    })
    expect(await Promise.all(outcomes)).toEqual(['engine_lost', 'again', 'again'])
  })

  it('fails with engine_lost what was in flight when the connection drops, and sends what was called meanwhile', async () => {
    const arrival = engine.nextPeer()
    const client = connect()
    const lost = client.trigger({ function_id: 'before' })
    const first = await arrival
    await first.frame('invokefunction', { function_id: 'before' })
    const next = engine.nextPeer()
    first.socket.terminate()
    await expect(lost).rejects.toMatchObject({ code: 'engine_lost', retryable: true })
    const meanwhile = client.trigger({ function_id: 'meanwhile' })
    const second = await next
    const frame = await second.frame('invokefunction', { function_id: 'meanwhile' })
    second.send({ type: 'invocationresult', invocation_id: frame.invocation_id, result: 'ok' })
    expect(await meanwhile).toBe('ok')
    expect(second.frames.filter(({ function_id }) => function_id === 'before')).toEqual([])
  })

  it('says why the engine let it go, and connects anew', async () => {
    const told: string[] = []
    const arrival = engine.nextPeer()
    const client = connect({}, engine.url, (message) => told.push(message))
    const lost = client.trigger({ function_id: 'large' })
    const first = await arrival
    await first.frame('invokefunction', { function_id: 'large' })
    const next = engine.nextPeer()
    first.socket.close(1013, 'overloaded: read as it comes')
    await expect(lost).rejects.toMatchObject({ code: 'engine_lost' })
    await next
    expect(told).toEqual(['The engine ended the connection; overloaded: read as it comes'])
  })

  it('refuses with overloaded when too much waits for an engine that is away', async () => {
    const { url } = engine
    await engine.close()
    const client = connect({}, url)
    const calls = Array.from({ length: 1_001 }, () => client.trigger({ function_id: 'f' }))
    const waiting = calls.slice(0, 1_000).map((call) => call.catch((error: Error) => error.message))
    await expect(calls[1_000]).rejects.toMatchObject({ code: 'overloaded' })
    await client.shutdown()
    expect(new Set(await Promise.all(waiting))).toEqual(new Set(['iii is shutting down']))
  })

  it('refuses a call that the engine would close the connection for', async () => {
    engine.greeting = { type: 'workerregistered', worker_id: 'w', limits: { frame_bytes: 1_000, in_flight: 10 } }
    const client = connect()
    await client.ready()
    const call = client.trigger({ function_id: 'f', payload: 'ü'.repeat(600) })
    await expect(call).rejects.toMatchObject({ code: 'payload_too_large' })
  })

  it('finds its way back after the engine was away, again and again', async () => {
    const { port } = engine
    const client = connect()
    client.registerFunction('f', () => 1)
    await client.ready()
    for (let round = 0; round < 3; round += 1) {
      await engine.close()
      engine = await FakeEngine.listen(port)
      await client.ready()
      expect(engine.peers.at(-1)?.frames.some(({ id }) => id === 'f')).toBe(true)
    }
  })
})

describe('serving', () => {
  async function serving(register: (client: Client) => void) {
    const arrival = engine.nextPeer()
    const client = connect()
    register(client)
    await client.ready()
    const peer = await arrival
    let count = 0
    const invoke = (function_id: string, data: unknown, more: object = {}) => {
      count += 1
      const invocation_id = `call-${count}`
      peer.send({ type: 'invokefunction', invocation_id, function_id, data, ...more })
      return peer.frame('invocationresult', { invocation_id })
    }
    return { client, peer, invoke }
  }

  it('answers with the result, and leaves it out where there is none', async () => {
    const { invoke } = await serving((client) => {
      client.registerFunction('echo', async (data, metadata) => ({ data, metadata }))
      client.registerFunction('nothing', async () => undefined)
    })
    expect(await invoke('echo', [1], { metadata: 'm' })).toMatchObject({
      function_id: 'echo',
      result: { data: [1], metadata: 'm' },
    })
    expect(await invoke('nothing', {})).not.toHaveProperty('result')
  })

  it('answers with the code of a typed error, the code of a failed call, else invocation_failed', async () => {
    const { invoke } = await serving((client) => {
      client.registerFunction('typed', () => {
        throw new AgentError('not_found', 'no such thing', { details: { id: 1 } })
      })
      client.registerFunction('nested', () => {
        throw new InvocationError({ code: 'rate_limited', message: 'slow down', function_id: 'other' })
      })
      client.registerFunction('broken', () => {
        throw new TypeError('boom')
      })
      client.registerFunction('circular', () => {
        const value: Record<string, unknown> = {}
        value.self = value
        return value
      })
    })
    expect((await invoke('typed', {})).error).toEqual({
      code: 'not_found',
      message: 'no such thing',
      details: { id: 1 },
    })
    expect((await invoke('nested', {})).error).toEqual({ code: 'rate_limited', message: 'slow down' })
    expect((await invoke('broken', {})).error).toMatchObject({
      code: 'invocation_failed',
      message: 'boom',
      details: { functionId: 'broken' },
    })
    expect((await invoke('circular', {})).error).toMatchObject({ code: 'serialization_error' })
    expect((await invoke('unknown', {})).error).toMatchObject({ code: 'function_not_found' })
  })

  it('names the invocation being served as the parent of calls made inside a plain handler', async () => {
    const { peer, invoke } = await serving((client) => {
      client.registerFunction('outer', async () => client.trigger({ function_id: 'inner' }))
    })
    const answer = invoke('outer', {})
    const inner = await peer.frame('invokefunction', { function_id: 'inner' })
    expect(inner.parent).toBe('call-1')
    peer.send({ type: 'invocationresult', invocation_id: inner.invocation_id, result: 7 })
    expect((await answer).result).toBe(7)
  })

  it('drains: takes its functions back, refuses new calls, and waits for those it serves', async () => {
    let finish: (() => void) | undefined
    const { client, peer, invoke } = await serving((own) => {
      own.registerFunction('slow', () => new Promise<void>((resolve) => (finish = resolve)))
      own.registerFunction('quick', () => 'done')
    })
    const answer = invoke('slow', {})
    await expect.poll(() => finish).toBeDefined()
    const drained = client.drain(10_000)
    await peer.frame('unregisterfunction', { id: 'slow' })
    // Also what was on its way before the engine heard of it.
    for (const id of ['slow', 'quick']) {
      expect(await invoke(id, {})).toMatchObject({ error: { code: 'worker_unavailable' }, refused: true })
    }
    finish?.()
    expect(await drained).toBe(true)
    expect(await answer).not.toHaveProperty('error')
  })

  it('does not send the answer of an invocation that an earlier connection brought', async () => {
    let finish: ((value: string) => void) | undefined
    const { client, peer, invoke } = await serving((own) => {
      own.registerFunction('slow', () => new Promise((resolve) => (finish = resolve)))
    })
    void invoke('slow', {})
    await expect.poll(() => finish).toBeDefined()
    const next = engine.nextPeer()
    peer.socket.terminate()
    const second = await next
    await client.ready()
    finish?.('late')
    await client.ready()
    expect(types(second.frames)).not.toContain('invocationresult')
  })

  it('binds and unbinds triggers of a type that it provides', async () => {
    const events: string[] = []
    const { peer } = await serving((client) => {
      client.registerTriggerType<{ name: string }>(
        { id: 'tt', description: 'T' },
        {
          registerTrigger({ id, config }) {
            if (config.name === 'bad') throw new Error('bad config')
            events.push(`bind ${id} ${config.name}`)
          },
          unregisterTrigger: ({ id, config }) => void events.push(`unbind ${id} ${config.name}`),
        },
      )
    })
    const bind = (id: string, name: string) =>
      peer.send({ type: 'registertrigger', id, trigger_type: 'tt', function_id: 'f', config: { name } })
    bind('t1', 'one')
    expect(await peer.frame('triggerregistrationresult', { id: 't1' })).not.toHaveProperty('error')
    bind('t2', 'bad')
    expect(await peer.frame('triggerregistrationresult', { id: 't2' })).toMatchObject({
      error: { code: 'trigger_registration_failed', message: 'bad config' },
    })
    peer.send({ type: 'unregistertrigger', id: 't1', trigger_type: 'tt' })
    await expect.poll(() => events).toEqual(['bind t1 one', 'unbind t1 one'])
  })
})

it('sends the frames of one turn of the event loop in one write', async () => {
  let chunks = 0
  const client = connect()
  await client.ready()
  const peer = engine.peers[0]!
  const socket = peer.request.socket
  const emit = socket.emit.bind(socket)
  socket.emit = ((event: string, ...rest: unknown[]) => {
    if (event === 'data') chunks += 1
    return emit(event, ...rest)
  }) as typeof socket.emit
  // ws reads through its own data listener; a read of the kernel is one call of it.
  socket.on('data', () => undefined)
  const calls = Array.from({ length: 50 }, (_, index) => client.trigger({ function_id: `f${index}` }).catch(() => 0))
  await peer.frame('invokefunction', { function_id: 'f49' })
  expect(chunks).toBe(1)
  await client.shutdown()
  await Promise.all(calls)
})
