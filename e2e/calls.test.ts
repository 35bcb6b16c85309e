import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import type { IIIClient, InvocationError } from '@agentos/sdk'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type ChatReply, NO_LOCAL_MODELS } from './support/all-workers.ts'
import { type ParcelGate, type ParcelSystem, startParcels } from './support/parcel.ts'

type Packed = { id: string; pid: number }

let system: ParcelSystem
let caller: IIIClient
/** Of this test: what it asks for stands still until it is opened. */
let gate: ParcelGate
let parcels = 0

beforeAll(async () => {
  system = await startParcels({
    workers: ['agent-core', 'llm-router', 'memory', 'security'],
    env: NO_LOCAL_MODELS,
    // Calls wait for a restart for as long as a slow machine takes.
    config: { agentos: { limits: { worker_wait_ms: 30_000, in_flight_per_worker: 20 } } },
  })
})
afterAll(() => system?.stop())
beforeEach(() => {
  caller = system.client()
  gate = system.gate()
})
// Nothing goes on into the next test.
afterEach(() => gate.open())

const newId = (): string => `parcel-${++parcels}`
const timesBegun = (id: string): number => system.begun().filter((parcel) => parcel.id === id).length
const countBegun = (ids: readonly string[]): number => system.begun().filter(({ id }) => ids.includes(id)).length

function call(functionId: string, payload: object, more: object = {}): Promise<Packed> {
  return caller.trigger({ function_id: functionId, payload, timeoutMs: 60_000, ...more }) as Promise<Packed>
}

const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'ok',
    (error: InvocationError) => error.code,
  )

/** A second process, while the test runs. */
async function withSecond(test: (second: ChildProcess, pids: { first: number; second: number }) => Promise<void>) {
  const second = await system.second()
  await expect.poll(async () => (await system.processes()).length).toBe(2)
  try {
    await test(second, { first: system.workers.parcel!.pid, second: second.pid! })
  } finally {
    if (second.exitCode === null && second.signalCode === null) {
      second.kill('SIGTERM')
      await once(second, 'exit')
    }
    await expect.poll(async () => (await system.processes()).length).toBe(1)
  }
}

describe('two processes of a worker', () => {
  it('share the load, fewest in flight first', async () => {
    await withSecond(async (_second, { first, second }) => {
      const ids = Array.from({ length: 20 }, newId)
      const calls = ids.map((id) => call('parcel::pack', { id, gate: gate.path }))
      await expect.poll(() => countBegun(ids)).toBe(20)
      gate.open()
      const packed = await Promise.all(calls)
      expect(packed.filter(({ pid }) => pid === first)).toHaveLength(10)
      expect(packed.filter(({ pid }) => pid === second)).toHaveLength(10)
    })
  })

  it('take over what waits when one of them is killed; only what it had begun is in doubt', async () => {
    // The owner: guests have half of the places of a worker.
    caller = system.client({ owner: true })
    await withSecond(async (second, pids) => {
      // 20 at each process, 20 wait.
      const ids = Array.from({ length: 60 }, newId)
      const codes = ids.map((id) => codeOf(call('parcel::pack', { id, gate: gate.path })))
      await expect.poll(() => countBegun(ids)).toBe(40)
      second.kill('SIGKILL')
      await once(second, 'exit')
      gate.open()
      const outcomes = await Promise.all(codes)
      const lost = ids.filter((_id, index) => outcomes[index] === 'in_doubt')
      expect(lost).toHaveLength(20)
      expect(outcomes.filter((code) => code === 'ok')).toHaveLength(40)
      for (const { id, pid } of system.begun()) if (lost.includes(id)) expect(pid).toBe(pids.second)
      for (const id of ids) expect(timesBegun(id)).toBe(1)
    })
  })

  it('and one that is stopped ends what it has begun, and no call fails', async () => {
    await withSecond(async (second) => {
      const codes: Promise<string>[] = []
      const exit = once(second, 'exit')
      let stopped = false
      void exit.then(() => {
        stopped = true
      })
      for (let n = 0; !stopped; n += 1) {
        codes.push(codeOf(call('parcel::pack', { id: newId(), ms: 20 })))
        if (n === 20) second.kill('SIGTERM')
        // As fast as they are sent, so that some are on the way when it takes its functions back.
        if (n % 10 === 0) await codes.at(-1)
      }
      expect(await exit).toEqual([0, null])
      expect(new Set(await Promise.all(codes))).toEqual(new Set(['ok']))
    })
  })
})

