import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { ChannelRef } from '../../core/module.ts'
import {
  binding,
  descriptorOf,
  type FakeWorker,
  OWNER_TOKEN,
  startEdge,
  type TestEdge,
  writeFrames,
} from './edge.fixture.ts'

interface Request {
  body: unknown
  request_body: ChannelRef
  response: ChannelRef
  [more: string]: unknown
}

let system: TestEdge
let client: FakeWorker
let seen: Request[]

beforeEach(async () => {
  await open(30_000)
})
afterEach(() => system.close())

async function open(defaultTimeoutMs: number): Promise<void> {
  system = await startEdge({ settings: { defaultTimeoutMs, bodyBytes: 200_000 } })
  client = system.worker()
  seen = []
}

/** An edge that waits for nobody: only where nothing else is to be answered. */
async function reopenImpatient(): Promise<void> {
  await system.close()
  await open(150)
}

function answerWith(answer: unknown, config: object = { api_path: 'items/:id', http_method: 'post' }): void {
  client.serve('items', (request: Request) => {
    seen.push(request)
    return answer
  })
  client.bind('t1', 'items', config)
}

async function readAll(ref: ChannelRef): Promise<Buffer> {
  const reader = system.channels.openReader(ref)
  const chunks: Buffer[] = []
  return new Promise((resolve) => {
    const read = (): void => {
      for (let item = reader.next(); item; item = reader.next()) chunks.push(item.data)
      if (reader.drained) resolve(Buffer.concat(chunks))
    }
    reader.onReadable(read)
    read()
  })
}

describe('the request of a trigger', () => {
  it('has the shape of the protocol', async () => {
    answerWith({ status_code: 200 })
    const response = await system.post('/items/a%20b?q=1&q=2&x=y%20z', { any: 'json' }, { headers: { 'X-Own': 'Yes' } })
    expect(response.status).toBe(200)
    expect(seen[0]).toMatchObject({
      path_params: { id: 'a%20b' },
      query_params: { q: '2', x: 'y z' },
      path: 'items/:id',
      method: 'POST',
      body: { any: 'json' },
      trigger: { type: 'http', path: 'items/:id', method: 'POST' },
      request_body: { channel_id: expect.any(String), access_key: expect.any(String), direction: 'read' },
      response: { channel_id: expect.any(String), access_key: expect.any(String), direction: 'write' },
    })
    expect(seen[0]!.headers).toMatchObject({ 'content-type': 'application/json', 'x-own': 'Yes' })
    expect(seen[0]).not.toHaveProperty('_caller_worker_id')
  })

  it('has no body where there is none, none that is JSON, or one that is broken', async () => {
    answerWith({})
    for (const [body, type] of [
      [undefined, undefined],
      ['', 'application/json'],
      ['{', 'application/json'],
      ['text', 'text/plain'],
    ] as const) {
      await system.fetch('/items/1', {
        method: 'POST',
        ...(body === undefined ? {} : { body }),
        headers: type ? { 'content-type': type } : {},
      })
    }
    expect(seen.map((request) => request.body)).toEqual([null, null, null, null])
  })

  it('carries a large body unharmed', async () => {
    answerWith({})
    const body = { text: 'ü"\\'.repeat(3_000), list: [1, 2, 3] }
    await system.post('/items/1', body)
    expect(seen[0]).toMatchObject({ body, path_params: { id: '1' }, method: 'POST' })
  })

  it('streams the bytes of a body that is no JSON, and the raw bytes of one that is', async () => {
    client.serve('upload', async (request: Request) => ({
      body: (await readAll(request.request_body)).toString('base64'),
    }))
    client.bind('t2', 'upload', { api_path: '/upload', http_method: 'POST' })
    const bytes = Buffer.alloc(150_000, 7)
    const response = await system.fetch('/upload', {
      method: 'POST',
      body: bytes,
      headers: { 'content-type': 'image/png' },
    })
    expect(Buffer.from((await response.json()) as string, 'base64').equals(bytes)).toBe(true)
    const json = await system.fetch('/upload', {
      method: 'POST',
      body: '{ "a": 1 }',
      headers: { 'content-type': 'application/json' },
    })
    expect(Buffer.from((await json.json()) as string, 'base64').toString()).toBe('{ "a": 1 }')
  })

  it('has the caller’s own token for the handler, and not ours', async () => {
    answerWith({})
    expect((await system.post('/items/1', {}, { token: 'a-token-of-theirs' })).status).toBe(200)
    await system.post('/items/1', {}, { token: OWNER_TOKEN, headers: { 'x-agentos-realm': 'guest' } })
    const headers = seen.map((request) => request.headers as Record<string, string>)
    expect(headers[0]!.authorization).toBe('Bearer a-token-of-theirs')
    expect(headers[1]).not.toHaveProperty('authorization')
  })
})

