import { EngineError } from '@agentos/protocol'
import { beforeEach, describe, expect, it } from 'vitest'
import { TestHost } from '../../../test/host.ts'
import type { BuiltinCall, CallResult } from '../../core/module.ts'
import { MemoryDisk } from '../../store/memory-store.ts'
import { createQueueModule } from './module.ts'
import { namedQueues, QueueFile } from './settings.ts'

const QUEUES = {
  queue_configs: {
    orders: { type: 'fifo', message_group_field: 'customer', backoff_ms: 1_000, max_retries: 2 },
    once: { max_retries: 1 },
  },
}
const LATER_MS = 60_000

let disk: MemoryDisk
let host: TestHost

beforeEach(() => {
  disk = new MemoryDisk()
  boot()
})

function boot(): void {
  const queues = namedQueues(QueueFile.parse(QUEUES))
  host = new TestHost([createQueueModule({ queues })], { disk, ...(host ? { wall: host.time.now() } : {}) })
  host.time.advance(0)
}

function enqueue(queue: string, functionId: string, data: unknown): CallResult[] {
  const results: CallResult[] = []
  const payload = { value: data }
  const onResult = (result: CallResult): void => void results.push(result)
  host.core.enqueue({ queue, functionId, payload, context: host.context(), caller: {}, onResult })
  host.time.advance(0)
  return results
}

const order = (n: number) => ({ customer: 'ada', n })
const served = (calls: BuiltinCall[]) => calls.map(({ input }) => (input as { n: number }).n)
const stats = (topic: string) => host.value('engine::queue::topic_stats', { topic }, { kind: 'owner' })
const told = (text: string) => host.logged.filter(({ message }) => message.includes(text))

describe('a job that cannot be read', () => {
  it('waits for the disk at the head of its group, and is delivered when that answers', () => {
    const calls = host.handler('app::ship', (call) => call.reply())
    const read = host.store.get
    host.store.get = () => {
      throw new EngineError('store_unavailable', 'EIO')
    }
    enqueue('orders', 'app::ship', order(1))
    enqueue('orders', 'app::ship', order(2))
    host.time.advance(20 * LATER_MS)
    expect(calls).toEqual([])
    expect(stats('orders')).toMatchObject({ depth: 2 })
    expect(told('EIO')).toHaveLength(1)
    host.store.get = read
    host.time.advance(LATER_MS)
    expect(served(calls)).toEqual([1, 2])
    expect(stats('orders')).toMatchObject({ depth: 0, dlq_depth: 0 })
  })
})

describe('a delivery that cannot be noted', () => {
  it('is not made again, and holds up its group until it is noted', () => {
    const calls = host.handler('app::ship', () => {})
    enqueue('orders', 'app::ship', order(1))
    enqueue('orders', 'app::ship', order(2))
    disk.refusal = 'EIO'
    calls[0]!.reply()
    host.time.advance(20 * LATER_MS)
    expect(served(calls), 'it was done, and is not done again').toEqual([1])
    expect(told('EIO')).toHaveLength(1)
    disk.refusal = undefined
    host.time.advance(LATER_MS)
    expect(served(calls)).toEqual([1, 2])
  })

  it('comes again after a start', () => {
    const calls = host.handler('app::ship', () => {})
    enqueue('orders', 'app::ship', order(1))
    disk.refusal = 'EIO'
    calls[0]!.reply()
    host.time.advance(LATER_MS)
    disk.refusal = undefined
    boot()
    const again = host.handler('app::ship', (call) => call.reply())
    host.time.advance(LATER_MS)
    expect(served(again)).toEqual([1])
    expect(stats('orders')).toMatchObject({ depth: 0 })
  })
})

describe('a job whose call the disk keeps from being made', () => {
  it('waits, and that is no attempt of it', () => {
    let refused = 0
    host.handler('app::durable', (call) => {
      refused += 1
      if (refused < 5) call.fail('store_unavailable', 'EIO')
      else call.reply()
    })
    enqueue('once', 'app::durable', { n: 1 })
    host.time.advance(LATER_MS)
    expect(refused).toBe(5)
    expect(stats('once')).toMatchObject({ depth: 0, dlq_depth: 0 })
  })
})

describe('a dead letter that cannot be read', () => {
  it('stays one, and is driven back when the disk answers', () => {
    let fails = true
    const calls = host.handler('app::ship', (call) => (fails ? call.fail('boom', 'it broke') : call.reply()))
    enqueue('once', 'app::ship', { n: 1 })
    host.time.advance(LATER_MS)
    expect(stats('once')).toMatchObject({ dlq_depth: 1 })
    fails = false
    disk.unreadable = 'EIO'
    expect(host.error('iii::queue::redrive', { queue: 'once' }, { kind: 'owner' })).toMatchObject({
      code: 'redrive_failed',
    })
    disk.unreadable = undefined
    expect(stats('once')).toMatchObject({ dlq_depth: 1 })
    expect(host.value('iii::queue::redrive', { queue: 'once' }, { kind: 'owner' })).toMatchObject({ redriven: 1 })
    host.time.advance(0)
    expect(served(calls)).toEqual([1, 1])
  })
})

describe('a durable subscription that the disk refuses', () => {
  it('is noted when the disk answers, and stands after a start', () => {
    const message = { topic: 'news', data: { n: 1 } }
    disk.refusal = 'EIO'
    host.handler('app::hear', (call) => call.reply())
    host.bind('durable:subscriber', 'app::hear', { topic: 'news' }, { workerId: 'connection-1' })
    host.time.advance(LATER_MS)
    disk.refusal = undefined
    host.time.advance(LATER_MS)
    boot()
    host.value('iii::durable::publish', message, { kind: 'owner' })
    const calls = host.handler('app::hear', (call) => call.reply())
    host.bind('durable:subscriber', 'app::hear', { topic: 'news' }, { workerId: 'connection-1' })
    host.time.advance(LATER_MS)
    expect(served(calls)).toEqual([1])
  })
})
