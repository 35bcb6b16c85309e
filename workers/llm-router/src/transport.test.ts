import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Provider } from './catalogue.ts'
import { Settings } from './settings.ts'
import { Transport } from './transport.ts'

describe('the proxy of the environment', () => {
  let proxy: Server
  let own: Server
  let proxied: string[]
  const listen = (server: Server) =>
    new Promise<number>((resolve) =>
      server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port)),
    )

  beforeEach(() => {
    proxied = []
    proxy = createServer()
    proxy.on('request', (request, response) => {
      proxied.push(request.url ?? '')
      response.end('{"data":[]}')
    })
    proxy.on('connect', (request, socket) => {
      proxied.push(request.url ?? '')
      socket.end('HTTP/1.1 502 Bad Gateway\r\n\r\n')
    })
    own = createServer((_, response) => response.end('{"data":[]}'))
  })
  afterEach(() => {
    vi.unstubAllEnvs()
    proxy.close()
    own.close()
  })

  it('is used for providers outside and never for addresses on this host', async () => {
    const address = `http://127.0.0.1:${await listen(proxy)}`
    for (const name of ['HTTP_PROXY', 'HTTPS_PROXY', 'http_proxy', 'https_proxy']) vi.stubEnv(name, address)
    for (const name of ['NO_PROXY', 'no_proxy']) vi.stubEnv(name, '')
    const transport = new Transport()
    const { timeouts } = Settings.parse({})
    const get = (baseUrl: string) => {
      const provider = { baseUrl } as Provider
      const signal = new AbortController().signal
      return transport.send({ provider, method: 'GET', path: '/models', headers: {}, signal, timeouts })
    }
    await transport.text(await get(`http://127.0.0.1:${await listen(own)}/v1`))
    expect(proxied).toEqual([])
    await get('https://api.provider.invalid/v1').catch(() => {})
    expect(proxied).toEqual(['api.provider.invalid:443'])
    await transport.close()
  })
})
