import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import type { InvocationError } from '@agentos/sdk'
import { registerWorker } from '@agentos/sdk'
import { startCutProxy } from '@agentos/testing'
import { registerWorker as register022 } from 'iii-sdk'
import { registerWorker as register011 } from 'iii-sdk-0.11'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { type ParcelSystem, startParcels } from './support/parcel.ts'

const HEARTBEAT_MS = 1_500
const WAIT = { timeout: 30_000, interval: 20 }

type Packed = { id: string; pid: number }

let system: ParcelSystem

beforeAll(async () => {
  system = await startParcels({
    config: { agentos: { heartbeat_ms: HEARTBEAT_MS, limits: { worker_wait_ms: 30_000 } } },
  })
})
afterAll(() => system?.stop())

async function lateResults(): Promise<number> {
  const { text } = await system.api('GET', '/metrics')
  return Number(/^agentos_late_results_total (\d+)/m.exec(text)?.[1])
}

const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'ok',
    (error: InvocationError) => error.code,
  )

/** Runs until the engine has sent so many pings: its clock, not ours. */
async function beats(count: number): Promise<void> {
  const listener = new WebSocket(system.wsUrl)
  let seen = 0
  listener.on('ping', () => {
    seen += 1
  })
  await once(listener, 'open')
  await expect.poll(() => seen, WAIT).toBeGreaterThanOrEqual(count)
  listener.terminate()
}

describe('a process that is frozen', () => {
  it('is taken out of rotation, its late results are counted, and it comes back by itself', async () => {
    const caller = system.client()
    const second = await system.second()
    await expect.poll(async () => (await system.processes()).length, WAIT).toBe(2)
    const frozen = system.workers.parcel!.pid
    const before = (await system.processes()).find(({ pid }) => pid === frozen)!
    const late = await lateResults()
    const gate = system.gate()
    const call = (functionId: string, id: string, more: object = {}): Promise<Packed> =>
      caller.trigger({ function_id: functionId, payload: { id, ...more }, timeoutMs: 60_000 }) as Promise<Packed>

    // One of each kind at each process.
    const mark = randomUUID()
    const begun = () => system.begun().filter(({ id }) => id.endsWith(mark))
    const asked = ['pack-1', 'look-1', 'pack-2', 'look-2'].map((name) => {
      const id = `${name}-${mark}`
      const work = call(`parcel::${id.slice(0, 4)}`, id, { gate: gate.path })
      return { id, code: codeOf(work) }
    })
    await expect.poll(() => begun().length, WAIT).toBe(4)
    process.kill(frozen, 'SIGSTOP')
    const theirs = begun().filter(({ pid }) => pid === frozen)
    expect(theirs).toHaveLength(2)
    gate.open()
    for (const { id, code } of asked) {
      const lost = theirs.some((parcel) => parcel.id === id)
      const expected = lost ? (id.startsWith('look') ? 'worker_unavailable' : 'in_doubt') : 'ok'
      expect(await code, id).toBe(expected)
    }

    await expect.poll(async () => (await system.processes()).map(({ pid }) => pid), WAIT).toEqual([second.pid])
    for (let n = 0; n < 10; n += 1) expect((await call('parcel::pack', `others-${n}`)).pid).toBe(second.pid)

    process.kill(frozen, 'SIGCONT')
    await expect.poll(async () => (await system.processes()).length, WAIT).toBe(2)
    const after = (await system.processes()).find(({ pid }) => pid === frozen)!
    expect(after.connectedAt).toBeGreaterThan(before.connectedAt)
    await expect.poll(lateResults, WAIT).toBe(late + 2)
    second.kill('SIGTERM')
    await once(second, 'exit')
    await expect.poll(async () => (await call('parcel::pack', 'again')).pid, WAIT).toBe(frozen)
  })
})

describe('a process that is only busy', () => {
  it('for less than a heartbeat keeps its connection and answers', async () => {
    const caller = system.client()
    const before = await system.processes()
    const block = { function_id: 'parcel::block', payload: { id: 'busy', ms: HEARTBEAT_MS / 3 }, timeoutMs: 60_000 }
    // One after the other, so that a beat falls into some of them.
    for (let n = 0; n < 6; n += 1) expect(await caller.trigger(block)).toMatchObject({ id: 'busy' })
    expect(await system.processes()).toEqual(before)
  })
})

