import { afterEach, beforeEach, expect, it } from 'vitest'
import * as z from 'zod'
import { FakeEngine, type FakePeer } from '../test/fake-engine.ts'
import type { Caller, HandlerContext } from './context.ts'
import { defineFunction } from './contract.ts'
import { AgentError, InvocationError } from './errors.ts'
import { openLog } from './log.ts'
import { defineWorker, on, type ServedFunction, serve, type WorkerDefinition, type WorkerHandle } from './worker.ts'

const greet = defineFunction({
  id: 'test::greet',
  summary: 'Greets somebody',
  input: () => z.strictObject({ name: z.string(), times: z.number().int().max(3).default(1) }),
  output: () => z.object({ text: z.string() }),
  http: ['GET /v1/greet/:name', { route: 'POST /v1/greet', status: 201, stream: true }],
  effects: { field: 'name', cases: { nobody: 'read' }, absent: 'read', otherwise: 'write' },
  tool: true,
})

const other = defineFunction({
  id: 'other::fn',
  summary: 'Somebody else’s',
  input: () => z.object({ n: z.number() }),
  output: () => z.number(),
  effects: 'read',
})

let engine: FakeEngine
let handles: WorkerHandle[]
let calls = 0

beforeEach(async () => {
  engine = await FakeEngine.listen()
  handles = []
})

afterEach(async () => {
  for (const handle of handles) await handle.stop(0)
  await engine.close()
})

async function connect(definition: Partial<WorkerDefinition>, validateOutput = false): Promise<FakePeer> {
  const arrival = engine.nextPeer()
  const worker = defineWorker({ name: 'test', functions: [], ...definition })
  const log = await openLog('test', 'silent')
  handles.push(await worker.connect({ url: engine.url, log, dataDir: '/data', validateOutput }))
  return arrival
}

/** Serves `greet` with this handler and invokes it once. */
async function invoke(handle: ServedFunction['handle'], frame: object = {}, validateOutput = false) {
  const served = serve(greet, handle as Parameters<typeof serve<typeof greet>>[1])
  const peer = await connect({ functions: [served] }, validateOutput)
  calls += 1
  const invocation_id = `call-${calls}`
  const data = { name: 'Ada', _caller_worker_id: 'w-9' }
  peer.send({ type: 'invokefunction', invocation_id, function_id: greet.id, data, ...frame })
  return { peer, invocation_id, answer: peer.frame('invocationresult', { invocation_id }) }
}

it('registers its contracts with schemas, effects and routes, and its triggers', async () => {
  const peer = await connect({
    functions: [serve(greet, () => ({ text: '' }))],
    triggers: [on('cron', greet, { expression: '0 3 * * *' })],
  })
  expect(peer.frames.find(({ type }) => type === 'registerfunction')).toMatchObject({
    id: 'test::greet',
    description: 'Greets somebody',
    request_format: { type: 'object', required: ['name'] },
    response_format: { type: 'object', required: ['text'] },
    metadata: {
      effects: 'varies',
      effects_by: { field: 'name', cases: { nobody: 'read' } },
      idempotent: false,
      tool: true,
      access: 'guest',
      summary: 'Greets somebody',
    },
    group: 'test',
    instance: expect.stringMatching(/^test-/),
  })
  const triggers = peer.frames.filter(({ type }) => type === 'registertrigger')
  expect(triggers).toMatchObject([
    {
      trigger_type: 'http',
      function_id: greet.id,
      config: { api_path: '/v1/greet/:name', http_method: 'GET' },
      metadata: { binding: 'contract', status: 200, raw: false, stream: false },
    },
    {
      trigger_type: 'http',
      config: { api_path: '/v1/greet', http_method: 'POST' },
      metadata: { binding: 'contract', status: 201, raw: false, stream: true },
    },
    { trigger_type: 'cron', function_id: greet.id, config: { expression: '0 3 * * *' } },
  ])
})

