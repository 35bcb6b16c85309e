import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { MemoryDisk } from '../../store/memory-store.ts'
import {
  binding,
  descriptorOf,
  OWNER_TOKEN,
  rawRequest,
  startEdge,
  type TestEdge,
  WORKER_TOKEN,
} from './edge.fixture.ts'

let system: TestEdge

const me = async (
  init: RequestInit & { token?: string } = {},
): Promise<{ status: number; body: Record<string, unknown> }> => {
  const response = await system.fetch('/v1/auth/me', init)
  return { status: response.status, body: (await response.json()) as Record<string, unknown> }
}

beforeEach(async () => {
  system = await startEdge()
})
afterEach(() => system.close())

describe('who is calling', () => {
  it('is a guest without a token, the owner or a worker with theirs', async () => {
    expect(await me()).toMatchObject({ body: { principal: { kind: 'guest' }, realm: 'realm-guest', guests: true } })
    expect(await me({ token: OWNER_TOKEN })).toMatchObject({ body: { principal: { kind: 'owner' } } })
    expect(await me({ token: WORKER_TOKEN })).toMatchObject({ body: { principal: { kind: 'system', id: 'notes' } } })
  })

  it('is refused with a wrong token, never a guest; who says guest is one', async () => {
    for (const authorization of ['Bearer wrong', 'Bearer', 'Basic abc', '']) {
      const { status, body } = await me({ headers: { authorization } })
      expect([authorization, status, body.code]).toEqual([authorization, 401, 'unauthorized'])
    }
    expect(await me({ token: 'guest' })).toMatchObject({ status: 200, body: { principal: { kind: 'guest' } } })
    const response = await system.fetch('/v1/auth/me?token=the-owner-token')
    expect(await response.json()).toMatchObject({ principal: { kind: 'guest' } })
  })

  it('names a realm only as the owner', async () => {
    const headers = { 'x-agentos-realm': 'realm-other' }
    expect(await me({ headers })).toMatchObject({ status: 403, body: { code: 'forbidden' } })
    expect(await me({ headers, token: OWNER_TOKEN })).toMatchObject({ body: { realm: 'realm-other' } })
    for (const name of ['default', 'guest']) {
      expect(await me({ headers: { 'x-agentos-realm': name }, token: OWNER_TOKEN })).toMatchObject({
        body: { realm: `realm-${name}` },
      })
    }
    expect(await me({ headers: { 'x-agentos-realm': '../x' }, token: OWNER_TOKEN })).toMatchObject({ status: 400 })
  })

  it('needs a token where guests are switched off', async () => {
    await system.close()
    system = await startEdge({ settings: { guests: false } })
    const refused = await system.fetch('/v1/auth/me')
    expect(refused.status).toBe(401)
    expect(await refused.json()).toMatchObject({ detail: expect.stringContaining('`guests: false` under `agentos:`') })
    expect(refused.headers.get('www-authenticate')).toContain('Bearer')
    expect(await me({ token: 'guest' })).toMatchObject({ status: 401 })
    expect(await me({ token: OWNER_TOKEN })).toMatchObject({ body: { guests: false } })
    expect((await system.fetch('/health')).status).toBe(200)
  })

  it('is judged by the installed worker of a webhook alone, where guests are switched off, too', async () => {
    await system.close()
    const http = [binding('POST /webhook/notes', { raw: true })]
    system = await startEdge({
      settings: { guests: false },
      descriptors: [
        descriptorOf([
          { id: 'notes::hear', http },
          { id: 'notes::get', http: [binding('GET /v1/notes')] },
        ]),
      ],
    })
    const seen: object[] = []
    const worker = system.installed()
    worker.serve('notes::hear', (_data, { context }) => {
      seen.push(context)
      return { status_code: 202, body: 'judged' }
    })
    const owner = system.worker({ principal: { kind: 'owner', id: 'owner' }, realm: 'realm-default' })
    owner.serve('shop::hear', () => ({ status_code: 200, body: 'not judged' }))
    owner.bind('theirs', 'shop::hear', { api_path: '/webhook/shop', http_method: 'POST' })
    for (const token of [undefined, 'of another system', 'guest']) {
      expect((await system.post('/webhook/notes', {}, token === undefined ? {} : { token })).status).toBe(202)
    }
    expect(seen).toHaveLength(3)
    for (const context of seen) expect(context).toMatchObject({ principal: { kind: 'guest' }, realm: 'realm-guest' })
    expect((await system.post('/webhook/shop', {})).status).toBe(401)
    expect((await system.fetch('/v1/notes')).status).toBe(401)
  })

  it('shares one quota with all guests; the owner has none', async () => {
    await system.close()
    system = await startEdge({ settings: { guestRequestsPerMinute: 1 } })
    const statuses: number[] = []
    for (let i = 0; i < 2; i += 1) statuses.push((await me()).status)
    expect(statuses).toEqual([200, 429])
    const limited = await system.fetch('/v1/auth/me')
    expect(Number(limited.headers.get('retry-after'))).toBeGreaterThan(0)
    expect((await me({ token: OWNER_TOKEN })).status).toBe(200)
  })
})

