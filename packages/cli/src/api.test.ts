import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { Api } from './api.ts'
import { followRun } from './follow-run.ts'
import { Refusal } from './refusal.ts'

let server: Server

async function serve(
  handle: (request: IncomingMessage, response: ServerResponse) => void,
  token?: string,
): Promise<Api> {
  server = createServer(handle)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return new Api(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`, token)
}

const refused = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    (error) => error as Refusal,
  )

afterEach(() => server.close())

describe('the HTTP API', () => {
  it('is asked as the owner, with what is given', async () => {
    const api = await serve((request, response) => {
      response.end(JSON.stringify({ url: request.url, authorization: request.headers.authorization }))
    }, 'secret')
    expect(await api.get('/v1/traces', { limit: 5, search: undefined })).toEqual({
      url: '/v1/traces?limit=5',
      authorization: 'Bearer secret',
    })
  })

  it('calls a function by its id, in a realm where one is named', async () => {
    const api = await serve(async (request, response) => {
      let body = ''
      for await (const chunk of request) body += chunk
      response.end(JSON.stringify([request.url, request.headers['x-agentos-realm'] ?? null, JSON.parse(body)]))
    })
    const payload = { a: 1 }
    expect(await api.call('a::b', payload)).toEqual(['/v1/functions/call', null, { functionId: 'a::b', payload }])
    expect(await api.within('guest').call('a::b', payload)).toMatchObject(['/v1/functions/call', 'guest', {}])
  })

  it('finds the id of a realm that is given by its slug, once; what is none is sent as it stands', async () => {
    const asked: unknown[] = []
    const realms = ['acme', 'twice', 'twice'].map((slug, n) => ({ id: `realm-${n}`, slug }))
    const api = await serve(({ url, headers }, response) => {
      asked.push([url, headers['x-agentos-realm']])
      response.end(JSON.stringify(realms))
    })
    const acme = api.within('acme')
    await acme.get('/x')
    await acme.get('/y')
    expect(asked).toEqual([
      ['/v1/realms', undefined],
      ['/x', 'realm-0'],
      ['/y', 'realm-0'],
    ])
    for (const name of ['twice', 'nosuch']) {
      await api.within(name).get('/x')
      expect(asked.at(-1)).toEqual(['/x', name])
    }
  })

  it('answers an error with its code, its sentence and what to do', async () => {
    const api = await serve((_request, response) => {
      response.writeHead(503, { 'content-type': 'application/problem+json', 'retry-after': '2' })
      response.end(
        JSON.stringify({ title: 'Worker unavailable', detail: 'memory is not running', code: 'worker_unavailable' }),
      )
    })
    const error = await refused(api.get('/x'))
    expect(error).toBeInstanceOf(Refusal)
    expect(error).toMatchObject({
      code: 'worker_unavailable',
      title: 'Worker unavailable',
      detail: 'memory is not running',
      advice: ['Try again in 2 s.'],
    })
  })

  it('tells of an agent that was made before its first chat failed, there and in the run that it follows', async () => {
    const details = { agentCreated: true }
    const error = { title: 'Rate limited', detail: 'later', code: 'rate_limited', details }
    const run = { status: 'failed', error: { code: 'rate_limited', message: 'later', details } }
    const api = await serve((request, response) => {
      if (request.method === 'GET') return response.end(JSON.stringify(run))
      response.writeHead(429, { 'retry-after': '2' }).end(JSON.stringify(error))
    })
    const told = expect.stringContaining('A new agent was made')
    expect((await refused(api.post('/v1/chat', {})))?.advice).toEqual(['Try again in 2 s.', told])
    const followed = await refused(followRun(api, 'run-1', new AbortController().signal))
    expect(followed?.advice).toEqual(['npm run agentos -- run run-1', told])
  })

  it('names the owner’s token where it was needed', async () => {
    const api = await serve((_request, response) =>
      response.writeHead(403).end('{"title":"Forbidden","detail":"owner only","code":"forbidden"}'),
    )
    expect((await refused(api.post('/x', {})))?.advice.join()).toContain('owner’s token')
  })

  it('tells who has the token, and is refused all the same, what else to do', async () => {
    const api = await serve(
      (_request, response) =>
        response.writeHead(403).end('{"title":"Forbidden","detail":"no","code":"forbidden","next":"Call memory."}'),
      'secret',
    )
    expect((await refused(api.post('/x', {})))?.advice).toEqual(['Call memory.'])
  })

  it('is not found where nothing listens', async () => {
    const api = await serve(() => {})
    await new Promise((resolve) => server.close(resolve))
    expect(await refused(api.get('/x'))).toMatchObject({
      code: 'unreachable',
      detail: expect.stringContaining('ECONNREFUSED'),
    })
  })

  it('streams events as they arrive', async () => {
    const api = await serve((_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.write('event: text\ndata: {"text":"a"}\n\n')
      response.end('event: done\ndata: {}\n\n')
    })
    const events: string[] = []
    for await (const { event } of api.stream('/v1/chat', {})) events.push(event)
    expect(events).toEqual(['text', 'done'])
  })
})