it('runs start with its config before the first function is registered', async () => {
  engine.greeting = { type: 'workerregistered', worker_id: 'w', config: { depth: 3 } }
  const seen: unknown[] = []
  const peer = await connect({
    settings: z.object({ depth: z.int(), width: z.int().default(7) }),
    start: (self) =>
      void seen.push(
        self.config,
        self.dataDir,
        engine.peers[0]?.frames.map(({ type }) => type),
      ),
    functions: [serve(greet, () => ({ text: '' }))],
  })
  expect(seen).toEqual([{ depth: 3, width: 7 }, '/data', []])
  expect(peer.frames.some(({ type }) => type === 'registerfunction')).toBe(true)
})

it.each([
  [undefined, { nonsense: 1 }, /config: of test: this worker reads no settings, so nonsense means nothing/],
  [z.object({ depth: z.int().optional() }), { dept: 3 }, /dept is no setting; there is depth\. Correct it/],
  [
    z.object({ prices: z.record(z.string(), z.object({ input: z.int(), output: z.int() })).default({}) }),
    { prices: { 'a/b': { inputs: 3, input: 1, output: 1 } } },
    /prices\.a\/b\.inputs is no setting; there is input, output/,
  ],
  [z.object({ depth: z.int() }), { depth: 'deep' }, /depth: .*expected number/],
  [z.object({}), 7, /config: .*expected object/],
  [undefined, 7, /reads no settings, so 7 means nothing/],
])('refuses settings that a worker does not read before anything of it runs: %#', async (settings, config, words) => {
  engine.greeting = { type: 'workerregistered', worker_id: 'w', config }
  let ran = false
  const start = () => {
    ran = true
  }
  const functions = [serve(greet, () => ({ text: '' }))]
  await expect(connect({ ...(settings ? { settings } : {}), start, functions })).rejects.toMatchObject({
    code: 'not_configured',
    message: expect.stringMatching(words),
  })
  expect(ran).toBe(false)
})

it.each([undefined, null, {}])('starts a worker without settings where its entry says %o', async (config) => {
  engine.greeting = { type: 'workerregistered', worker_id: 'w', config }
  const seen: unknown[] = []
  await connect({ start: (self) => void seen.push(self.config) })
  expect(seen).toEqual([{}])
})

it('does not connect a worker whose start fails', async () => {
  const start = () => Promise.reject(new Error('no index'))
  await expect(connect({ start })).rejects.toThrow('no index')
})

it('hands the handler validated input without what others put beside it', async () => {
  const { answer } = await invoke((input) => ({ text: JSON.stringify(input) }))
  expect((await answer).result).toEqual({ text: '{"name":"Ada","times":1}' })
})

it('refuses input that the contract does not allow, naming path and problem', async () => {
  const { answer } = await invoke(() => ({ text: '' }), { data: { name: 7, times: 9 } })
  const { error } = (await answer) as unknown as { error: { code: string; message: string; details: unknown } }
  expect(error.code).toBe('invalid_input')
  expect(error.message).toMatch(/^test::greet: name: .*expected string.*; times: /)
  expect(error.details).toMatchObject({ issues: [{ path: 'name' }, { path: 'times' }] })
})

it('refuses output that the contract does not allow where that is switched on', async () => {
  const { answer } = await invoke(() => ({ txt: 'misspelt' }) as unknown as { text: string }, {}, true)
  expect((await answer).error).toMatchObject({ code: 'internal', message: expect.stringContaining('text: ') })
})

it('passes such an output on where that is not switched on', async () => {
  const { answer } = await invoke(() => ({ txt: 'misspelt' }) as unknown as { text: string })
  expect((await answer).result).toEqual({ txt: 'misspelt' })
})

