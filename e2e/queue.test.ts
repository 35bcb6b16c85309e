import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { type IIIClient, TriggerAction } from '@agentos/sdk'
import { type System, startEngine } from '@agentos/testing'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'

interface Order {
  customer: string
  n: number
}

/** A process that serves `queue::order`, and what it was given. */
interface OrderWorker {
  process: ChildProcess
  orders: Order[]
}

let system: System
const processes: ChildProcess[] = []

beforeAll(async () => {
  const orders = { type: 'fifo', message_group_field: 'customer', backoff_ms: 200, max_retries: 5 }
  system = await startEngine({
    config: { workers: [{ name: 'iii-queue', config: { queue_configs: { orders } } }] },
  })
})
afterEach(() => {
  for (const process of processes.splice(0)) process.kill('SIGKILL')
})
afterAll(() => system?.stop())

function startWorker(env: { HANG?: string } = {}): OrderWorker {
  const script = join(import.meta.dirname, 'support/queue-worker.ts')
  const child = spawn(process.execPath, [script], {
    env: { III_URL: system.wsUrl, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  processes.push(child)
  const orders: Order[] = []
  createInterface({ input: child.stdout }).on('line', (line) => orders.push(JSON.parse(line) as Order))
  return { process: child, orders }
}

async function order(client: IIIClient, customer: string, n: number): Promise<string> {
  const { messageReceiptId } = (await client.trigger({
    function_id: 'queue::order',
    payload: { customer, n },
    action: TriggerAction.Enqueue({ queue: 'orders' }),
  })) as { messageReceiptId: string }
  return messageReceiptId
}

async function stats(client: IIIClient): Promise<{ depth: number; dlq_depth: number }> {
  return (await client.trigger({ function_id: 'engine::queue::topic_stats', payload: { topic: 'orders' } })) as {
    depth: number
    dlq_depth: number
  }
}

/** Order numbers of a customer, each where it came first. */
function numbers(orders: Order[], customer: string): number[] {
  return [...new Set(orders.filter((order) => order.customer === customer).map(({ n }) => n))]
}

// What a try leaves in the queue would come to the next one.
describe('kill -9', { retry: 0 }, () => {
  it('of a worker in mid-delivery: the job comes again to the next process, and its group goes on in order', async () => {
    const client = system.client()
    const hanging = startWorker({ HANG: '1' })
    for (const n of [1, 2, 3]) expect(await order(client, 'ada', n)).toMatch(/^[0-9a-f-]{36}$/)
    await expect.poll(() => hanging.orders, { timeout: 20_000 }).toEqual([{ customer: 'ada', n: 1 }])
    hanging.process.kill('SIGKILL')
    await once(hanging.process, 'exit')
    const { orders } = startWorker()
    await expect.poll(() => numbers(orders, 'ada'), { timeout: 20_000 }).toEqual([1, 2, 3])
    await expect.poll(() => stats(client), { timeout: 20_000 }).toMatchObject({ depth: 0, dlq_depth: 0 })
  })

  it('of the engine in mid-delivery: every order that was accepted is delivered after its start, in order', async () => {
    const client = system.client()
    const hanging = startWorker({ HANG: '1' })
    const accepted: Record<string, number[]> = { bob: [], eve: [] }
    for (let n = 1; n <= 100; n++) {
      const customer = n % 2 === 0 ? 'bob' : 'eve'
      await order(client, customer, n)
      accepted[customer]!.push(n)
    }
    await expect.poll(() => hanging.orders.length, { timeout: 20_000 }).toBe(2)
    await system.engine.kill()
    hanging.process.kill('SIGKILL')
    const { orders } = startWorker()
    await system.engine.start()
    await system.ready()
    for (const customer of ['bob', 'eve']) {
      await expect.poll(() => numbers(orders, customer), { timeout: 20_000 }).toEqual(accepted[customer])
    }
    const after = system.client()
    await expect.poll(() => stats(after), { timeout: 20_000 }).toMatchObject({ depth: 0, dlq_depth: 0 })
  })

  it('of the engine: a durable subscriber that was away gets what was published meanwhile', async () => {
    const publisher = system.client()
    const publish = (client: IIIClient, n: number) =>
      client.trigger({ function_id: 'iii::durable::publish', payload: { topic: 'news', data: { n } } })
    const seen: number[] = []
    const subscribe = (): IIIClient => {
      const client = system.client()
      client.registerFunction('news::read', (data: { n: number }) => void seen.push(data.n))
      client.registerTrigger({
        type: 'durable:subscriber',
        function_id: 'news::read',
        config: { topic: 'news', queue_config: { type: 'fifo' } },
      })
      return client
    }
    const first = subscribe()
    await expect
      .poll(
        async () => {
          await publish(publisher, 0)
          return seen.length
        },
        { timeout: 20_000 },
      )
      .toBeGreaterThan(0)
    await first.shutdown()
    await publish(publisher, 1)
    await system.engine.kill()
    await system.engine.start()
    await system.ready()
    await publish(system.client(), 2)
    subscribe()
    await expect.poll(() => [...new Set(seen)], { timeout: 20_000 }).toEqual([0, 1, 2])
  })
})
