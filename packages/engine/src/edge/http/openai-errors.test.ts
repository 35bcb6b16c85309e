import { afterEach, describe, expect, it } from 'vitest'
import { binding, descriptorOf, OWNER_TOKEN, rawRequest, startEdge, type TestEdge } from './edge.fixture.ts'

let system: TestEdge
afterEach(() => system.close())

const descriptors = [
  descriptorOf([
    { id: 'notes::completion', http: [binding('POST /v1/chat/completions', { raw: true })] },
    { id: 'notes::models', http: [binding('GET /v1/models')] },
    { id: 'notes::list', http: [binding('GET /v1/notes')] },
  ]),
]

const errorOf = async (response: Response) => ({
  status: response.status,
  type: response.headers.get('content-type'),
  ...((await response.json()) as { error: { message: string; type: string; code: string; param: null } }),
})

describe("on OpenAI's routes the edge says in OpenAI's words", () => {
  it('who may not come in', async () => {
    system = await startEdge({ descriptors, settings: { guests: false } })
    for (const refused of [
      await system.post('/v1/chat/completions', { model: 'm' }),
      await system.fetch('/v1/models', { token: 'wrong' }),
    ]) {
      expect(refused.headers.get('www-authenticate')).toContain('Bearer')
      expect(await errorOf(refused)).toEqual({
        status: 401,
        type: 'application/json',
        error: { message: expect.any(String), type: 'authentication_error', param: null, code: 'invalid_api_key' },
      })
    }
    expect(await errorOf(await system.fetch('/v1/notes'))).toMatchObject({ status: 401, code: 'unauthorized' })
  })

  it('what is not there, and what a path does not take', async () => {
    system = await startEdge({ descriptors })
    const missing = await errorOf(await system.post('/v1/embeddings', { input: 'x' }))
    expect(missing).toMatchObject({ status: 404, error: { type: 'invalid_request_error', code: 'not_found' } })
    expect(missing.error.message).toContain('/v1/embeddings')
    const refused = await system.fetch('/v1/chat/completions')
    expect(refused.headers.get('allow')).toBe('POST')
    expect(await errorOf(refused)).toMatchObject({ status: 405, error: { code: 'method_not_allowed' } })
    expect(await errorOf(await system.fetch('/v1/nothing'))).toMatchObject({ status: 404, code: 'not_found' })
  })

  it('that a body is too long', async () => {
    system = await startEdge({ descriptors, settings: { bodyBytes: 1_000 } })
    const headers = { host: `127.0.0.1:${system.port}`, 'content-type': 'application/json' }
    const path = '/v1/chat/completions'
    for (const framing of [{ 'content-length': '2000' }, { 'transfer-encoding': 'chunked' }]) {
      const body = Buffer.alloc(2_000, 32)
      const answer = await rawRequest(system.port, { method: 'POST', path, headers: { ...headers, ...framing }, body })
      expect(answer.status).toBe(413)
      expect(JSON.parse(answer.body)).toMatchObject({ error: { code: 'payload_too_large' } })
    }
  })

  it('that a body is no JSON, and what is wrong with it', async () => {
    system = await startEdge({ descriptors })
    let called = 0
    system.installed().serve('notes::completion', () => {
      called += 1
    })
    const headers = { 'content-type': 'application/json' }
    for (const body of ['{"model": "x", ', '\u0000', Buffer.from([0x7b, 0xff, 0x7d])]) {
      const refused = await errorOf(await system.fetch('/v1/chat/completions', { method: 'POST', headers, body }))
      expect(refused).toMatchObject({ status: 400, error: { code: 'invalid_input', type: 'invalid_request_error' } })
      expect(refused.error.message).toContain('not valid JSON')
    }
    expect(called).toBe(0)
  })

  it('how a call failed, and whether repeating it may help', async () => {
    system = await startEdge({ descriptors })
    const notes = system.installed()
    const failWith = (code: string) =>
      notes.serve('notes::models', () => {
        throw Object.assign(new Error('It failed'), { code })
      })
    failWith('budget_exceeded')
    const refused = await system.fetch('/v1/models', { token: OWNER_TOKEN })
    expect(refused.headers.get('x-should-retry')).toBe('false')
    expect(await errorOf(refused)).toMatchObject({ status: 402, error: { code: 'budget_exceeded' } })
    failWith('overloaded')
    const busy = await system.fetch('/v1/models', { token: OWNER_TOKEN })
    expect(busy.headers.get('x-should-retry')).toBeNull()
    expect(busy.headers.get('retry-after')).toBe('1')
    expect(await errorOf(busy)).toMatchObject({ status: 503, error: { message: 'It failed', type: 'api_error' } })
  })

  it('but what others bind there keeps the errors of the protocol', async () => {
    system = await startEdge({ descriptors })
    const guest = system.worker()
    guest.serve('my::embeddings', () => {
      throw new Error('mine')
    })
    guest.bind('t1', 'my::embeddings', { api_path: '/v1/embeddings', http_method: 'POST' })
    const answer = await errorOf(await system.post('/v1/embeddings', {}))
    expect(answer).toMatchObject({ status: 500, error: { code: 'invocation_failed', error_id: expect.any(String) } })
  })
})
