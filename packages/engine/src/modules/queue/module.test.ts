import { beforeEach, describe, expect, it } from 'vitest'
import { type CallAs, TestHost } from '../../../test/host.ts'
import type { BuiltinCall, CallResult } from '../../core/module.ts'
import { MemoryDisk } from '../../store/memory-store.ts'
import { createQueueModule } from './module.ts'
import { namedQueues, QueueFile } from './settings.ts'

const WORKERS = [
  { name: 'memory', owns: { scopes: [], streams: [], topics: ['memory-events', 'memory-work'] } },
  { name: 'audit' },
]
const CONFIG = {
  queue_configs: {
    orders: { type: 'fifo', message_group_field: 'customer', concurrency: 2, backoff_ms: 1_000, max_retries: 2 },
    narrow: { concurrency: 1, max_depth: 3, max_retries: 1 },
    'memory-work': {},
  },
}

let disk: MemoryDisk
let host: TestHost

beforeEach(() => {
  disk = new MemoryDisk()
  boot()
})

function boot(workers = WORKERS, more: { maxAnswerBytes?: number } = {}): void {
  const time = host?.time
  const queues = namedQueues(QueueFile.parse(CONFIG))
  host = new TestHost([createQueueModule({ queues, ...more })], {
    disk,
    workers,
    ...(time ? { wall: time.now() } : {}),
  })
  host.time.advance(0)
}

/** Enqueues as a client's frame does. */
function enqueue(queue: string, functionId: string, data: unknown, as: CallAs = {}): CallResult | undefined {
  const results: CallResult[] = []
  host.core.enqueue({
    queue,
    functionId,
    payload: { value: data },
    context: host.context(as),
    caller: as.worker === undefined ? {} : { worker: as.worker },
    onResult: (result) => results.push(result),
  })
  host.time.advance(0)
  return results[0]
}

function receipt(queue: string, functionId: string, data: unknown, as: CallAs = {}): string {
  const result = enqueue(queue, functionId, data, as)
  if (!result?.ok || !result.payload || !('value' in result.payload)) throw new Error(JSON.stringify(result))
  return (result.payload.value as { messageReceiptId: string }).messageReceiptId
}

function inputs(calls: BuiltinCall[]): unknown[] {
  return calls.map((call) => call.input)
}

const fails = (call: BuiltinCall): void => call.fail('boom', 'it broke')
const stats = (topic: string) => host.value('engine::queue::topic_stats', { topic }) as Record<string, unknown>

