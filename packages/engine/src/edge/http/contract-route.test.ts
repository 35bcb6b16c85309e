import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { binding, descriptorOf, type FakeWorker, OWNER_TOKEN, startEdge, type TestEdge } from './edge.fixture.ts'

const format = {
  type: 'object',
  properties: {
    id: { type: 'string' },
    limit: { type: 'integer' },
    deep: { type: 'boolean' },
    tags: { type: 'array', items: { type: 'string' } },
    scores: { type: 'array', items: { $ref: '#/$defs/Score' } },
    either: { anyOf: [{ type: 'number' }, { type: 'string' }] },
    maybe: { anyOf: [{ type: 'number' }, { type: 'null' }] },
    text: { type: 'string' },
  },
  $defs: { Score: { type: 'number' } },
}

const descriptors = [
  descriptorOf([
    {
      id: 'notes::put',
      request_format: format,
      http: [binding('POST /v1/notes/:id', { status: 201 }), binding('GET /v1/notes/:id'), binding('POST /v1/notes')],
    },
    { id: 'notes::wipe', access: 'owner', http: [binding('POST /v1/wipe')] },
  ]),
]

let system: TestEdge
let notes: FakeWorker
let seen: { data: unknown; metadata: unknown; context: Record<string, unknown> }[]

beforeEach(async () => {
  system = await startEdge({ descriptors, settings: { bodyBytes: 10_000 } })
  notes = system.installed()
  seen = []
  notes.serve('notes::put', (data, { metadata, context }) => {
    seen.push({ data, metadata, context })
    return { stored: true }
  })
  notes.serve('notes::wipe', () => 'wiped')
})
afterEach(() => system.close())

describe('the input of a contract', () => {
  it('is body, then query, then path, the later winning', async () => {
    const response = await system.post('/v1/notes/n1?text=query&limit=5', { id: 'body', text: 'body', more: 1 })
    expect(response.status).toBe(201)
    expect(response.headers.get('content-type')).toBe('application/json')
    expect(await response.json()).toEqual({ stored: true })
    expect(seen[0]!.data).toEqual({ id: 'n1', text: 'query', limit: 5, more: 1 })
  })

  it('has numbers, booleans and lists only where the schema says so', async () => {
    await system.fetch(
      '/v1/notes/42?limit=7&deep=true&tags=a,b&scores=1&scores=2.5&either=3&maybe=4&text=5&unknown=6&other=true',
    )
    expect(seen[0]!.data).toEqual({
      id: '42',
      limit: 7,
      deep: true,
      tags: ['a', 'b'],
      scores: [1, 2.5],
      either: '3',
      maybe: 4,
      text: '5',
      unknown: '6',
      other: 'true',
    })
  })

  it('keeps what does not look like the wanted type, for the handler to refuse', async () => {
    await system.fetch('/v1/notes/x?limit=many&deep=yes')
    expect(seen[0]!.data).toEqual({ id: 'x', limit: 'many', deep: 'yes' })
  })

  it('loses keys that begin with an underscore, from wherever they come', async () => {
    await system.post('/v1/notes/n1?_query=1', { _caller_worker_id: 'forged', __proto__x: 1, text: 'kept' })
    expect(seen[0]!.data).toEqual({ id: 'n1', text: 'kept' })
    const large = JSON.stringify({ _caller_worker_id: 'forged', text: 'x'.repeat(5_000) })
    await system.fetch('/v1/notes', { method: 'POST', body: large, headers: { 'content-type': 'application/json' } })
    expect(seen[1]!.data).toEqual({ text: 'x'.repeat(5_000) })
  })

  it('decodes path parameters, and refuses a broken escape', async () => {
    await system.fetch('/v1/notes/a%2Fb%20c')
    expect(seen[0]!.data).toEqual({ id: 'a/b c' })
    const response = await system.fetch('/v1/notes/%E0%A4%A')
    expect([400, 404]).toContain(response.status)
  })

  it('may have no body', async () => {
    const response = await system.fetch('/v1/notes', { method: 'POST' })
    expect(response.status).toBe(200)
    expect(seen[0]!.data).toEqual({})
  })

  it('passes a large body on as it came', async () => {
    const text = 'ü'.repeat(2_500)
    await system.post('/v1/notes', { text })
    expect(seen[0]!.data).toEqual({ text })
  })
})

describe('the handler of a contract', () => {
  it('sees the headers, but not what lets the caller in', async () => {
    await system.post('/v1/notes', {}, { token: OWNER_TOKEN, headers: { 'x-session-id': 's1', cookie: 'a=b' } })
    const { http } = seen[0]!.metadata as { http: { method: string; path: string; headers: Record<string, string> } }
    expect(http).toMatchObject({ method: 'POST', path: '/v1/notes', headers: { 'x-session-id': 's1' } })
    expect(http.headers).not.toHaveProperty('authorization')
    expect(http.headers).not.toHaveProperty('cookie')
  })

  it('is called with the authority, the trace, the key and a deadline of the request', async () => {
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
    const response = await system.post(
      '/v1/notes',
      {},
      { token: OWNER_TOKEN, headers: { traceparent, 'idempotency-key': 'k1', 'x-agentos-realm': 'realm-x' } },
    )
    expect(seen[0]!.context).toMatchObject({
      realm: 'realm-x',
      principal: { kind: 'owner' },
      idempotency_key: 'k1',
      deadline_ms: expect.any(Number),
    })
    expect(response.headers.get('x-trace-id')).toBe('0af7651916cd43dd8448eb211c80319c')
    expect(response.headers.get('traceparent')).toMatch(/^00-0af7651916cd43dd8448eb211c80319c-[0-9a-f]{16}-01$/)
    const http = system.spans.find((span) => span.kind === 'http')
    const call = system.spans.find((span) => span.name === 'notes::put')
    expect(http).toMatchObject({
      name: 'POST /v1/notes',
      parentSpanId: 'b7ad6b7169203331',
      realm: 'realm-x',
      status: 'ok',
    })
    expect(http?.attributes).toMatchObject({ 'http.response.status_code': 200, 'http.route': '/v1/notes' })
    expect(call?.parentSpanId).toBe(http?.spanId)
  })
})