describe('the answer of a handler', () => {
  const cases: [string, unknown, { status: number; type: string | null; body: string }][] = [
    [
      'status, headers and a JSON body',
      { status_code: 201, body: { a: 1 } },
      { status: 201, type: 'application/json', body: '{"a":1}' },
    ],
    ['a bare object', { hello: 'world' }, { status: 200, type: 'application/json', body: '{}' }],
    ['a string without a type', { body: 'text' }, { status: 200, type: 'application/json', body: '"text"' }],
    [
      'a string with a type',
      { headers: { 'Content-Type': 'text/html' }, body: '<p>' },
      { status: 200, type: 'text/html', body: '<p>' },
    ],
    [
      'null with a type',
      { headers: { 'content-type': 'text/plain' }, body: null },
      { status: 200, type: 'text/plain', body: '' },
    ],
    [
      'an object with another type',
      { headers: ['Content-Type: text/plain'], body: { a: 1 } },
      { status: 200, type: 'text/plain', body: '{"a":1}' },
    ],
    ['an impossible status', { status_code: 9_999, body: 1 }, { status: 200, type: 'application/json', body: '1' }],
    [
      'headers that are none',
      { headers: { 'bad name': 'x', ok: 'line\nbreak', connection: 'close' }, body: 1 },
      { status: 200, type: 'application/json', body: '1' },
    ],
  ]
  it.each(cases)('is %s', async (_name, answer, expected) => {
    answerWith(answer, { api_path: 'x' })
    const response = await system.fetch('/x')
    expect({
      status: response.status,
      type: response.headers.get('content-type'),
      body: await response.text(),
    }).toEqual(expected)
  })

  it('streams what is written to its channel, with the head that was set before', async () => {
    client.serve('stream', (request: Request) => {
      writeFrames(system.channels, request.response, [
        { type: 'set_status', status_code: 206 },
        { type: 'set_headers', headers: { 'content-type': 'text/event-stream', connection: 'keep-alive', 'x-a': '1' } },
        Buffer.from('one,'),
        { type: 'set_status', status_code: 500 },
        Buffer.from('two'),
      ])
      return undefined
    })
    client.bind('t3', 'stream', { api_path: 'stream' })
    const response = await system.fetch('/stream')
    expect(response.status).toBe(206)
    expect(response.headers.get('content-type')).toBe('text/event-stream')
    expect(response.headers.get('x-a')).toBe('1')
    expect(await response.text()).toBe('one,two')
  })

  it('delivers each chunk when it is written, not at the end', async () => {
    let finish = (): void => {}
    client.serve('slow', (request: Request) => {
      const writer = system.channels.openWriter(request.response)
      writer.write(Buffer.from('first'))
      finish = () => {
        writer.write(Buffer.from('last'))
        writer.end()
      }
      return null
    })
    client.bind('t4', 'slow', { api_path: 'slow' })
    const body = (await system.fetch('/slow')).body!.getReader()
    expect(Buffer.from((await body.read()).value!).toString()).toBe('first')
    finish()
    expect(Buffer.from((await body.read()).value!).toString()).toBe('last')
    expect((await body.read()).done).toBe(true)
  })

  it('has an empty body where the channel closes without bytes', async () => {
    client.serve('empty', (request: Request) => {
      writeFrames(system.channels, request.response, [{ type: 'set_status', status_code: 204 }])
    })
    client.bind('t5', 'empty', { api_path: 'empty' })
    expect((await system.fetch('/empty')).status).toBe(204)
  })

  it('leaves no channel behind', async () => {
    answerWith({})
    await system.post('/items/1', {})
    expect(system.channels.size).toBe(0)
  })

  it.each([
    ['set-cookie', 'theirs=1'],
    ['Clear-Site-Data', '"cookies", "storage"'],
    ['Service-Worker-Allowed', '/'],
    ['Alt-Svc', 'h2="elsewhere:443"'],
    ['Strict-Transport-Security', 'max-age=9'],
    ['WWW-Authenticate', 'Basic realm="the owner token"'],
    ['Proxy-Authenticate', 'Basic realm="the owner token"'],
    ['Speculation-Rules', '"/rules.json"'],
    ['Refresh', '0; url=https://elsewhere.example'],
  ])('does not send %s, which is about all of our origin', async (name, value) => {
    answerWith({ headers: { [name]: value, 'x-theirs': 'yes' }, body: {} })
    const response = await system.post('/items/1', {})
    expect([response.headers.get(name), response.headers.get('x-theirs')]).toEqual([null, 'yes'])
  })

  it('puts a guest’s page into a sandbox, so that it cannot act as the owner who looks at it', async () => {
    answerWith(
      { headers: { 'content-type': 'text/html', 'set-cookie': 'agentos_session=forged' }, body: '<script>' },
      { api_path: 'page' },
    )
    const response = await system.fetch('/page')
    expect(response.headers.get('content-security-policy')).toContain('sandbox')
    expect(response.headers.get('set-cookie')).toBeNull()
  })
})