describe('a named queue', () => {
  it('answers with a receipt after the job is on disk, and calls the function with the pristine data', () => {
    const calls = host.handler('app::work')
    const results: CallResult[] = []
    host.core.enqueue({
      queue: 'default',
      functionId: 'app::work',
      payload: { value: { a: 1 } },
      context: { ...host.context({ traceId: 'a'.repeat(32), baggage: 'k=v' }), session: 'session-1' },
      caller: { workerId: 'connection-1' },
      onResult: (result) => results.push(result),
    })
    expect(results).toEqual([])
    expect(calls).toEqual([])
    host.time.advance(0)
    const id = (results[0] as { payload: { value: { messageReceiptId: string } } }).payload.value.messageReceiptId
    expect(inputs(calls)).toEqual([{ a: 1 }])
    expect(calls[0]!.context).toMatchObject({
      realm: 'realm-default',
      principal: { kind: 'guest', id: 'guest' },
      session: 'session-1',
      traceId: 'a'.repeat(32),
      baggage: 'k=v',
      idempotencyKey: id,
    })
    expect(stats('default')).toMatchObject({ depth: 0, dlq_depth: 0, consumer_count: 10 })
  })

  it('that nobody configured is refused in the words of the protocol', () => {
    expect(() => enqueue('nope', 'app::work', {})).toThrow("Queue 'nope' not found")
  })

  it('tries a failed job again after 1 s, 2 s, then makes it a dead letter that says why', () => {
    const calls = host.handler('app::work', fails)
    const id = receipt('default', 'app::work', { n: 1 })
    expect(calls).toHaveLength(1)
    host.time.advance(999)
    expect(calls).toHaveLength(1)
    host.time.advance(1)
    expect(calls).toHaveLength(2)
    host.time.advance(2_000)
    expect(calls).toHaveLength(3)
    host.time.advance(60_000)
    expect(calls).toHaveLength(3)
    expect(host.value('engine::queue::dlq_topics', {})).toEqual([
      { topic: 'default', broker_type: 'function_queue', message_count: 1 },
    ])
    expect(host.value('engine::queue::dlq_messages', { topic: 'default' })).toEqual([
      {
        id,
        payload: { n: 1 },
        error: 'boom: it broke',
        failed_at: expect.any(Number),
        retries: 3,
        size_bytes: 7,
      },
    ])
  })

  it('counts a missing function as a failure, once clients had time to come back after a start', () => {
    host.time.advance(60_000)
    receipt('default', 'nobody::there', {})
    host.time.advance(10_000)
    expect(stats('default')).toMatchObject({ depth: 0, dlq_depth: 1 })
  })

  it('waits for functions that are not back yet after a start', () => {
    receipt('default', 'late::one', { n: 1 })
    host.time.advance(10_000)
    const calls = host.handler('late::one')
    host.time.advance(5_000)
    expect(inputs(calls)).toEqual([{ n: 1 }])
  })

  it('delivers as many at once as its concurrency says, and no more than its depth may wait', () => {
    const calls = host.handler('app::slow', () => {})
    for (const n of [1, 2, 3]) receipt('narrow', 'app::slow', n)
    expect(inputs(calls)).toEqual([1])
    const refused = enqueue('narrow', 'app::slow', 4) as { error: { code: string } }
    expect(refused.error.code).toBe('overloaded')
    calls[0]!.reply()
    host.time.advance(0)
    expect(inputs(calls)).toEqual([1, 2])
    receipt('narrow', 'app::slow', 4)
  })

  it('gives a job that does not answer within its lease to the next delivery; the late answer reaches nobody', () => {
    const calls = host.handler('app::frozen', () => {})
    receipt('default', 'app::frozen', 1)
    host.time.advance(300_000)
    calls[0]!.reply()
    host.time.advance(1_000)
    expect(calls).toHaveLength(2)
    expect(stats('default').depth).toBe(1)
    calls[1]!.reply()
    host.time.advance(0)
    expect(stats('default').depth).toBe(0)
  })

  it('keeps a function from being called later that may not be called now', () => {
    host.core.registerFunction({ id: 'owner::only', summary: '', access: 'owner', handle: (call) => call.reply() })
    expect(() => enqueue('default', 'owner::only', {})).toThrow('owner token')
  })

  it('of a worker takes jobs and shows them to nobody else', () => {
    expect(() => enqueue('memory-work', 'app::work', {})).toThrow('belongs to the worker memory')
    expect(enqueue('memory-work', 'app::work', {}, { worker: 'memory' })?.ok).toBe(true)
    expect(host.error('engine::queue::topic_stats', { topic: 'memory-work' }).code).toBe('forbidden')
    expect(host.error('iii::queue::redrive', { queue: 'memory-work' }).code).toBe('forbidden')
    const names = (host.value('engine::queue::list_topics', {}) as { name: string }[]).map(({ name }) => name)
    expect(names).toEqual(['default', 'orders', 'narrow'])
  })

  it('a worker that is no longer installed has no say at delivery', () => {
    host.handler('app::work', () => {})
    receipt('narrow', 'app::work', {}, { worker: 'audit' })
    boot(WORKERS.slice(0, 1))
    const calls = host.handler('app::work')
    host.time.advance(1_000)
    expect(calls).toEqual([])
    expect(host.value('engine::queue::dlq_messages', { topic: 'narrow' }, { kind: 'owner' })).toMatchObject([
      { error: expect.stringContaining('no longer installed') },
    ])
  })

  it('takes a job once under an idempotency key, over a start too; with other data the key is refused', () => {
    host.handler('app::work', () => {})
    const put = (data: unknown, idempotencyKey = 'key-1') => {
      const results: CallResult[] = []
      host.core.enqueue({
        queue: 'default',
        functionId: 'app::work',
        payload: { value: data },
        context: { ...host.context(), idempotencyKey },
        caller: {},
        onResult: (result) => results.push(result),
      })
      return results
    }
    const [first, again] = [put({ a: 1 }), put({ a: 1 })]
    host.time.advance(0)
    expect(first[0]?.ok).toBe(true)
    expect(again).toEqual(first)
    expect(stats('default').depth).toBe(1)
    boot()
    host.handler('app::work')
    const later = put({ a: 1 })
    host.time.advance(0)
    expect(later).toEqual(first)
    expect(put({ a: 2 })).toMatchObject([{ ok: false, error: { code: 'key_reused' } }])
  })

  it('keeps realms apart', () => {
    host.handler('app::work', fails)
    receipt('narrow', 'app::work', 1, { realm: 'realm-a' })
    expect(host.value('engine::queue::dlq_messages', { topic: 'narrow' })).toEqual([])
    expect(host.value('engine::queue::dlq_messages', { topic: 'narrow' }, { realm: 'realm-a' })).toHaveLength(1)
    expect(host.value('iii::queue::redrive', { queue: 'narrow' })).toEqual({ queue: 'narrow', redriven: 0 })
  })
})