describe('what goes wrong', () => {
  it('is a problem with the status of its code', async () => {
    notes.serve('notes::put', () => {
      throw Object.assign(new Error('No note n1'), { code: 'not_found' })
    })
    const response = await system.fetch('/v1/notes/n1')
    expect(response.status).toBe(404)
    expect(response.headers.get('content-type')).toBe('application/problem+json')
    expect(await response.json()).toEqual({
      type: 'urn:agentos:error:not_found',
      title: expect.any(String),
      status: 404,
      detail: 'No note n1',
      code: 'not_found',
      next: expect.any(String),
      retryable: false,
      trace_id: response.headers.get('x-trace-id'),
    })
  })

  it('is 503 with a time to wait while the worker is away, never 404', async () => {
    notes.leave()
    const response = await system.fetch('/v1/notes/n1')
    expect(response.status).toBe(503)
    expect(response.headers.get('retry-after')).toBe('1')
    expect(await response.json()).toMatchObject({ code: 'worker_unavailable', retryable: true })
  })

  it('refuses JSON that is nested too deeply, as an input and as that of a call', async () => {
    const deep = '['.repeat(513) + ']'.repeat(513)
    for (const [path, body] of [
      ['/v1/notes/n1', `{"text":${deep}}`],
      ['/v1/functions/call', `{"functionId":"engine::echo","payload":${deep}}`],
    ] as const) {
      const headers = { 'content-type': 'application/json' }
      const answer = await system.fetch(path, { method: 'POST', headers, body })
      expect([path, answer.status]).toEqual([path, 400])
      expect(await answer.json()).toMatchObject({ code: 'invalid_input', detail: 'The body is nested over 512 levels' })
    }
  })

  it('refuses a number that no double holds, as an input and as that of a call', async () => {
    for (const [path, body] of [
      ['/v1/notes/n1', '{"text":1e400}'],
      ['/v1/functions/call', '{"functionId":"engine::echo","payload":{"value":[-1e400]}}'],
    ] as const) {
      const headers = { 'content-type': 'application/json' }
      const answer = await system.fetch(path, { method: 'POST', headers, body })
      expect([path, answer.status]).toEqual([path, 400])
      expect(await answer.json()).toMatchObject({ code: 'invalid_input', detail: expect.stringContaining('too large') })
    }
  })

  it('refuses what is no JSON: another content type, a form, broken text, broken UTF-8, a byte order mark', async () => {
    const send = (body: string | Uint8Array<ArrayBuffer>, type?: string) =>
      system.fetch('/v1/notes', { method: 'POST', body, headers: type ? { 'content-type': type } : {} })
    expect((await send('a=1', 'application/x-www-form-urlencoded')).status).toBe(415)
    expect((await send('{}', 'text/plain')).status).toBe(415)
    expect((await send(new Uint8Array([123, 125]))).status).toBe(415)
    expect((await send('{', 'application/json')).status).toBe(400)
    expect((await send(new Uint8Array([34, 255, 34]), 'application/json')).status).toBe(400)
    expect((await send('\ufeff{}', 'application/json')).status).toBe(400)
    expect((await send('[1]', 'application/json')).status).toBe(200)
    expect(await (await system.post('/v1/notes/n1', [1])).json()).toMatchObject({ code: 'invalid_input' })
  })

  it('lets only the owner call what is the owner’s', async () => {
    expect((await system.post('/v1/wipe', {})).status).toBe(403)
    expect(await (await system.post('/v1/wipe', {}, { token: OWNER_TOKEN })).json()).toBe('wiped')
  })
})

it('answers the catalogue’s /api path as /v1, and lets nobody else bind it', async () => {
  const client = system.worker()
  client.serve('mine', () => ({ status_code: 200, body: 'mine' }))
  client.bind('t1', 'mine', { api_path: '/api/notes/:id' })
  expect(client.refused).toMatchObject([{ message: expect.stringContaining('which notes serves') }])
  client.bind('t2', 'mine', { api_path: '/api/notices/:id' })
  expect(await (await system.fetch('/api/notices/n1')).json()).toBe('mine')
  expect(await (await system.fetch('/api/notes/n1')).json()).toEqual({ stored: true })
})

it('names the methods of a path that has no such one', async () => {
  const response = await system.fetch('/v1/notes/n1', { method: 'PUT' })
  expect(response.status).toBe(405)
  expect(response.headers.get('allow')).toBe('GET, POST, HEAD')
  expect((await system.fetch('/v1/notes/n1', { method: 'HEAD' })).status).toBe(200)
  expect((await system.fetch('/v1/nowhere')).status).toBe(404)
  expect((await system.fetch('/v1/notes/')).status).toBe(404)
})

it('serves the routes of the engine’s own functions', async () => {
  await system.close()
  system = await startEdge({
    builtins: [
      {
        id: 'engine::echo',
        summary: 'Says it again',
        http: [binding('POST /v1/echo/:word')],
        handle: (call) => call.reply({ input: call.input, path: call.http?.path }),
      },
    ],
  })
  expect(await (await system.post('/v1/echo/hi', { more: 1 })).json()).toEqual({
    input: { more: 1, word: 'hi' },
    path: '/v1/echo/hi',
  })
})
