import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import type { Grant } from '../../core/connection.ts'
import { binding, descriptorOf, OWNER_TOKEN, startEdge, type TestEdge } from './edge.fixture.ts'

const ownerIn = (realm: string): Grant => ({ principal: { kind: 'owner', id: 'owner' }, realm })

let system: TestEdge
beforeEach(async () => {
  system = await startEdge({ descriptors: [descriptorOf([{ id: 'notes::get', http: [binding('GET /v1/notes')] }])] })
  for (const realm of ['realm-1', 'realm-2']) {
    const worker = system.worker(ownerIn(realm))
    worker.serve('shop::price', () => ({ status_code: 200, body: { from: realm } }))
    worker.bind('price', 'shop::price', { api_path: '/price', http_method: 'GET' })
  }
})
afterEach(() => system.close())

const inRealm = (realm: string, path: string, init: RequestInit = {}) =>
  system.fetch(path, { ...init, token: OWNER_TOKEN, headers: { 'x-agentos-realm': realm } })

it('is told by /v1/auth/me of no realm that does not exist', async () => {
  expect((await inRealm('acme', '/v1/auth/me')).status).toBe(200)
  await system.close()
  system = await startEdge({ descriptors: [{ ...descriptorOf([]), realmRegistry: 'realms' }] })
  const refused = await inRealm('acme', '/v1/auth/me')
  expect([refused.status, await refused.json()]).toMatchObject([404, { code: 'not_found' }])
  expect((await inRealm('guest', '/v1/auth/me')).status).toBe(200)
})

describe('a route that no manifest declares', () => {
  it('is reached from the realm of whoever bound it, where another realm has the same path', async () => {
    for (const realm of ['realm-1', 'realm-2']) {
      expect(await (await inRealm(realm, '/price')).json()).toEqual({ from: realm })
      expect((await inRealm(realm, '/price', { method: 'HEAD' })).status).toBe(200)
    }
  })

  it('is answered from another realm as one that is not there, whatever the method', async () => {
    const told = async (path: string, method: string) => {
      const response = await inRealm('realm-3', path, { method })
      const { trace_id: _its, ...body } = (await response.json()) as { trace_id: string; detail: string }
      return { status: response.status, allow: response.headers.get('allow'), body: JSON.stringify(body) }
    }
    for (const method of ['GET', 'POST', 'DELETE']) {
      const foreign = await told('/price', method)
      expect({ ...foreign, body: foreign.body.replaceAll('/price', '/prize') }).toEqual(await told('/prize', method))
      expect(foreign.status).toBe(404)
    }
  })

  it('stands in the document of its realm alone', async () => {
    const paths = async (realm: string) => {
      const { paths } = (await (await inRealm(realm, '/openapi.json')).json()) as { paths: object }
      return Object.keys(paths)
    }
    expect(await paths('realm-1')).toEqual(expect.arrayContaining(['/price', '/v1/notes']))
    expect(await paths('realm-3')).toContain('/v1/notes')
    expect(await paths('realm-3')).not.toContain('/price')
  })

  it('takes nothing from what a manifest declares, in any realm', async () => {
    const worker = system.worker(ownerIn('realm-3'))
    worker.bind('notes', 'shop::price', { api_path: '/v1/notes', http_method: 'GET' })
    expect(worker.refused).toMatchObject([{ message: expect.stringContaining('which notes serves') }])
  })

  it('is not taken over by somebody of less authority in its realm', async () => {
    const guest = system.worker({ principal: { kind: 'guest', id: 'guest' }, realm: 'realm-1' })
    guest.serve('shop::forged', () => ({ status_code: 200, body: { from: 'a guest' } }))
    guest.bind('forged', 'shop::forged', { api_path: '/price', http_method: 'GET' })
    expect(guest.refused).toMatchObject([{ message: expect.stringContaining('more authority') }])
    expect(await (await inRealm('realm-1', '/price')).json()).toEqual({ from: 'realm-1' })
  })

  it('takes a path over from the engine for the callers of its realm alone', async () => {
    const worker = system.worker(ownerIn('realm-1'))
    worker.serve('shop::health', () => ({ status_code: 200, body: { status: 'mine' } }))
    worker.bind('health', 'shop::health', { api_path: '/health', http_method: 'GET' })
    expect(await (await inRealm('realm-1', '/health')).json()).toEqual({ status: 'mine' })
    for (const response of [await inRealm('realm-2', '/health'), await system.fetch('/health')]) {
      expect(await response.json()).toEqual({ status: 'ok' })
    }
    expect(await (await system.fetch('/health', { token: 'wrong' })).json()).toEqual({ status: 'ok' })
  })

  it('is gone with its connection, and the other realm’s stays', async () => {
    const worker = system.worker(ownerIn('realm-1'))
    worker.serve('shop::later', () => ({ status_code: 200, body: 'here' }))
    worker.bind('later', 'shop::later', { api_path: '/later', http_method: 'GET' })
    expect((await inRealm('realm-1', '/later')).status).toBe(200)
    worker.leave()
    expect((await inRealm('realm-1', '/later')).status).toBe(404)
    expect((await inRealm('realm-1', '/price')).status).toBe(200)
  })

  it('answers nothing in place of the page or of what the installation serves, not even to callers of its realm', async () => {
    const consoleDir = await mkdtemp(join(tmpdir(), 'agentos-page-'))
    await mkdir(join(consoleDir, 'assets'))
    for (const name of ['index.html', 'favicon.svg', 'assets/main.js']) await writeFile(join(consoleDir, name), 'ours')
    const descriptors = [descriptorOf([{ id: 'notes::get', http: [binding('GET /v1/notes')] }])]
    const served = await startEdge({ consoleDir, descriptors })
    onTestFinished(async () => {
      await served.close()
      await rm(consoleDir, { recursive: true })
    })
    served.installed().serve('notes::get', () => 'ours')
    const guest = served.worker()
    guest.serve('shop::steal', () => ({ status_code: 200, body: 'theirs' }))
    for (const [index, api_path] of ['/:page', '/:folder/:file', '/api/notes', '/api/:x', '/:a/auth/:b'].entries()) {
      guest.bind(`t${index}`, 'shop::steal', { api_path, http_method: 'GET' })
    }
    guest.bind('own', 'shop::steal', { api_path: '/api/auth/me', http_method: 'GET' })
    guest.bind('page', 'shop::steal', { api_path: '/favicon.svg', http_method: 'GET' })
    // Where nobody else answers it stands, for guests alone.
    expect(await (await served.fetch('/elsewhere')).json()).toBe('theirs')
    expect((await served.fetch('/elsewhere', { token: OWNER_TOKEN })).status).toBe(404)
    for (const path of [
      '/',
      '/index.html',
      '/favicon.svg',
      '/assets/main.js',
      '/v1/notes',
      '/api/notes',
      '/api/auth/me',
    ]) {
      expect([path, await (await served.fetch(path)).text()]).not.toEqual([path, expect.stringContaining('theirs')])
    }
    expect((await served.fetch('/assets/gone.js')).status).toBe(404)
    expect(guest.refused.map(({ message }) => message)).toEqual([
      expect.stringContaining('which notes serves'),
      expect.stringContaining('belongs to the engine'),
      expect.stringContaining('belongs to the engine'),
    ])
  })
})