describe('a FIFO queue', () => {
  it('runs each group in order, groups side by side, and a failing job holds up only its group', () => {
    let broken = true
    const calls = host.handler('app::order', (call) => {
      const { n } = call.input as { n: number }
      if (n === 1 && broken) fails(call)
      else call.reply()
    })
    for (const [customer, n] of [
      ['ada', 1],
      ['ada', 2],
      ['bob', 3],
      ['bob', 4],
    ] as const) {
      receipt('orders', 'app::order', { customer, n })
    }
    const seen = () => inputs(calls).map((input) => (input as { n: number }).n)
    expect(seen()).toEqual([1, 3, 4])
    broken = false
    host.time.advance(1_000)
    expect(seen()).toEqual([1, 3, 4, 1, 2])
  })

  it('goes on after a dead letter', () => {
    const calls = host.handler('app::order', (call) =>
      (call.input as { n: number }).n === 1 ? fails(call) : call.reply(),
    )
    for (const n of [1, 2]) receipt('orders', 'app::order', { customer: 'ada', n })
    host.time.advance(1_000)
    expect(inputs(calls)).toMatchObject([{ n: 1 }, { n: 1 }, { n: 2 }])
    expect(stats('orders')).toMatchObject({ depth: 0, dlq_depth: 1 })
  })

  it.each([{}, { customer: null }, 'text'])('refuses %j, which names no group', (data) => {
    expect(enqueue('orders', 'app::order', data)).toMatchObject({
      ok: false,
      error: { code: 'enqueue_error', message: expect.stringContaining("'customer'") },
    })
  })
})

