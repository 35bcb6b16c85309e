import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { gzipSync } from 'node:zlib'
import { afterEach, describe, expect, it } from 'vitest'
import { Settings } from '../settings.ts'
import { type ExchangeRequest, exchange, type Limits } from './exchange.ts'
import { Guard, type Resolver } from './guard.ts'

const LIMITS: Limits = { bodyBytes: 10_000, timeoutMs: 5_000, redirects: 3 }
const open: Server[] = []

afterEach(() => {
  for (const server of open.splice(0)) {
    server.closeAllConnections()
    server.close()
  }
})

async function serve(listener: RequestListener, host = '127.0.0.1', port = 0): Promise<number> {
  const server = createServer(listener)
  open.push(server)
  await new Promise<void>((resolve) => server.listen(port, host, resolve))
  return (server.address() as AddressInfo).port
}

const local: Resolver = async () => [{ address: '127.0.0.1', family: 4 }]

function ask(ports: number[], request: Partial<ExchangeRequest> & { url: string }, limits = LIMITS, resolve = local) {
  const settings = Settings.parse({ allow_private: ports.map((port) => `127.0.0.1:${port}`) })
  const whole = { method: 'GET', headers: {}, signal: new AbortController().signal, ...request }
  return exchange(new Guard(settings, new Set(), resolve), whole, limits)
}

const failure = (work: Promise<unknown>) =>
  work.then(
    () => 'no failure',
    (error: { code: string; details?: { reason?: string } }) => error.details?.reason ?? error.code,
  )