describe('the only process of a worker', () => {
  it('is stopped: it ends what it has begun, and what comes meanwhile waits for the next', async () => {
    const { parcel } = system.workers
    const [begun, meanwhile] = [newId(), newId()]
    const first = call('parcel::pack', { id: begun, gate: gate.path })
    await expect.poll(() => timesBegun(begun)).toBe(1)
    const { pid } = parcel!
    const ended = parcel!.kill('SIGTERM')
    await parcel!.wrote(/"msg":"stopping"/)
    const second = call('parcel::pack', { id: meanwhile })
    gate.open()
    expect(await first).toEqual({ id: begun, pid })
    await ended
    await parcel!.start()
    expect((await second).pid).toBe(parcel!.pid)
    expect([timesBegun(begun), timesBegun(meanwhile)]).toEqual([1, 1])
  })
})

describe('a call with retry', () => {
  const retry = { max: 5, backoffMs: 20 }

  it('is repeated by the engine, and its trace shows each attempt', async () => {
    const id = newId()
    expect(await call('parcel::pack', { id, failures: 2 }, { retry })).toMatchObject({ id })
    expect(timesBegun(id)).toBe(3)
    const spans = async (): Promise<string[]> => {
      const { body } = await system.api(
        'GET',
        '/v1/traces?search_all_spans=true&limit=500&sort_order=desc',
        undefined,
        { owner: true, realm: 'guest' },
      )
      return [...JSON.stringify(body).matchAll(/parcel::pack attempt \d/g)].map(([name]) => name)
    }
    await expect.poll(spans).toEqual(expect.arrayContaining([1, 2, 3].map((n) => `parcel::pack attempt ${n}`)))
    const worn = newId()
    await expect(
      call('parcel::pack', { id: worn, failures: 9 }, { retry: { max: 1, backoffMs: 1 } }),
    ).rejects.toMatchObject({
      code: 'upstream_error',
      details: { attempts: 2 },
    })
    expect(timesBegun(worn)).toBe(2)
  })

  it('has its result although its process is killed, where repeating is harmless, and else is in doubt', async () => {
    const { parcel } = system.workers
    const [reading, packing] = [newId(), newId()]
    const read = call('parcel::look', { id: reading, gate: gate.path }, { retry })
    const packed = codeOf(call('parcel::pack', { id: packing, gate: gate.path }, { retry }))
    await expect.poll(() => timesBegun(reading) + timesBegun(packing)).toBe(2)
    await parcel!.kill()
    expect(await packed).toBe('in_doubt')
    await parcel!.start()
    gate.open()
    expect(await read).toEqual({ id: reading, pid: parcel!.pid })
    expect(timesBegun(packing)).toBe(1)
  })
})