it('gives the handler the context that the engine stamped', async () => {
  const traceId = '0af7651916cd43dd8448eb211c80319c'
  const { answer } = await invoke(
    (_input, ctx) => ({
      text: JSON.stringify([
        ctx.realm,
        ctx.principal,
        ctx.session,
        ctx.run,
        ctx.idempotencyKey,
        ctx.labels,
        ctx.traceId,
        ctx.http,
        ctx.remainingMs()! <= 60_000,
      ]),
    }),
    {
      traceparent: `00-${traceId}-00f067aa0ba902b7-01`,
      metadata: { http: { method: 'GET', path: '/v1/greet/Ada', headers: { host: 'h' } } },
      context: {
        realm: 'realm-1',
        principal: { kind: 'agent', id: 'a' },
        session: 's',
        run: 'r',
        idempotency_key: 'k',
        labels: ['web'],
        deadline_ms: 60_000,
      },
    },
  )
  const { result } = (await answer) as unknown as { result: { text: string } }
  expect(JSON.parse(result.text)).toEqual([
    'realm-1',
    { kind: 'agent', id: 'a' },
    's',
    'r',
    'k',
    ['web'],
    traceId,
    { method: 'GET', path: '/v1/greet/Ada', headers: { host: 'h' } },
    true,
  ])
})

it('calls onward in the name of the invocation, with what the options say', async () => {
  const { peer, invocation_id, answer } = await invoke(async (_input, ctx) => {
    const options = { deadlineMs: 5_000, idempotencyKey: 'k', agent: 'agent-1', session: 's', run: 'r' }
    return { text: String(await ctx.call(other, { n: 1 }, options)) }
  })
  const onward = await peer.frame('invokefunction', { function_id: 'other::fn' })
  expect(onward).toMatchObject({
    data: { n: 1 },
    parent: invocation_id,
    deadline_ms: 5_000,
    idempotency_key: 'k',
    agent: 'agent-1',
    session: 's',
    run: 'r',
  })
  peer.send({ type: 'invocationresult', invocation_id: onward.invocation_id, result: 42 })
  expect((await answer).result).toEqual({ text: '42' })
})

it('aborts the signal of a cancelled invocation with the reason', async () => {
  const { peer, invocation_id, answer } = await invoke(
    (_input, ctx) =>
      new Promise((_resolve, reject) => ctx.signal.addEventListener('abort', () => reject(ctx.signal.reason))),
  )
  peer.send({ type: 'cancelinvocation', invocation_id, reason: 'cancelled' })
  expect((await answer).error).toMatchObject({ code: 'cancelled' })
})

it('aborts the signal when the deadline passes, though nobody said so', async () => {
  const { answer } = await invoke(
    (_input, ctx) =>
      new Promise((_resolve, reject) => ctx.signal.addEventListener('abort', () => reject(ctx.signal.reason))),
    { context: { realm: 'r', principal: { kind: 'guest', id: 'g' }, deadline_ms: 20 } },
  )
  expect((await answer).error).toMatchObject({ code: 'deadline_exceeded' })
})

it('lets work go on after the answer only where the handler asked for it before', async () => {
  let kept: { plain: HandlerContext; detached: Caller } | undefined
  const { peer, invocation_id, answer } = await invoke((_input, ctx) => {
    kept = { plain: ctx, detached: ctx.detach({ deadlineMs: 60_000 }) }
    return { text: 'later' }
  })
  await answer
  expect(peer.frames.map(({ type, function_id }) => function_id ?? type).slice(-2)).toEqual([
    'engine::calls::detach',
    greet.id,
  ])
  expect(await peer.frame('invokefunction', { function_id: 'engine::calls::detach' })).toMatchObject({
    parent: invocation_id,
    data: { invocation_id, deadline_ms: 60_000 },
  })
  await expect(kept!.plain.call(other, { n: 1 })).rejects.toMatchObject({ code: 'conflict' })
  void kept!.detached.call(other, { n: 2 }).catch(() => undefined)
  expect(await peer.frame('invokefunction', { function_id: 'other::fn' })).toMatchObject({
    parent: invocation_id,
    data: { n: 2 },
  })
  // The engine keeps the context with the connection.
  const next = engine.nextPeer()
  peer.socket.terminate()
  await next
  await expect.poll(() => kept!.detached.call(other, { n: 3 }).catch((error) => error.code)).toBe('engine_lost')
})