describe('a request', () => {
  it('goes to the address that was checked, though the name leads elsewhere by now', async () => {
    const hits = { checked: 0, rebound: 0 }
    const port = await serve((_request, response) => {
      hits.checked += 1
      response.end('right')
    })
    await serve(
      (_request, response) => {
        hits.rebound += 1
        response.end('wrong')
      },
      '127.0.0.2',
      port,
    )
    let asked = 0
    const rebinding: Resolver = async () => {
      asked += 1
      return [{ address: asked === 1 ? '127.0.0.1' : '127.0.0.2', family: 4 }]
    }
    const { bytes } = await ask([port], { url: `http://rebind.example:${port}/` }, LIMITS, rebinding)
    expect(bytes.toString()).toBe('right')
    expect({ asked, ...hits }).toEqual({ asked: 1, checked: 1, rebound: 0 })
    // Asked again, the name leads to what is not allowed.
    expect(await failure(ask([port], { url: `http://rebind.example:${port}/` }, LIMITS, rebinding))).toBe(
      'private_address',
    )
    expect(hits).toEqual({ checked: 1, rebound: 0 })
  })

  it('checks every redirect like the first address', async () => {
    let secret = 0
    const inner = await serve((_request, response) => {
      secret += 1
      response.end('secret')
    })
    let location = ''
    const port = await serve((_request, response) => response.writeHead(302, { location }).end())
    const attacks: [string, string][] = [
      [`http://127.0.0.1:${inner}/`, 'private_address'],
      [`//127.0.0.1:${inner}/`, 'private_address'],
      [`http://2130706433:${inner}/`, 'odd_address'],
      [`http://0x7f.1:${inner}/`, 'odd_address'],
      [`//017700000001:${inner}/`, 'odd_address'],
      [`http://[::ffff:127.0.0.1]:${inner}/`, 'private_address'],
      [`http://localhost:${inner}/`, 'private_address'],
      [`http://a:b@127.0.0.1:${port}/`, 'credentials_in_url'],
      ['http://169.254.169.254/latest/meta-data', 'metadata_address'],
      ['file:///etc/passwd', 'scheme'],
      ['gopher://127.0.0.1/', 'scheme'],
      ['http:\\\\127.0.0.1\\', 'malformed_url'],
      [`http:127.0.0.1:${inner}`, 'malformed_url'],
      [`http:///127.0.0.1:${inner}`, 'malformed_url'],
    ]
    for (const [to, reason] of attacks) {
      location = to
      expect([to, await failure(ask([port], { url: `http://127.0.0.1:${port}/` }))]).toEqual([to, reason])
    }
    expect(secret).toBe(0)
  })

  it('follows redirects within their limit, and takes no credentials to another origin', async () => {
    const seen: (string | undefined)[] = []
    const other = await serve((request, response) => {
      seen.push(request.headers.authorization, request.headers['x-api-key'] as string, request.headers.accept)
      response.end('there')
    })
    const port = await serve((request, response) => {
      const location = request.url === '/loop' ? '/loop' : request.url === '/a' ? 'b' : `http://127.0.0.1:${other}/`
      response.writeHead(301, { location }).end()
    })
    const headers = { authorization: 'Bearer x', 'x-api-key': 'y', accept: 'text/plain' }
    const { bytes, redirects, url } = await ask([port, other], { url: `http://127.0.0.1:${port}/a`, headers })
    expect({ text: bytes.toString(), url, hops: redirects.length }).toEqual({
      text: 'there',
      url: `http://127.0.0.1:${other}/`,
      hops: 2,
    })
    expect(seen).toEqual([undefined, undefined, 'text/plain'])
    expect(await failure(ask([port], { url: `http://127.0.0.1:${port}/loop` }))).toBe('upstream_rejected')
  })

  it('with an effect follows no redirect', async () => {
    let hits = 0
    const port = await serve((request, response) => {
      if (request.url === '/there') hits += 1
      response.writeHead(307, { location: '/there' }).end()
    })
    const answer = await ask([port], { url: `http://127.0.0.1:${port}/`, method: 'POST', body: 'pay' })
    expect([answer.status, answer.headers.location, hits]).toEqual([307, '/there', 0])
  })

  it('stops reading at the limit, and does not unpack what would fill the memory', async () => {
    const bomb = gzipSync(Buffer.alloc(200_000_000))
    const page = gzipSync('a readable page')
    let written = 0
    const port = await serve((request, response) => {
      if (request.url === '/bomb') response.writeHead(200, { 'content-encoding': 'gzip' }).end(bomb)
      else if (request.url === '/packed') response.writeHead(200, { 'content-encoding': 'gzip' }).end(page)
      else if (request.url === '/broken') response.writeHead(200, { 'content-encoding': 'gzip' }).end('no gzip')
      else if (request.url === '/twice') response.writeHead(200, { 'content-encoding': 'gzip, gzip' }).end(page)
      else {
        const more = (): void => {
          while (!response.destroyed && response.write('x'.repeat(10_000))) written += 1
          if (!response.destroyed) response.once('drain', more)
        }
        more()
      }
    })
    const get = (path: string) => ask([port], { url: `http://127.0.0.1:${port}${path}` })
    expect((await get('/packed')).bytes.toString()).toBe('a readable page')
    const endless = await get('/endless')
    expect([endless.bytes.length, endless.truncated]).toEqual([LIMITS.bodyBytes, true])
    expect(written).toBeLessThan(10_000)
    expect(await failure(get('/bomb'))).toBe('payload_too_large')
    expect(await failure(get('/broken'))).toBe('upstream_error')
    expect(await failure(get('/twice'))).toBe('unsupported_feature')
  })

  it('ends when its time is over or its caller leaves, in the middle of the body too', async () => {
    const port = await serve((request, response) => {
      if (request.url === '/half') response.write('half')
    })
    const soon = { ...LIMITS, timeoutMs: 150 }
    expect(await failure(ask([port], { url: `http://127.0.0.1:${port}/` }, soon))).toBe('upstream_timeout')
    expect(await failure(ask([port], { url: `http://127.0.0.1:${port}/half` }, soon))).toBe('upstream_timeout')
    const slow: Resolver = () => new Promise(() => {})
    expect(await failure(ask([port], { url: 'http://slow.example/' }, soon, slow))).toBe('upstream_timeout')
    const leaving = AbortSignal.timeout(100)
    expect(await failure(ask([port], { url: `http://127.0.0.1:${port}/`, signal: leaving }))).toBe('cancelled')
  })
})
