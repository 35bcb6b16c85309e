import { connect } from 'node:net'
import { type System, startSystem } from '@agentos/testing'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

let system: System
let host: string
let port: number

beforeAll(async () => {
  system = await startSystem({ workers: ['realm', 'security'] })
  host = new URL(system.httpUrl).host
  port = Number(new URL(system.httpUrl).port)
})
afterAll(() => system?.stop())

interface Problem {
  status: number
  headers: string
  code: string
  type: string
}

/** One request, byte by byte as given; everything that comes back until the other side closes. */
function raw(text: string): Promise<Problem> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(text))
    let answer = ''
    socket.on('data', (part) => {
      answer += part.toString('utf8')
    })
    socket.on('error', () => {})
    socket.on('close', () => {
      const [headers = '', body = ''] = answer.split('\r\n\r\n')
      const problem = body.startsWith('{') ? JSON.parse(body) : {}
      resolve({ status: Number(/^HTTP\/1\.1 (\d+)/.exec(headers)?.[1]), headers: headers.toLowerCase(), ...problem })
    })
  })
}

const request = (line: string, headers: Record<string, string> = {}, body = ''): string => {
  const all = { host, connection: 'close', ...headers }
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`)
  return `${line} HTTP/1.1\r\n${lines.join('')}\r\n${body}`
}
const JSON_TYPE = { 'content-type': 'application/json' }
const BODY = '{"name":"x"}'
const LENGTH = { 'content-length': String(BODY.length) }

describe('a request that is not welcome', () => {
  const cases: [name: string, status: number, code: string | undefined, text: () => string][] = [
    ['another Host', 403, 'forbidden', () => request('GET /v1/realms', { host: 'evil.example' })],
    ['another Host with our port', 403, 'forbidden', () => request('GET /v1/realms', { host: `evil.example:${port}` })],
    ['no Host', 400, undefined, () => 'GET /v1/realms HTTP/1.1\r\nconnection: close\r\n\r\n'],
    ['another Origin', 403, 'forbidden', () => request('GET /v1/realms', { origin: 'https://evil.example' })],
    ['the Origin of a file', 403, 'forbidden', () => request('GET /v1/realms', { origin: 'null' })],
    ['a link of another site', 403, 'forbidden', () => request('GET /v1/realms', { 'sec-fetch-site': 'cross-site' })],
    [
      'a form',
      415,
      'unsupported_media_type',
      () =>
        request(
          'POST /v1/realms',
          { 'content-type': 'application/x-www-form-urlencoded', 'content-length': '6' },
          'name=x',
        ),
    ],
    [
      'a form of parts',
      415,
      'unsupported_media_type',
      () => request('POST /v1/realms', { 'content-type': 'multipart/form-data; boundary=b', ...LENGTH }, BODY),
    ],
    [
      'plain text',
      415,
      'unsupported_media_type',
      () => request('POST /v1/realms', { 'content-type': 'text/plain', ...LENGTH }, BODY),
    ],
    ['no content type', 415, 'unsupported_media_type', () => request('POST /v1/realms', LENGTH, BODY)],
    ['no route', 404, 'not_found', () => request('GET /v1/nothing/here')],
    ['a path that climbs', 404, 'not_found', () => request('GET /../../etc/passwd')],
    ['another method', 405, 'method_not_allowed', () => request('PUT /v1/realms', { ...JSON_TYPE, ...LENGTH }, BODY)],
    ['a wrong token', 401, 'unauthorized', () => request('GET /v1/realms', { authorization: 'Bearer wrong' })],
    [
      'a stale cookie',
      401,
      'unauthorized',
      () => request('GET /v1/realms', { cookie: `agentos_session=${'a'.repeat(64)}` }),
    ],
    ['a realm that a guest names', 403, 'forbidden', () => request('GET /v1/realms', { 'x-agentos-realm': 'realm-x' })],
    [
      'broken JSON',
      400,
      'invalid_input',
      () => request('POST /v1/realms', { ...JSON_TYPE, 'content-length': '1' }, '{'),
    ],
    ['two lengths', 400, undefined, () => request('POST /v1/realms', { ...JSON_TYPE, 'content-length': '1, 2' }, BODY)],
    [
      'a length and chunks',
      400,
      undefined,
      () => request('POST /v1/realms', { ...JSON_TYPE, ...LENGTH, 'transfer-encoding': 'chunked' }, BODY),
    ],
    ['a head without end', 431, undefined, () => request('GET /v1/realms', { 'x-long': 'x'.repeat(100_000) })],
  ]
  it.each(cases)('for %s is %i', async (_name, status, code, text) => {
    const answer = await raw(text())
    expect(answer.status).toBe(status)
    if (code === undefined) return
    expect(answer.code).toBe(code)
    expect(answer.type).toBe(`urn:agentos:error:${code}`)
    expect(answer.headers).toContain('content-type: application/problem+json')
  })

  it('names the methods that the path has', async () => {
    const { headers } = await raw(request('PUT /v1/realms', { ...JSON_TYPE, ...LENGTH }, BODY))
    expect(/^allow: (.*)$/m.exec(headers)?.[1]).toBe('get, post, head')
  })

  it('is refused for its length before its body is there', async () => {
    // The body never comes: who would wait for it would wait for ever.
    const answer = await raw(request('POST /v1/realms', { ...JSON_TYPE, 'content-length': '999999999' }))
    expect([answer.status, answer.code]).toEqual([413, 'payload_too_large'])
  })

  it('is refused while its chunks come, and nothing of it is kept', async () => {
    const chunk = 'x'.repeat(64 * 1024)
    const chunks = `${chunk.length.toString(16)}\r\n${chunk}\r\n`.repeat(80)
    const answer = await raw(request('POST /v1/realms', { ...JSON_TYPE, 'transfer-encoding': 'chunked' }, chunks))
    expect([answer.status, answer.code]).toEqual([413, 'payload_too_large'])
  })
})

describe('a token', () => {
  const whoAmI = async (path: string, headers: Record<string, string> = {}): Promise<string> => {
    const { body } = await system.api<{ principal: { kind: string } }>('GET', path, undefined, { headers })
    return body.principal.kind
  }

  it('in a URL counts for nothing', async () => {
    for (const name of ['token', 'access_token', 'authorization', 'key', 'agentos_session']) {
      expect(await whoAmI(`/v1/auth/me?${name}=${system.ownerToken}`)).toBe('guest')
      expect(await whoAmI(`/v1/auth/me?${name}=Bearer%20${system.ownerToken}`)).toBe('guest')
    }
  })

  it('in a body counts for nothing', async () => {
    const { status } = await system.api('POST', '/v1/auth/code', { token: system.ownerToken })
    expect(status).toBe(403)
  })

  it('makes its holder the owner', async () => {
    expect(await whoAmI('/v1/auth/me', { authorization: `Bearer ${system.ownerToken}` })).toBe('owner')
  })
})

describe('a sender that is slow', () => {
  it('of its head is cut off, while others are served', { timeout: 60_000 }, async () => {
    const slow = Array.from({ length: 200 }, () => raw(`GET /v1/realms HTTP/1.1\r\nhost: ${host}\r\nx-slow: `))
    for (let n = 0; n < 20; n += 1) expect((await system.api('GET', '/health')).status).toBe(200)
    const answers = await Promise.all(slow)
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 408))
  })
})
