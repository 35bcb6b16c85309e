import { AgentError, type Caller, defineFunction, defineWorker, type HandlerContext, serve } from '@agentos/sdk'
import { type CutProxy, type System, startCutProxy, startEngine } from '@agentos/testing'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import * as z from 'zod'

/** Contracts of a worker that exists in this test only. */
const echo = defineFunction({
  id: 'probe::echo',
  summary: 'Returns what it gets',
  input: () => z.object({ text: z.string(), times: z.number().int().default(1) }),
  output: () => z.object({ text: z.string() }),
  http: 'POST /v1/probe/echo/:text',
  effects: 'read',
})
const work = defineFunction({
  id: 'probe::work',
  summary: 'Does whatever the test hands in',
  input: () => z.object({}),
  output: () => z.unknown(),
  effects: 'write',
})

let system: System
let onWork: (ctx: HandlerContext) => unknown = () => undefined

const probe = defineWorker({
  name: 'probe',
  functions: [
    serve(echo, ({ text, times }) => ({ text: text.repeat(times) })),
    serve(work, async (_input, ctx) => onWork(ctx)),
  ],
})

beforeAll(async () => {
  system = await startEngine()
})

afterAll(() => system?.stop())

describe('a worker and its callers', () => {
  let stop: () => Promise<void>

  beforeAll(async () => {
    const handle = await probe.connect({ url: system.wsUrl, dataDir: system.dataDir, validateOutput: true })
    stop = () => handle.stop()
  })

  afterAll(() => stop())

  it('calls by contract and by id', async () => {
    const client = system.client()
    expect(await client.call(echo, { text: 'ab', times: 2 })).toEqual({ text: 'abab' })
    expect(await client.trigger({ function_id: 'probe::echo', payload: { text: 'x' } })).toEqual({ text: 'x' })
  })

  it('answers over HTTP with what the contract says', async () => {
    expect((await system.api('POST', '/v1/probe/echo/ab', { times: 3 })).body).toEqual({ text: 'ababab' })
    const refused = await system.api<{ code: string }>('POST', '/v1/probe/echo/ab', { times: 'many' })
    expect(refused.status).toBe(400)
    expect(refused.body.code).toBe('invalid_input')
  })

  it('refuses wrong input by name of the field', async () => {
    const call = system.client().trigger({ function_id: 'probe::echo', payload: { text: 7 } })
    await expect(call).rejects.toMatchObject({
      code: 'invalid_input',
      details: { issues: [{ path: 'text' }] },
      retryable: false,
    })
  })

  it('stamps the context, and derives that of a call made by a handler', async () => {
    const contexts: HandlerContext[] = []
    onWork = async (ctx) => {
      contexts.push(ctx)
      if (contexts.length < 2) await ctx.call(work, {}, { deadlineMs: 60_000 })
      return null
    }
    const owner = system.client({ owner: true, headers: { 'X-AgentOS-Realm': 'guest' } })
    await owner.call(work, {}, { deadlineMs: 5_000, session: 's-1' })
    const [outer, inner] = contexts
    expect(outer).toMatchObject({ realm: 'realm-guest', principal: { kind: 'owner' }, session: 's-1' })
    expect(inner?.traceId).toBe(outer?.traceId)
    expect(inner?.session).toBe('s-1')
    // No later than the caller's, whatever the handler asked for.
    expect(inner?.remainingMs()).toBeLessThanOrEqual(5_000)
  })

  it('carries a cancellation from the caller to the handlers at the end of the chain', async () => {
    const aborted: string[] = []
    let reached: (() => void) | undefined
    const bottom = new Promise<void>((resolve) => {
      reached = resolve
    })
    let depth = 0
    onWork = async (ctx) => {
      depth += 1
      const own = depth
      if (own < 3) return ctx.call(work, {})
      await new Promise<void>((resolve) => {
        ctx.signal.addEventListener('abort', () => {
          aborted.push(`${own}: ${(ctx.signal.reason as AgentError).code}`)
          resolve()
        })
        reached?.()
      })
      return null
    }
    const controller = new AbortController()
    const call = system.client().call(work, {}, { signal: controller.signal })
    await bottom
    controller.abort()
    await expect(call).rejects.toMatchObject({ code: 'cancelled' })
    await expect.poll(() => aborted).toEqual(['3: cancelled'])
  })

  it('lets work go on after the answer in the context of the call', async () => {
    let detached: Caller | undefined
    onWork = (ctx) => {
      detached = ctx.detach({ deadlineMs: 30_000 })
      return null
    }
    await system.client().call(work, {})
    await detached!.state.set('probe-detached', 'k', 1)
    expect(await detached!.state.get('probe-detached', 'k')).toBe(1)
  })

  it('keeps state with versions', async () => {
    const results: unknown[] = []
    onWork = async ({ state }) => {
      const first = await state.set('probe-state', 'a', { n: 1 }, { expectedVersion: 0 })
      results.push(first)
      const late = await state.set('probe-state', 'a', { n: 9 }, { expectedVersion: 0 }).catch((error) => error.code)
      results.push(late, await state.getWithVersion('probe-state', 'a'))
      await state.update('probe-state', 'a', [{ type: 'increment', path: 'n', by: 2 }])
      await state.set('probe-state', 'b', 2)
      results.push(await state.entries('probe-state', { limit: 1 }), await state.list('probe-state'))
      results.push((await state.groups()).includes('probe-state'), await state.delete('probe-state', 'a'))
      results.push(await state.get('probe-state', 'a'))
      return null
    }
    await system.client().call(work, {})
    expect(results).toEqual([
      { old_value: null, new_value: { n: 1 }, version: 1 },
      'version_conflict',
      { key: 'a', value: { n: 1 }, version: 1 },
      { entries: [{ key: 'a', value: { n: 3 }, version: 2 }], next: expect.any(String) },
      [{ n: 3 }, 2],
      true,
      { n: 3 },
      undefined,
    ])
  })

  it('streams through a channel between two workers', async () => {
    const client = system.client()
    client.registerFunction(
      'probe-stream::count',
      async ({ to, out }: { to: number; out: { send(value: object): Promise<void>; close(): Promise<void> } }) => {
        for (let n = 1; n <= to; n += 1) await out.send({ n })
        await out.close()
      },
    )
    await client.ready()
    onWork = async (ctx) => {
      const { reader, writerRef } = await ctx.createChannel()
      const counting = ctx.trigger({ function_id: 'probe-stream::count', payload: { to: 100, out: writerRef } })
      let sum = 0
      for await (const message of reader.messages()) sum += (JSON.parse(message) as { n: number }).n
      await counting
      return sum
    }
    expect(await client.call(work, {})).toBe(5_050)
  })

  it('keeps the code of a typed error all the way up', async () => {
    let depth = 0
    onWork = (ctx) => {
      depth += 1
      if (depth < 3) return ctx.call(work, {})
      throw new AgentError('quota_exceeded', 'Used up', { details: { limit: 3 } })
    }
    await expect(system.client().call(work, {})).rejects.toMatchObject({
      code: 'quota_exceeded',
      reason: 'Used up',
      details: { limit: 3 },
    })
  })

  it('drains: answers what it serves, and lets nothing new in', async () => {
    let finish: (() => void) | undefined
    onWork = () =>
      new Promise((resolve) => {
        finish = () => resolve('done')
      })
    const other = defineWorker({
      name: 'probe-drain',
      functions: [serve({ ...work, id: 'probe-drain::work' }, async (_input, ctx) => onWork(ctx))],
    })
    const handle = await other.connect({ url: system.wsUrl, dataDir: system.dataDir })
    const client = system.client()
    const serving = client.trigger({ function_id: 'probe-drain::work', payload: {} })
    await expect.poll(() => finish).toBeDefined()
    const stopped = handle.stop()
    await expect
      .poll(() => client.trigger({ function_id: 'probe-drain::work' }).catch((error) => error.code))
      .toBe('function_not_found')
    finish?.()
    expect(await serving).toBe('done')
    await stopped
  })
})