describe('a call with an idempotency key', () => {
  it('is made once over the bus and over HTTP, and its key is refused for another input', async () => {
    const id = newId()
    const options = { idempotencyKey: `key-${id}` }
    const first = await call('parcel::pack', { id }, options)
    expect(await call('parcel::pack', { id }, options)).toEqual(first)
    expect(await codeOf(call('parcel::pack', { id: 'another' }, options))).toBe('key_reused')

    const headers = { 'idempotency-key': `key-${id}` }
    // The same guest, by the other door.
    expect((await system.api('POST', '/v1/parcel/pack', { id }, { headers })).body).toEqual(first)
    const called = { functionId: 'parcel::pack', payload: { id } }
    expect((await system.api('POST', '/v1/functions/call', called, { headers })).body).toEqual(first)
    const reused = await system.api<{ code: string }>('POST', '/v1/parcel/pack', { id: 'another' }, { headers })
    expect([reused.status, reused.body.code]).toEqual([409, 'key_reused'])
    expect(timesBegun(id)).toBe(1)
  })

  it('is in doubt while the first is under way, and goes on although its caller has left', async () => {
    const id = newId()
    const headers = { 'idempotency-key': id }
    const payload = { id, gate: gate.path }
    const leaving = system.client()
    const gone = leaving.trigger({ function_id: 'parcel::pack', payload, idempotencyKey: id }).catch(() => 'gone')
    await expect.poll(() => timesBegun(id)).toBe(1)
    await leaving.shutdown()
    expect(await gone).toBe('gone')
    const again = () => system.api<{ code: string }>('POST', '/v1/parcel/pack', payload, { headers })
    const meanwhile = await again()
    expect(meanwhile).toMatchObject({ status: 409, body: { code: 'in_doubt', details: { running: true } } })
    gate.open()
    await expect.poll(async () => (await again()).body).toMatchObject({ id })
    expect(timesBegun(id)).toBe(1)
  })

  it('has its recorded result after a kill of the engine, and is in doubt where that came too early', async () => {
    const [done, open] = [newId(), newId()]
    const headers = (key: string) => ({ headers: { 'idempotency-key': key } })
    const first = await system.api('POST', '/v1/parcel/pack', { id: done }, headers(done))
    const held = { id: open, gate: gate.path }
    const lost = system.api('POST', '/v1/parcel/pack', held, headers(open)).catch(() => 'lost')
    await expect.poll(() => timesBegun(open)).toBe(1)
    await system.engine.kill()
    expect(await lost).toBe('lost')
    await system.engine.start()
    await system.ready()
    expect((await system.api('POST', '/v1/parcel/pack', { id: done }, headers(done))).body).toEqual(first.body)
    const undecided = await system.api('POST', '/v1/parcel/pack', held, headers(open))
    expect(undecided).toMatchObject({ status: 409, body: { code: 'in_doubt', details: { running: false } } })
    expect([timesBegun(done), timesBegun(open)]).toEqual([1, 1])
  })

  it('is one chat, streamed or not', async () => {
    const headers = { 'idempotency-key': 'one-chat' }
    const message = 'What is 20 plus 22?'
    const first = await system.api<ChatReply>('POST', '/v1/chat', { message }, { headers })
    expect(first.body.content).toContain('42')
    const second = await system.api<ChatReply>('POST', '/v1/chat', { message }, { headers })
    expect(second.body).toEqual(first.body)
    const streamed = await system.api('POST', '/v1/chat', { message, stream: true }, { headers })
    expect(streamed.text).toContain(`event: done\ndata: ${first.text}`)
    expect(streamed.text).toContain(`event: text\ndata: ${JSON.stringify({ type: 'text', text: first.body.content })}`)
    const other = await system.api<{ code: string }>('POST', '/v1/chat', { message: 'Something else' }, { headers })
    expect(other.body.code).toBe('key_reused')
  })
})

describe('realms', () => {
  it('are served in turn: many waiting calls of one do not hold up another', async () => {
    caller = system.client({ owner: true })
    const greedy = Array.from({ length: 400 }, newId)
    const calls = greedy.map((id) => call('parcel::pack', { id, gate: gate.path }))
    const waiting = async (): Promise<number> => {
      const { text } = await system.api('GET', '/metrics')
      return Number(/^agentos_calls_waiting (\d+)/m.exec(text)?.[1])
    }
    await expect.poll(waiting).toBe(380)
    const id = newId()
    const other = system.api('POST', '/v1/parcel/pack', { id }, { owner: true, realm: 'realm-other' })
    await expect.poll(waiting).toBe(381)
    gate.open()
    expect((await other).status).toBe(200)
    await Promise.all(calls)
    // It had its turn, although hundreds were there before it.
    const order = system.begun().map((parcel) => parcel.id)
    const after = order.slice(order.indexOf(id)).filter((parcel) => greedy.includes(parcel))
    expect(after.length).toBeGreaterThan(300)
  })
})