describe('what goes wrong in a trigger', () => {
  it('is the protocol’s error inside a problem', async () => {
    client.serve('fails', () => {
      throw new Error('boom')
    })
    client.bind('t6', 'fails', { api_path: 'fails' })
    const response = await system.fetch('/fails')
    expect(response.status).toBe(500)
    expect(await response.json()).toMatchObject({
      status: 500,
      code: 'invocation_failed',
      error: { code: 'invocation_failed', message: 'boom', error_id: expect.stringMatching(/^[0-9a-f]{12}$/) },
    })
  })

  it('is 500 for a function that nobody serves', async () => {
    client.bind('t7', 'nobody', { api_path: 'nobody' })
    const response = await system.fetch('/nobody')
    expect(response.status).toBe(500)
    expect(await response.json()).toMatchObject({
      error: { code: 'function_not_found', message: 'Function nobody not found' },
    })
  })

  it('is 504 where a guest’s handler takes longer than a call of a guest may, and the handler hears so', async () => {
    await system.close()
    system = await startEdge({ guestLimits: { call_ms: 50 } })
    client = system.worker()
    client.serve('shop::hang', () => new Promise(() => {}))
    client.bind('hang', 'shop::hang', { api_path: 'hang', http_method: 'GET' })
    const response = await system.fetch('/hang')
    expect([response.status, (await response.json()) as object]).toMatchObject([504, { code: 'deadline_exceeded' }])
    expect(client.cancelled).toHaveLength(1)
  })

  it('is 504 where neither a result nor a byte comes in time', async () => {
    await reopenImpatient()
    answerWith(undefined, { api_path: 'never' })
    expect((await system.fetch('/never')).status).toBe(504)
  })

  it('is 400 for JSON that is nested too deeply, which no handler gets, and for none that is not', async () => {
    answerWith({})
    const send = (levels: number) =>
      system.fetch('/items/1', {
        method: 'POST',
        body: '['.repeat(levels) + ']'.repeat(levels),
        headers: { 'content-type': 'application/json' },
      })
    const refused = await send(513)
    expect(refused.status).toBe(400)
    expect(await refused.json()).toMatchObject({ code: 'invalid_input', detail: 'The body is nested over 512 levels' })
    expect(seen).toEqual([])
    expect((await send(500)).status).toBe(200)
    expect(seen).toHaveLength(1)
  })

  it('is 400 for a number that no double holds, which no handler gets', async () => {
    answerWith({})
    const headers = { 'content-type': 'application/json' }
    const refused = await system.fetch('/items/1', { method: 'POST', body: '{"a":1e400}', headers })
    expect([refused.status, await refused.json()]).toMatchObject([400, { code: 'invalid_input' }])
    expect(seen).toEqual([])
  })

  it('is 413 for a body over the limit, announced or not', async () => {
    answerWith({})
    const announced = await system.fetch('/items/1', {
      method: 'POST',
      body: Buffer.alloc(200_001),
      headers: { 'content-type': 'image/png' },
    })
    expect(announced.status).toBe(413)
    const chunks = async function* () {
      for (let i = 0; i < 5; i += 1) yield Buffer.alloc(60_000)
    }
    const streamed = await system.fetch('/items/1', {
      method: 'POST',
      body: chunks() as never,
      headers: { 'content-type': 'application/json' },
      ...{ duplex: 'half' },
    })
    expect(streamed.status).toBe(413)
    expect(await streamed.json()).toMatchObject({ code: 'payload_too_large' })
    expect(seen).toEqual([])
  })
})