describe('clients of the protocol', () => {
  // They do nothing but wait, so they do it beside each other.
  it.concurrent.each([
    ['0.11.6', () => register011(system.wsUrl, { otel: { enabled: false } })],
    ['0.22.1', () => register022(system.wsUrl)],
  ] as const)('iii-sdk %s stays connected though it says nothing', async (version, register) => {
    const client = register() as {
      registerFunction(id: string, handler: () => Promise<unknown>): unknown
      shutdown(): Promise<void>
    }
    const id = `quiet::v${version.replaceAll('.', '_')}`
    client.registerFunction(id, async () => 'here')
    const observer = system.client()
    const connections = async (): Promise<string[]> => {
      const { workers } = (await observer.trigger({ function_id: 'engine::workers::list', payload: {} })) as {
        workers: { id: string; functions: string[] }[]
      }
      return workers.filter(({ functions }) => functions.includes(id)).map((worker) => worker.id)
    }
    await expect.poll(async () => (await connections()).length, WAIT).toBe(1)
    const before = await connections()
    await beats(4)
    expect(await connections()).toEqual(before)
    await client.shutdown()
  })
})

describe('a half-open socket', () => {
  it('is found on both sides, and the client comes back over a new one', async () => {
    const proxy = await startCutProxy(system.wsUrl)
    const server = system.client()
    server.registerFunction('open::never', () => new Promise(() => {}))
    const client = registerWorker(proxy.url, {})
    client.registerFunction('open::half', async () => 'whole again')
    const observer = system.client()
    const there = async (id: string): Promise<boolean> => {
      const { functions } = (await observer.trigger({ function_id: 'engine::functions::list', payload: {} })) as {
        functions: { function_id: string }[]
      }
      return functions.some(({ function_id }) => function_id === id)
    }
    for (const id of ['open::half', 'open::never']) await expect.poll(() => there(id), WAIT).toBe(true)
    const waiting = codeOf(client.trigger({ function_id: 'open::never', payload: {}, timeoutMs: 60_000 }))
    await expect.poll(async () => (await activeCalls()) > 0, WAIT).toBe(true)
    // From now on nothing is forwarded, and nothing looks broken.
    proxy.hold()
    expect(await waiting).toBe('engine_lost')
    await expect.poll(() => there('open::half'), WAIT).toBe(false)
    await expect.poll(activeCalls, WAIT).toBe(0)
    proxy.resume()
    await expect
      .poll(() => observer.trigger({ function_id: 'open::half', payload: {} }).catch(() => 'away'), WAIT)
      .toBe('whole again')
    await client.shutdown()
    await proxy.close()
  })

  /** Calls in flight, ours for the figure left out. */
  async function activeCalls(): Promise<number> {
    const { text } = await system.api('GET', '/metrics')
    return Number(/^agentos_calls_in_flight (\d+)/m.exec(text)?.[1])
  }
})

describe('an engine that is frozen', () => {
  it('is left by its workers, which come back with one connection each', async () => {
    const { parcel } = system.workers
    const caller = system.client()
    await caller.trigger({ function_id: 'parcel::look', payload: { id: 'before' } })
    const { pid } = system.engine
    // It may have said so before, when it was frozen itself.
    const losses = () => parcel!.output().split('has not been heard').length
    const before = losses()
    process.kill(pid, 'SIGSTOP')
    try {
      await expect.poll(losses, WAIT).toBeGreaterThan(before)
    } finally {
      process.kill(pid, 'SIGCONT')
    }
    await expect
      .poll(() => caller.trigger({ function_id: 'parcel::look', payload: { id: 'after' } }).catch(() => null), WAIT)
      .toMatchObject({ pid: parcel!.pid })
    await beats(2)
    expect((await system.processes()).map((process) => process.pid)).toEqual([parcel!.pid])
  })
})