describe('dead letters', () => {
  let id: string
  let broken: boolean
  let calls: BuiltinCall[]

  beforeEach(() => {
    broken = true
    calls = host.handler('app::work', (call) => (broken ? fails(call) : call.reply()))
    id = receipt('narrow', 'app::work', 1)
    receipt('narrow', 'app::work', 2)
  })

  it('go back into the queue with all attempts before them', () => {
    broken = false
    expect(host.value('iii::queue::redrive', { queue: 'narrow' })).toEqual({ queue: 'narrow', redriven: 2 })
    host.time.advance(0)
    expect(inputs(calls)).toEqual([1, 2, 1, 2])
    expect(stats('narrow')).toMatchObject({ depth: 0, dlq_depth: 0 })
  })

  it('go back one by one, or are discarded, by the id of the receipt', () => {
    broken = false
    const message = { queue: 'narrow', message_id: id }
    expect(host.value('iii::queue::discard_message', message)).toEqual({ ...message, redriven: 1 })
    expect(host.value('iii::queue::redrive_message', message)).toEqual({ ...message, redriven: 0 })
    const [left] = host.value('engine::queue::dlq_messages', { topic: 'narrow' }) as { id: string }[]
    const other = { queue: 'narrow', message_id: left!.id }
    expect(host.value('iii::queue::redrive_message', other)).toEqual({ ...other, redriven: 1 })
    host.time.advance(0)
    expect(inputs(calls)).toEqual([1, 2, 2])
  })

  it('are refused past the bound of an answer with the limit that fits, and one always comes', () => {
    boot(WORKERS, { maxAnswerBytes: 3_000 })
    host.handler('app::large', fails)
    for (const size of [1_000, 1_000, 9_000])
      receipt('memory-work', 'app::large', 'x'.repeat(size), { worker: 'memory' })
    host.time.advance(3_600_000)
    const ask = { topic: 'memory-work' }
    const as = { worker: 'memory' }
    expect(host.error('engine::queue::dlq_messages', ask, as)).toMatchObject({
      code: 'payload_too_large',
      message: expect.stringContaining('engine::queue::dlq_messages {topic, offset, limit}, with a limit up to 2'),
    })
    expect(host.value('engine::queue::dlq_messages', { ...ask, limit: 2 }, as)).toHaveLength(2)
    expect(host.value('engine::queue::dlq_messages', { ...ask, offset: 2 }, as)).toMatchObject([{ size_bytes: 9_002 }])
  })

  it('of many topics are named by a part of them where all are too many for an answer', () => {
    boot(WORKERS, { maxAnswerBytes: 1_000 })
    host.handler('app::large', fails)
    const name = (letter: string) => letter.repeat(400)
    for (const letter of ['a', 'b', 'c']) {
      host.bind('durable:subscriber', 'app::large', { topic: name(letter), queue_config: { max_retries: 1 } })
      host.value('iii::durable::publish', { topic: name(letter), data: 1 })
    }
    host.time.advance(3_600_000)
    for (const id of ['list_topics', 'dlq_topics']) {
      expect(host.error(`engine::queue::${id}`, {})).toMatchObject({
        code: 'payload_too_large',
        message: expect.stringContaining(`engine::queue::${id} {prefix}`),
      })
      expect(host.value(`engine::queue::${id}`, { prefix: 'b' })).toHaveLength(1)
    }
  })

  it('outlive a start, and are gone after their time', () => {
    boot()
    expect(host.value('engine::queue::dlq_messages', { topic: 'narrow', offset: 1, limit: 5 })).toHaveLength(1)
    host.time.advance(15 * 24 * 3_600_000)
    expect(stats('narrow').dlq_depth).toBe(0)
    expect(host.value('engine::queue::dlq_topics', {})).toEqual([])
  })

  it('are for who put the job there, and for the owner; to everybody else they are not there', () => {
    receipt('narrow', 'app::work', 3, { kind: 'owner' })
    receipt('narrow', 'app::work', 4, { worker: 'memory', kind: 'system' })
    const data = (as: CallAs) =>
      (host.value('engine::queue::dlq_messages', { topic: 'narrow' }, as) as { payload: unknown }[]).map(
        ({ payload }) => payload,
      )
    expect([data({}), data({ worker: 'memory', kind: 'system' }), data({ kind: 'agent' })]).toEqual([[1, 2], [4], []])
    expect(data({ kind: 'owner' })).toEqual([1, 2, 3, 4])
    const page = { topic: 'narrow', offset: 1, limit: 5 }
    expect(host.value('engine::queue::dlq_messages', page)).toHaveLength(1)
    const all = host.value('engine::queue::dlq_messages', { topic: 'narrow' }, { kind: 'owner' }) as { id: string }[]
    const theirs = { queue: 'narrow', message_id: all[2]!.id }
    expect(host.value('iii::queue::discard_message', theirs)).toEqual({ ...theirs, redriven: 0 })
    expect(host.value('iii::queue::redrive_message', theirs)).toEqual({ ...theirs, redriven: 0 })
    // Nor by way of a worker that hands on what it was asked.
    expect(host.value('iii::queue::redrive', { queue: 'narrow' }, { worker: 'memory', kind: 'agent' })).toMatchObject({
      redriven: 0,
    })
    broken = false
    expect(host.value('iii::queue::redrive', { queue: 'narrow' })).toMatchObject({ redriven: 2 })
    expect(data({ kind: 'owner' })).toEqual([3, 4])
    expect(host.value('iii::queue::redrive', { queue: 'narrow' }, { kind: 'owner' })).toMatchObject({ redriven: 2 })
  })

  it('want a queue and a message by name', () => {
    expect(host.error('iii::queue::redrive', { queue: '' }).code).toBe('queue_not_set')
    expect(host.error('iii::queue::redrive_message', { queue: 'narrow' }).code).toBe('message_id_not_set')
    expect(host.error('engine::queue::topic_stats', {}).code).toBe('topic_required')
  })
})

