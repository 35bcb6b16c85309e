import { connect } from 'node:net'
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { binding, descriptorOf, startEdge, type TestEdge } from './edge.fixture.ts'

const LIMIT = 10_000
const descriptors = [
  descriptorOf([{ id: 'notes::add', http: [binding('POST /v1/notes')], request_format: { type: 'object' } }]),
]
let system: TestEdge

beforeEach(async () => {
  system = await startEdge({ descriptors, settings: { bodyBytes: LIMIT } })
  system.installed().serve('notes::add', (input) => input)
  const worker = system.worker()
  worker.serve('hook', ({ body, headers }) => ({ status_code: 200, body: { body, headers } }))
  worker.bind('t', 'hook', { api_path: '/hook', http_method: 'POST' })
})
afterEach(() => system.close())

const send = async (path: string, encoding: string, body: Buffer | string) => {
  const headers = { 'content-type': 'application/json', 'content-encoding': encoding }
  const response = await system.fetch(path, { method: 'POST', headers, body: new Uint8Array(Buffer.from(body)) })
  const json = (await response.json()) as Record<string, unknown>
  return { status: response.status, json, accepts: response.headers.get('accept-encoding') }
}
const note = JSON.stringify({ text: 'grüße '.repeat(1_000) })

describe('a packed body', () => {
  it.each([
    ['gzip', gzipSync(note)],
    ['X-GZIP', gzipSync(note)],
    ['deflate', deflateSync(note)],
    ['br', brotliCompressSync(note)],
    ['identity', Buffer.from(note)],
  ])('in %s is read, by routes of contracts and of triggers', async (encoding, body) => {
    expect(await send('/v1/notes', encoding, body)).toMatchObject({ status: 200, json: JSON.parse(note) })
    const { json } = await send('/hook', encoding, body)
    expect(json.body).toEqual(JSON.parse(note))
  })

  it('is plain for the handler, and its headers say so', async () => {
    const { json } = await send('/hook', 'gzip', gzipSync(note))
    expect(json.headers).not.toHaveProperty('content-encoding')
    expect(json.headers).not.toHaveProperty('content-length')
  })

  it.each(['zstd', 'compress', 'gzip, gzip', 'nonsense'])('in %s is refused by its name', async (encoding) => {
    for (const path of ['/v1/notes', '/hook']) {
      const { status, json, accepts } = await send(path, encoding, gzipSync(note))
      expect([status, json.code]).toEqual([415, 'unsupported_media_type'])
      expect(json.detail).toContain(encoding)
      expect(accepts).toBe('gzip, deflate, br')
    }
  })

  it('is held to the limit after it is unpacked, too', async () => {
    const bomb = gzipSync(Buffer.alloc(50_000_000, 32))
    const long = gzipSync(JSON.stringify({ text: 'x'.repeat(LIMIT) }))
    for (const path of ['/v1/notes', '/hook']) {
      expect(await send(path, 'gzip', long)).toMatchObject({ status: 413, json: { code: 'payload_too_large' } })
      // What comes in is over the limit itself here.
      expect(await send(path, 'gzip', bomb)).toMatchObject({ status: 413, json: { code: 'payload_too_large' } })
    }
    expect(await send('/v1/notes', 'gzip', gzipSync(note))).toMatchObject({ status: 200 })
  })

  it('whose client leaves in the middle leaves nothing behind', async () => {
    const body = gzipSync(note)
    const head = `POST /v1/notes HTTP/1.1\r\nhost: 127.0.0.1:${system.port}\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\ncontent-length: ${body.length}\r\n\r\n`
    const socket = connect(system.port, '127.0.0.1')
    socket.write(head)
    await new Promise((sent) => socket.write(body.subarray(0, 20), sent))
    socket.destroy()
    await expect.poll(() => system.spans.find(({ kind }) => kind === 'http')).toMatchObject({ status: 'error' })
    expect(await send('/v1/notes', 'gzip', body)).toMatchObject({ status: 200 })
  })

  it('that is not packed as it says is refused', async () => {
    for (const path of ['/v1/notes', '/hook']) {
      for (const body of [Buffer.from(note), gzipSync(note).subarray(0, 40)]) {
        expect(await send(path, 'gzip', body)).toMatchObject({ status: 400, json: { code: 'invalid_input' } })
      }
    }
  })
})