it('enters a realm without a parent', async () => {
  const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`
  const { peer } = await invoke(
    async (_input, ctx) => {
      await ctx.inRealm('realm-2').state.get('scope', 'key')
      return { text: '' }
    },
    { traceparent },
  )
  const frame = await peer.frame('invokefunction', { function_id: 'state::get' })
  // What it does there is seen in the trace of the call that it serves.
  expect(frame).toMatchObject({ realm: 'realm-2', traceparent, data: { scope: 'scope', key: 'key' } })
  expect(frame).not.toHaveProperty('parent')
})

it('fails calls of an invocation whose connection is gone', async () => {
  let context: HandlerContext | undefined
  const { peer } = await invoke((_input, ctx) => {
    context = ctx
    return new Promise(() => undefined)
  })
  await expect.poll(() => context).toBeDefined()
  const next = engine.nextPeer()
  peer.socket.terminate()
  await next
  await expect.poll(() => context?.signal.aborted).toBe(true)
  const failure = await context!.call(other, { n: 1 }).catch((error: unknown) => error)
  expect(failure).toBeInstanceOf(InvocationError)
  expect(failure).toMatchObject({ code: 'engine_lost' })
})

it('sends spans as OTLP under the invocation, with calls inside naming them', async () => {
  const traceId = '0af7651916cd43dd8448eb211c80319c'
  const spanId = '00f067aa0ba902b7'
  const { peer } = await invoke(
    async (_input, ctx) => {
      await ctx.span('outer', async (outer) => {
        outer.set('count', 2)
        await ctx.span('inner', async () => {
          void ctx.call(other, { n: 1 }).catch(() => undefined)
          throw new AgentError('not_found', 'nothing')
        })
      })
      return { text: '' }
    },
    { traceparent: `00-${traceId}-${spanId}-01` },
  )
  await expect.poll(() => peer.binary.length).toBe(1)
  const text = peer.binary[0]!.toString()
  expect(text.slice(0, 4)).toBe('OTLP')
  const { resourceSpans } = JSON.parse(text.slice(4))
  const [inner, outer] = resourceSpans[0].scopeSpans[0].spans
  expect(resourceSpans[0].resource.attributes).toEqual([{ key: 'service.name', value: { stringValue: 'test' } }])
  expect(outer).toMatchObject({
    traceId,
    parentSpanId: spanId,
    name: 'outer',
    attributes: expect.arrayContaining([{ key: 'count', value: { intValue: '2' } }]),
    status: { code: 2 },
  })
  expect(inner).toMatchObject({ traceId, parentSpanId: outer.spanId, name: 'inner', status: { message: 'nothing' } })
  const call = await peer.frame('invokefunction', { function_id: 'other::fn' })
  expect(call.traceparent).toBe(`00-${traceId}-${inner.spanId}-01`)
})

it('stops after the calls in flight, then runs stop and disconnects', async () => {
  const order: string[] = []
  let finish: (() => void) | undefined
  const peer = await connect({
    functions: [
      serve(greet, async () => {
        await new Promise<void>((resolve) => (finish = resolve))
        order.push('answered')
        return { text: 'done' }
      }),
    ],
    stop: () => void order.push('stop'),
  })
  peer.socket.on('close', () => order.push('closed'))
  peer.send({ type: 'invokefunction', invocation_id: 'last', function_id: greet.id, data: { name: 'x' } })
  await expect.poll(() => finish).toBeDefined()
  const stopped = handles[0]!.stop()
  await peer.frame('unregisterfunction', { id: greet.id })
  finish?.()
  await stopped
  expect(await peer.frame('invocationresult', { invocation_id: 'last' })).toMatchObject({ result: { text: 'done' } })
  await expect.poll(() => order).toEqual(['answered', 'stop', 'closed'])
})