describe('a connection that breaks', () => {
  let proxy: CutProxy

  beforeAll(async () => {
    proxy = await startCutProxy(system.wsUrl)
  })

  afterEach(() => proxy.refuse(false))

  afterAll(() => proxy?.close())

  it('loses no function, whichever side is cut', async () => {
    const cut = defineWorker({
      name: 'probe-cut',
      functions: [serve({ ...echo, id: 'probe-cut::echo', http: [] }, (i) => i)],
    })
    const handle = await cut.connect({ url: proxy.url, dataDir: system.dataDir })
    const client = system.client()
    const retry = { max: 50, backoffMs: 20 }
    const sides = ['client', 'server', 'both'] as const
    for (let round = 0; round < 30; round += 1) {
      const side = sides[round % 3]!
      proxy.cut(side)
      // Where the worker is cut off, the engine believes in the old connection until after the reconnect; the other way
      // round only the heartbeat would tell the worker.
      if (side === 'server') proxy.release()
      const answer = await callUntilServed(() =>
        client.trigger({ function_id: 'probe-cut::echo', payload: { text: `${round}` }, retry, timeoutMs: 10_000 }),
      )
      expect(answer).toEqual({ text: `${round}`, times: 1 })
      proxy.release()
    }
    await handle.stop()
  })
})

/** A plain worker's function is not there between its disconnect and its reconnect. */
async function callUntilServed<T>(call: () => Promise<T>): Promise<T> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await call()
    } catch (error) {
      const code = (error as { code?: string }).code ?? ''
      if (attempt >= 100 || !['function_not_found', 'invocation_stopped', 'TIMEOUT'].includes(code)) throw error
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
}

describe('an engine that dies', () => {
  it('is found again: functions are back, what was in flight failed as engine_lost', async () => {
    const handle = await probe.connect({ url: system.wsUrl, dataDir: system.dataDir })
    const client = system.client()
    const errors: unknown[] = []
    onWork = (ctx) =>
      new Promise((resolve) => {
        ctx.signal.addEventListener('abort', () => {
          errors.push(ctx.signal.reason)
          resolve(null)
        })
      })
    const lost = client.call(work, {})
    await expect.poll(() => client.call(echo, { text: 'up' }).then(() => true)).toBe(true)
    const killed = system.engine.kill()
    await expect(lost).rejects.toMatchObject({ code: 'engine_lost', retryable: true })
    await killed
    await expect.poll(() => errors).toMatchObject([{ code: 'engine_lost' }])
    const meanwhile = callUntilServed(() => client.call(echo, { text: 'waited' }))
    await system.engine.start()
    expect(await meanwhile).toEqual({ text: 'waited' })
    await handle.stop()
  })
})