describe('the session of a browser', () => {
  const newCode = async (): Promise<{ code: string; url: string; expiresAt: number }> =>
    (await system.post('/v1/auth/code', {}, { token: OWNER_TOKEN })).json() as never
  const logIn = async (code: string): Promise<Response> => system.post('/v1/auth/session', { code })
  const cookieOf = (response: Response): string => response.headers.get('set-cookie')!.split(';')[0]!

  it('begins with a one-time code that only the owner gets', async () => {
    expect((await system.post('/v1/auth/code', {})).status).toBe(403)
    const { code, url, expiresAt } = await newCode()
    expect(code).toMatch(/^[2-9A-HJ-NP-Z]{4}-[2-9A-HJ-NP-Z]{4}-[2-9A-HJ-NP-Z]{4}$/)
    expect(url).toBe(`${system.url}/#code=${code}`)
    expect(expiresAt - Date.now()).toBeGreaterThan(4 * 60_000)
    const response = await logIn(` ${code.toLowerCase().replaceAll('-', ' ')}`)
    expect(response.status).toBe(200)
    const set = response.headers.get('set-cookie')!
    expect(set).toMatch(/^agentos_session=[0-9a-f]{64}; Path=\/; HttpOnly; SameSite=Strict; Max-Age=\d+$/)
    expect(await me({ headers: { cookie: `a=b; ${cookieOf(response)}` } })).toMatchObject({
      body: { principal: { kind: 'owner' } },
    })
  })

  it('takes a code once, and no other', async () => {
    const { code } = await newCode()
    expect((await logIn(code)).status).toBe(200)
    expect((await logIn(code)).status).toBe(401)
    expect((await logIn('AAAA-AAAA-AAAA')).status).toBe(401)
    expect((await system.post('/v1/auth/session', {})).status).toBe(400)
  })

  it('stops counting guesses after ten wrong ones in a minute, but still takes the right one', async () => {
    const { code } = await newCode()
    const statuses = []
    for (let i = 0; i < 11; i += 1) statuses.push((await logIn(`WRONG-${i}`)).status)
    expect(statuses.slice(9)).toEqual([401, 429])
    expect((await logIn(code)).status).toBe(200)
  })

  it('survives a restart, and is kept as a hash only', async () => {
    await system.close()
    const disk = new MemoryDisk()
    system = await startEdge({ disk })
    const cookie = cookieOf(await logIn((await newCode()).code))
    await system.close()
    system = await startEdge({ disk })
    expect(await me({ headers: { cookie } })).toMatchObject({ body: { principal: { kind: 'owner' } } })
    const kept = JSON.stringify([...disk.partitions].map(([name, rows]) => [name, [...rows]]))
    expect(kept).toContain('session/')
    expect(kept).not.toContain(cookie.slice('agentos_session='.length))
  })

  it('ends with a logout; a stale cookie is refused and taken away', async () => {
    const cookie = cookieOf(await logIn((await newCode()).code))
    const out = await system.fetch('/v1/auth/session', { method: 'DELETE', headers: { cookie } })
    expect(out.status).toBe(204)
    const stale = await system.fetch('/v1/auth/me', { headers: { cookie } })
    expect(stale.status).toBe(401)
    expect(stale.headers.get('set-cookie')).toContain('Max-Age=0')
  })

  it('stands among cookies of its name that others have put before it, and ends with all of them', async () => {
    const mine = cookieOf(await logIn((await newCode()).code))
    const tossed = `agentos_session=evil; agentos_session=${'0'.repeat(64)}; ${mine}; agentos_session=${'1'.repeat(64)}`
    expect(await me({ headers: { cookie: tossed } })).toMatchObject({ body: { principal: { kind: 'owner' } } })
    await system.fetch('/v1/auth/session', { method: 'DELETE', headers: { cookie: tossed } })
    expect((await system.fetch('/v1/auth/me', { headers: { cookie: mine } })).status).toBe(401)
  })

  it('neither begins nor ends while the disk refuses, and the code and the logout are good when it does not', async () => {
    await system.close()
    const disk = new MemoryDisk()
    system = await startEdge({ disk })
    const { code } = await newCode()
    disk.refusal = 'EIO'
    expect((await logIn(code)).status).toBe(503)
    disk.refusal = undefined
    const cookie = cookieOf(await logIn(code))
    const logOut = () => system.fetch('/v1/auth/session', { method: 'DELETE', headers: { cookie } })
    disk.refusal = 'EIO'
    expect((await logOut()).status, 'it is not said to be over while it is not').toBe(503)
    disk.refusal = undefined
    expect((await logOut()).status).toBe(204)
    expect((await system.fetch('/v1/auth/me', { headers: { cookie } })).status).toBe(401)
  })

  it('is not shown to handlers, whose own cookies are', async () => {
    const cookie = cookieOf(await logIn((await newCode()).code))
    const client = system.worker({ principal: { kind: 'owner', id: 'owner' }, realm: 'realm-default' })
    let headers: Record<string, string> = {}
    client.serve('f', (request: { headers: Record<string, string> }) => {
      headers = request.headers
      return {}
    })
    client.bind('t1', 'f', { api_path: 'f' })
    expect((await system.fetch('/f', { headers: { cookie: `${cookie}; theirs=1` } })).status).toBe(200)
    expect(headers.cookie).toBe('theirs=1')
  })
})