describe('condition and middleware', () => {
  it('skips the handler only for a literal false', async () => {
    let verdict: unknown = false
    client.serve('condition', () => verdict)
    answerWith({ body: 'ran' }, { api_path: 'c', condition_function_id: 'condition' })
    const response = await system.fetch('/c')
    expect(response.status).toBe(422)
    expect(await response.json()).toMatchObject({ error: { code: 'CONDITION_NOT_MET' }, skipped: true })
    verdict = 0
    expect((await system.fetch('/c')).status).toBe(200)
    client.serve('condition', () => {
      throw new Error('broken')
    })
    expect((await system.fetch('/c')).status).toBe(500)
    expect(seen).toHaveLength(1)
  })

  it('runs middleware in order until one responds', async () => {
    const order: string[] = []
    let input: unknown
    client.serve('first', (data) => {
      order.push('first')
      input = data
      return { action: 'continue' }
    })
    client.serve('second', () => {
      order.push('second')
      return { action: 'respond', response: { status_code: 403, body: { no: true }, headers: { 'x-by': 'second' } } }
    })
    client.serve('third', () => order.push('third'))
    answerWith({}, { api_path: 'm/:id', middleware_function_ids: ['first', 'second', 'third'] })
    const response = await system.fetch('/m/1?q=2')
    expect(response.status).toBe(403)
    expect(response.headers.get('x-by')).toBe('second')
    expect(await response.json()).toEqual({ no: true })
    expect(order).toEqual(['first', 'second'])
    expect(input).toEqual({
      phase: 'preHandler',
      request: { path_params: { id: '1' }, query_params: { q: '2' }, headers: expect.any(Object), method: 'GET' },
      context: {},
    })
    expect(seen).toEqual([])
  })

  it('is 504 for middleware that does not answer, 500 for one that fails', async () => {
    await reopenImpatient()
    client.serve('hangs', () => new Promise(() => {}))
    client.serve('fails', () => {
      throw new Error('no')
    })
    answerWith({}, { api_path: 'h', middleware_function_ids: ['hangs'] })
    const late = await system.fetch('/h')
    expect(late.status).toBe(504)
    expect(await late.json()).toMatchObject({ error: { code: 'MIDDLEWARE_TIMEOUT' } })
    client.bind('t8', 'items', { api_path: 'f', middleware_function_ids: ['fails'] })
    expect((await system.fetch('/f')).status).toBe(500)
  })
})