describe('a durable topic', () => {
  const subscribe = (functionId: string, config: object = {}, more = {}) =>
    host.bind('durable:subscriber', functionId, { topic: 'news', ...config }, more)
  const publish = (data: unknown, as: CallAs = {}) => host.value('iii::durable::publish', { topic: 'news', data }, as)

  it('gives each subscribed function each message once, exactly as it was published', () => {
    const [one, two] = [host.handler('app::one'), host.handler('app::two')]
    subscribe('app::one')
    subscribe('app::one')
    subscribe('app::two')
    expect(publish({ a: 1 })).toBeUndefined()
    host.time.advance(0)
    expect(inputs(one)).toEqual([{ a: 1 }])
    expect(inputs(two)).toEqual([{ a: 1 }])
    expect(stats('news')).toMatchObject({ depth: 0, consumer_count: 3, dlq_depth: 0 })
    expect(host.value('engine::queue::list_topics', {})).toContainEqual({
      name: 'news',
      broker_type: 'builtin',
      subscriber_count: 2,
    })
  })

  it('wants a topic', () => {
    expect(host.error('iii::durable::publish', { topic: '', data: 1 }).code).toBe('topic_not_set')
    expect(host.error('iii::durable::publish', { topic: 'memory-events', data: 1 }).code).toBe('forbidden')
    expect(host.bind('durable:subscriber', 'f', { topic: 'memory-events' })).toContain('belongs to')
  })

  it('retries as often as maxRetries says, with the delay of backoffDelayMs; dead letters are per function', () => {
    const calls = host.handler('app::one', fails)
    subscribe('app::one', { queue_config: { maxRetries: 1, backoffDelayMs: 50 } })
    publish(1)
    host.time.advance(50)
    expect(calls).toHaveLength(2)
    host.time.advance(10_000)
    expect(calls).toHaveLength(2)
    expect(host.value('engine::queue::dlq_topics', {})).toEqual([
      { topic: 'news::app::one', broker_type: 'builtin', message_count: 1 },
    ])
    expect(host.value('engine::queue::dlq_messages', { topic: 'news' })).toHaveLength(1)
    expect(host.value('iii::queue::redrive', { queue: 'news::app::one' })).toMatchObject({ redriven: 1 })
  })

  const OWNER_BINDS = { grant: { principal: { kind: 'owner', id: 'owner' }, realm: 'realm-default' } } as const
  const once = { queue_config: { maxRetries: 0 } }
  const often = { queue_config: { maxRetries: 9 } }

  it('has its settings changed by binding again only by who bound it, the worker of the function and the owner', () => {
    const configured = () => (stats('news').config as { maxRetries: number }).maxRetries
    subscribe('app::one', once, OWNER_BINDS)
    expect(subscribe('app::one', often)).toContain('by somebody else')
    expect(configured()).toBe(0)
    // Nobody is bound now, nor after a start: it is still the owner's.
    subscribe('app::one', once, { ...OWNER_BINDS, id: 'sub', workerId: 'connection-7' })
    host.time.advance(0)
    boot()
    expect(subscribe('app::one', often)).toContain('by somebody else')
    expect(configured()).toBe(0)
    expect(subscribe('app::one', often, OWNER_BINDS)).toBeUndefined()
    expect(configured()).toBe(9)
    expect(subscribe('app::two', once)).toBeUndefined()
    expect(subscribe('app::two', often)).toBeUndefined()
  })

  it('has the settings of an installed worker whatever somebody of a realm binds, and of each realm its own', () => {
    const calls = host.handler('app::one', fails)
    subscribe('app::one', once, { worker: 'memory' })
    expect(subscribe('app::one', often)).toBeUndefined()
    publish(1)
    host.time.advance(60_000)
    expect(calls).toHaveLength(1)
    const two = host.handler('app::two', fails)
    subscribe('app::two', once)
    publish(1)
    const elsewhere = { principal: { kind: 'guest' as const, id: 'guest' }, realm: 'realm-a' }
    subscribe('app::two', often, { grant: elsewhere })
    publish(2)
    host.time.advance(60_000)
    expect(two).toHaveLength(2)
  })

  it('has its dead letters handled by who bound it and by the owner alone', () => {
    host.handler('app::one', fails)
    subscribe('app::one', once, OWNER_BINDS)
    publish(1)
    const queue = 'news::app::one'
    expect(host.error('iii::queue::redrive', { queue })).toMatchObject({
      code: 'forbidden',
      message: expect.stringContaining('owner token'),
    })
    expect(host.error('engine::queue::dlq_messages', { topic: 'news' }).code).toBe('forbidden')
    expect(host.error('iii::queue::discard_message', { queue, message_id: 'x' }).code).toBe('forbidden')
    expect(host.value('iii::queue::redrive', { queue }, { kind: 'owner' })).toMatchObject({ redriven: 1 })
  })

  it('asks the condition first: false acknowledges, an error is a failed delivery', () => {
    const calls = host.handler('app::one')
    let answer: (call: BuiltinCall) => void = (call) => call.reply(false)
    host.handler('app::ask', (call) => answer(call))
    subscribe('app::one', { condition_function_id: 'app::ask' })
    publish(1)
    host.time.advance(0)
    expect(stats('news').depth).toBe(0)
    answer = fails
    publish(2)
    host.time.advance(0)
    expect(calls).toEqual([])
    answer = (call) => call.reply()
    host.time.advance(1_000)
    expect(inputs(calls)).toEqual([2])
  })

  it('keeps messages for a subscriber whose connection ended, over a restart too', () => {
    subscribe('app::one', {}, { id: 'sub', workerId: 'connection-7' })
    host.time.advance(0)
    host.unbind('sub', true)
    publish(1)
    host.time.advance(0)
    boot()
    publish(2)
    host.time.advance(60_000)
    const calls = host.handler('app::one')
    subscribe('app::one')
    host.time.advance(0)
    expect(inputs(calls)).toEqual([1, 2])
  })

  it('forgets a subscriber that unregistered, or stayed away for a week', () => {
    subscribe('app::one', {}, { id: 'sub', workerId: 'connection-7' })
    host.unbind('sub')
    publish(1)
    subscribe('app::two', {}, { id: 'other', workerId: 'connection-7' })
    host.unbind('other', true)
    host.time.advance(8 * 24 * 3_600_000)
    publish(2)
    host.time.advance(0)
    expect(stats('news').depth).toBe(0)
  })

  it('runs a subscriber as the publisher, with no more authority than who bound it', () => {
    const calls = host.handler('app::one')
    subscribe('app::one')
    publish(1, { kind: 'owner' })
    host.time.advance(0)
    expect(calls[0]!.context.principal).toEqual({ kind: 'guest', id: 'guest' })
    const own = host.handler('memory::hear')
    subscribe('memory::hear', {}, { worker: 'memory' })
    publish(2, { realm: 'realm-a' })
    host.time.advance(0)
    expect(own[0]!.context).toMatchObject({ realm: 'realm-a', principal: { kind: 'guest' } })
    expect(calls).toHaveLength(1)
  })

  it('is one at a time and in order with type fifo', () => {
    const calls = host.handler('app::one', () => {})
    subscribe('app::one', { queue_config: { type: 'fifo' } })
    publish(1)
    publish(2)
    host.time.advance(0)
    expect(inputs(calls)).toEqual([1])
    calls[0]!.reply()
    host.time.advance(0)
    expect(inputs(calls)).toEqual([1, 2])
  })
})

describe('after a start', () => {
  it('everything that was accepted and not done is delivered, in its order, with the attempts that it had', () => {
    const before = host.handler('app::order', (call) => {
      if ((call.input as { n: number }).n === 1) fails(call)
    })
    for (const n of [1, 2, 3]) receipt('orders', 'app::order', { customer: 'ada', n })
    expect(before).toHaveLength(1)
    host.time.advance(0)
    boot()
    const calls = host.handler('app::order', (call) =>
      (call.input as { n: number }).n === 1 ? fails(call) : call.reply(),
    )
    host.time.advance(1_000)
    expect(inputs(calls)).toMatchObject([{ n: 1 }, { n: 2 }, { n: 3 }])
    expect(stats('orders')).toMatchObject({ depth: 0, dlq_depth: 1 })
  })

  it('a queue that was taken out of config.yaml still delivers what it holds', () => {
    host.handler('app::work', () => {})
    receipt('narrow', 'app::work', 1)
    host = new TestHost([createQueueModule()], { disk, wall: host.time.now() })
    const calls = host.handler('app::work')
    host.time.advance(1)
    expect(inputs(calls)).toEqual([1])
  })
})