describe('pages of other origins and other names', () => {
  const ask = (headers: Record<string, string>, path = '/v1/auth/me', method = 'GET') =>
    rawRequest(system.port, { path, method, headers: { host: `127.0.0.1:${system.port}`, ...headers } })

  it('are heard under loopback’s names with our port only', async () => {
    for (const host of [
      `127.0.0.1:${system.port}`,
      `localhost:${system.port}`,
      `[::1]:${system.port}`,
      `LOCALHOST:${system.port}`,
    ]) {
      expect((await ask({ host })).status).toBe(200)
    }
    for (const host of [
      'evil.example',
      `evil.example:${system.port}`,
      '127.0.0.1',
      '127.0.0.1:1',
      `localhost.evil.example:${system.port}`,
    ]) {
      const answer = await ask({ host }, '/health')
      expect(answer.status).toBe(403)
      expect(JSON.parse(answer.body)).toMatchObject({
        code: 'forbidden',
        detail: expect.stringContaining('allowed_hosts'),
      })
    }
  })

  it('are refused by their origin, and told so', async () => {
    for (const origin of [
      'http://evil.example',
      'null',
      'http://127.0.0.1:1',
      `http://localhost.evil.example:${system.port}`,
    ]) {
      expect((await ask({ origin }, '/health')).status).toBe(403)
      const preflight = await ask({ origin, 'access-control-request-method': 'POST' }, '/v1/functions/call', 'OPTIONS')
      expect(preflight.status).toBe(403)
      expect(preflight.headers['access-control-allow-origin']).toBeUndefined()
    }
    expect((await ask({ origin: `http://localhost:${system.port}` })).status).toBe(200)
  })

  it('cannot reach us without an origin either, but for links to what is open', async () => {
    expect((await ask({ 'sec-fetch-site': 'cross-site' })).status).toBe(403)
    expect((await ask({ 'sec-fetch-site': 'same-site' })).status).toBe(403)
    expect((await ask({ 'sec-fetch-site': 'same-origin' })).status).toBe(200)
    expect((await ask({ 'sec-fetch-site': 'cross-site' }, '/')).status).toBe(200)
  })

  it('are welcome where config.yaml names them', async () => {
    await system.close()
    system = await startEdge({
      settings: { allowedHosts: ['agentos.example'], allowedOrigins: ['http://localhost:5173'] },
    })
    expect((await ask({ host: 'agentos.example' })).status).toBe(200)
    const preflight = await ask(
      {
        origin: 'http://localhost:5173',
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'content-type',
      },
      '/v1/functions/call',
      'OPTIONS',
    )
    expect(preflight).toMatchObject({
      status: 204,
      headers: {
        'access-control-allow-origin': 'http://localhost:5173',
        'access-control-allow-methods': 'POST',
        'access-control-allow-headers': 'content-type',
      },
    })
  })

  it('lets pages of other origins use the methods that the owner names, of those that a path takes', async () => {
    system = await startEdge({
      settings: { allowedOrigins: ['http://localhost:5173'], crossOriginMethods: ['GET'] },
    })
    const preflight = await ask(
      { origin: 'http://localhost:5173', 'access-control-request-method': 'POST' },
      '/v1/functions/call',
      'OPTIONS',
    )
    expect(preflight).toMatchObject({ status: 204, headers: { 'access-control-allow-methods': '' } })
  })
})

it('does not listen for other machines while guests are let in', async () => {
  await expect(startEdge({ settings: { addresses: ['0.0.0.0'] } })).rejects.toThrow('guests: false')
})