describe('routes that come and go', () => {
  const serve = (worker: FakeWorker, id: string, answer: string) => worker.serve(id, () => ({ body: answer }))

  it('belong to the newest, and a stale removal does not hurt it', async () => {
    const other = system.worker()
    serve(client, 'old', 'old')
    serve(other, 'new', 'new')
    client.bind('t1', 'old', { api_path: 'r' })
    expect(await (await system.fetch('/r')).json()).toBe('old')
    other.bind('t2', 'new', { api_path: '/r' })
    expect(await (await system.fetch('/r')).json()).toBe('new')
    client.unbind('t1')
    expect(await (await system.fetch('/r')).json()).toBe('new')
    other.leave()
    expect((await system.fetch('/r')).status).toBe(404)
  })

  it('prefer a literal to a parameter, also after the literal went', async () => {
    serve(client, 'literal', 'literal')
    serve(client, 'parameter', 'parameter')
    client.bind('t1', 'parameter', { api_path: 'a/:x' })
    client.bind('t2', 'literal', { api_path: 'a/b' })
    expect(await (await system.fetch('/a/b')).json()).toBe('literal')
    client.unbind('t2')
    expect(await (await system.fetch('/a/b')).json()).toBe('parameter')
  })

  it('are refused with a reason: no path, a wildcard, other parameter names, another method than there is', () => {
    client.bind('t1', 'f', {})
    client.bind('t2', 'f', { api_path: 'a/*' })
    client.bind('t3', 'f', { api_path: 'a/:x/:y' })
    client.bind('t4', 'f', { api_path: 'a/:y/:x' })
    client.bind('t5', 'f', { api_path: 'b', http_method: 'BREW' })
    expect(client.refused.map(({ message }) => message)).toEqual([
      expect.stringContaining('api_path'),
      expect.stringContaining('wildcard'),
      expect.stringContaining('conflicts with already-registered route /a/:x/:y'),
      expect.stringContaining('BREW'),
    ])
  })

  it('cannot be taken from an installed worker or the engine, not even for one of its values', async () => {
    await system.close()
    system = await startEdge({
      descriptors: [descriptorOf([{ id: 'notes::get', http: [binding('GET /v1/notes/:id')] }])],
    })
    client = system.worker()
    client.bind('t1', 'f', { api_path: 'v1/notes/:other' })
    client.bind('t2', 'f', { api_path: 'v1/notes/secret' })
    client.bind('t3', 'f', { api_path: '/openapi.json' })
    client.bind('t4', 'f', { api_path: '/' })
    client.bind('t5', 'f', { api_path: '/assets/app.js' })
    expect(client.refused).toHaveLength(5)
    const words = expect.stringContaining('conflicts with already-registered route')
    expect(client.refused.slice(0, 3)).toMatchObject([{ message: words }, { message: words }, { message: words }])
    client.bind('t6', 'f', { api_path: 'v1/notes/secret', http_method: 'POST' })
    client.bind('t7', 'f', { api_path: 'v1/other/:id' })
    expect(client.refused).toHaveLength(5)
  })

  it('may take the paths of probes over from the engine, which has them back when the trigger goes', async () => {
    client.bind('any', 'f', { api_path: '/:any' })
    const owner = system.worker({ principal: { kind: 'owner', id: 'owner' }, realm: 'realm-default' })
    const contexts: object[] = []
    owner.serve('mine', (_data, { context }) => {
      contexts.push(context)
      return { status_code: 200, body: 'mine' }
    })
    for (const path of ['health', 'ready', 'metrics']) {
      owner.bind(path, 'mine', { api_path: `/${path}` })
      expect(await (await system.fetch(`/${path}`, { token: OWNER_TOKEN })).json()).toBe('mine')
      // A probe brings no token, or one that is not ours.
      for (const token of [undefined, 'of another system']) {
        expect(await (await system.fetch(`/${path}`, token === undefined ? {} : { token })).json()).toBe('mine')
        expect(contexts.at(-1)).toMatchObject({ principal: { kind: 'guest' }, realm: 'realm-default' })
      }
      expect((await system.fetch(`/${path}`, { method: 'HEAD' })).status).toBe(200)
    }
    owner.unbind('health')
    expect(await (await system.fetch('/health')).json()).toEqual({ status: 'ok' })
    expect(await (await system.fetch('/v1/engine/ready')).json()).toMatchObject({ status: 'ready' })
    expect(client.refused).toEqual([])
    expect(owner.refused).toEqual([])
    expect(system.warnings).toContain('GET /health is now served by mine')
  })

  it('take no path of a probe over where a guest bound them, who hears who may', async () => {
    client.serve('mine', () => ({ status_code: 200, body: 'mine' }))
    for (const path of ['health', 'ready', 'metrics']) client.bind(path, 'mine', { api_path: `/${path}` })
    expect(client.refused).toHaveLength(3)
    for (const { message } of client.refused) {
      expect(message).toMatch(/conflicts with already-registered route.*only clients with the owner token/)
    }
    expect(await (await system.fetch('/health')).json()).toEqual({ status: 'ok' })
  })

  it('answer probes in the place of the engine where guests are switched off, too', async () => {
    await system.close()
    system = await startEdge({ settings: { guests: false } })
    const owner = system.worker({ principal: { kind: 'owner', id: 'owner' }, realm: 'realm-default' })
    owner.serve('mine', () => ({ status_code: 200, body: 'mine' }))
    owner.bind('health', 'mine', { api_path: '/health' })
    owner.bind('other', 'mine', { api_path: '/other' })
    expect(await (await system.fetch('/health')).json()).toBe('mine')
    expect((await system.fetch('/other')).status).toBe(401)
  })

  it('run with no more authority than whoever bound them, in their realm', async () => {
    let seen: Record<string, unknown> = {}
    client.serve('who', (_data, { context }) => {
      seen = context
      return {}
    })
    client.bind('t1', 'who', { api_path: 'who' })
    await system.fetch('/who', { token: OWNER_TOKEN, headers: { 'x-agentos-realm': 'guest' } })
    expect(seen).toMatchObject({ principal: { kind: 'guest' }, realm: 'realm-guest' })
  })

  it('take metadata for contracts that a client binds itself', async () => {
    client.serve('sum', ({ a, b }: { a: number; b: number }) => ({ sum: a + b }), {
      request_format: { type: 'object', properties: { a: { type: 'number' }, b: { type: 'number' } } },
    })
    client.bind('t1', 'sum', { api_path: '/v1/sum/:a', http_method: 'GET' }, { binding: 'contract', status: 202 })
    const response = await system.fetch('/v1/sum/1?b=2')
    expect(response.status).toBe(202)
    expect(await response.json()).toEqual({ sum: 3 })
  })

  it('follow no branch and no reference of a schema that a client sent along', async () => {
    client.serve('tell', (input: object) => input, {
      request_format: {
        type: 'object',
        properties: {
          plain: { type: 'number' },
          branch: { anyOf: [{ type: 'number' }] },
          reference: { $ref: '#/properties/plain' },
          list: { type: 'array', items: { type: 'number' } },
          values: { enum: [1, 2] },
        },
        allOf: [{ properties: { other: { type: 'number' } } }],
      },
    })
    client.bind('t1', 'tell', { api_path: '/v1/tell', http_method: 'GET' }, { binding: 'contract' })
    const response = await system.fetch('/v1/tell?plain=1&branch=1&reference=1&list=1,2&values=1&other=1')
    const kept = { branch: '1', reference: '1', list: ['1', '2'], values: '1', other: '1' }
    expect(await response.json()).toEqual({ plain: 1, ...kept })
  })
})
