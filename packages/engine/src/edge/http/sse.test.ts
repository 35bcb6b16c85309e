import { afterEach, beforeEach, expect, it } from 'vitest'
import type { ChannelRef } from '../../core/module.ts'
import {
  binding,
  descriptorOf,
  eventsOf,
  type FakeWorker,
  OWNER_TOKEN,
  startEdge,
  type TestEdge,
  writeFrames,
} from './edge.fixture.ts'

const descriptors = [
  descriptorOf([
    {
      id: 'notes::tell',
      http: [binding('POST /v1/tell', { stream: true }), binding('GET /v1/tell', { stream: true })],
    },
  ]),
]

type Input = { stream?: ChannelRef; [more: string]: unknown }

let system: TestEdge
let notes: FakeWorker

beforeEach(async () => {
  system = await startEdge({
    descriptors,
    settings: { heartbeatMs: 20, abandonedMs: 30, slowReaderMs: 100, streams: 2, concurrency: 2 },
  })
  notes = system.installed()
})
afterEach(() => system.close())

it('writes each frame as an event, then the result', async () => {
  notes.serve('notes::tell', ({ stream, ...input }: Input) => {
    writeFrames(system.channels, stream!, [{ type: 'text', text: 'Hel' }, { type: 'text', text: 'lo' }, { no: 'type' }])
    return { said: 'Hello', input }
  })
  const response = await system.post('/v1/tell', { stream: true, to: 'me' })
  expect(response.headers.get('content-type')).toContain('text/event-stream')
  expect(response.headers.get('x-trace-id')).toMatch(/^[0-9a-f]{32}$/)
  expect(await eventsOf(response)).toEqual([
    { event: 'text', data: { type: 'text', text: 'Hel' } },
    { event: 'text', data: { type: 'text', text: 'lo' } },
    { event: 'message', data: { no: 'type' } },
    { event: 'done', data: { said: 'Hello', input: { to: 'me' } } },
  ])
  expect(system.channels.size).toBe(0)
})

it('passes a frame that is nested too deeply on as text, unread', async () => {
  const deep = `{"type":"text","of":\n${'['.repeat(600)}${']'.repeat(600)}}`
  notes.serve('notes::tell', ({ stream }: Input) => {
    const writer = system.channels.openWriter(stream!)
    writer.write(deep)
    writer.end()
    return 'result'
  })
  expect(await eventsOf(await system.post('/v1/tell', { stream: true }))).toEqual([
    { event: 'message', data: deep },
    { event: 'done', data: 'result' },
  ])
})

it('lets several writers write, in turn, and loses nothing that is late', async () => {
  notes.serve('notes::tell', async ({ stream }: Input) => {
    writeFrames(system.channels, stream!, [{ type: 'a' }])
    writeFrames(system.channels, stream!, [{ type: 'b' }])
    const late = system.channels.openWriter(stream!)
    setTimeout(() => {
      late.write('{"type":"c"}')
      late.end()
    }, 5)
    return 'result'
  })
  const events = await eventsOf(await system.post('/v1/tell', { stream: true }))
  expect(events.map(({ event }) => event)).toEqual(['a', 'b', 'c', 'done'])
})

it('delivers an event before the call has ended', async () => {
  const { promise, resolve } = Promise.withResolvers<string>()
  notes.serve('notes::tell', ({ stream }: Input) => {
    writeFrames(system.channels, stream!, [{ type: 'first' }])
    return promise
  })
  const reader = (await system.post('/v1/tell', { stream: true })).body!.getReader()
  let text = ''
  /** Reads on until the text holds this, or has ended. */
  const readUntil = async (part: string | undefined): Promise<void> => {
    while (part === undefined || !text.includes(part)) {
      const { value, done } = await reader.read()
      if (done) return
      text += Buffer.from(value).toString()
    }
  }
  const first = 'event: first\ndata: {"type":"first"}\n\n'
  await readUntil(': keep-alive\n\n')
  expect(text.slice(0, first.length)).toBe(first)
  expect(text.slice(first.length)).toMatch(/^(: keep-alive\n\n)+$/)
  resolve('end')
  await readUntil(undefined)
  expect(text.endsWith('event: done\ndata: "end"\n\n')).toBe(true)
})

it('answers a failure as a problem before the first event, and as an event after it', async () => {
  const failure = Object.assign(new Error('No'), { code: 'conflict' })
  notes.serve('notes::tell', () => {
    throw failure
  })
  const early = await system.post('/v1/tell', { stream: true })
  expect(early.status).toBe(409)
  expect(await early.json()).toMatchObject({ code: 'conflict' })
  notes.serve('notes::tell', ({ stream }: Input) => {
    writeFrames(system.channels, stream!, [{ type: 'text' }])
    throw failure
  })
  const events = await eventsOf(await system.post('/v1/tell', { stream: true }))
  expect(events[1]).toMatchObject({ event: 'error', data: { code: 'conflict', status: 409, detail: 'No' } })
})

it('answers whole without stream, and takes the wish from the query too', async () => {
  notes.serve('notes::tell', (input: Input) => ({ streams: typeof input.stream }))
  expect(await (await system.post('/v1/tell', { stream: false })).json()).toEqual({ streams: 'undefined' })
  expect(await (await system.fetch('/v1/tell')).json()).toEqual({ streams: 'undefined' })
  expect(await eventsOf(await system.fetch('/v1/tell?stream=true'))).toEqual([
    { event: 'done', data: { streams: 'object' } },
  ])
})

it('cancels the call when its reader goes away, unless it carries an idempotency key', async () => {
  const started: string[] = []
  notes.serve('notes::tell', ({ stream }: Input, { id }) => {
    started.push(id)
    writeFrames(system.channels, stream!, [{ type: 'text' }], false)
    return new Promise(() => {})
  })
  const leave = async (headers: Record<string, string>): Promise<void> => {
    const controller = new AbortController()
    const response = await system.post('/v1/tell', { stream: true }, { headers, signal: controller.signal })
    await response.body!.getReader().read()
    controller.abort()
  }
  await leave({ 'idempotency-key': 'k' })
  await leave({})
  await expect.poll(() => notes.cancelled).toEqual([started[1]])
  await new Promise((resolve) => setTimeout(resolve, 60))
  expect(notes.cancelled).toEqual([started[1]])
})

it('cuts off a reader that takes nothing, cancels its call and holds its writer back meanwhile', async () => {
  let written = 0
  const frame = JSON.stringify({ type: 'text', text: 'x'.repeat(64 * 1024) })
  notes.serve('notes::tell', ({ stream }: Input) => {
    const writer = system.channels.openWriter(stream!)
    const write = (): void => {
      while (written < 10_000 && !writer.aborted) {
        written += 1
        if (!writer.write(frame)) {
          writer.onDrain(() => setImmediate(write))
          return
        }
      }
    }
    write()
    return new Promise(() => {})
  })
  const { Socket } = await import('node:net')
  const socket = new Socket().connect(system.port, '127.0.0.1')
  socket.pause()
  const body = '{"stream":true}'
  socket.write(
    `POST /v1/tell HTTP/1.1\r\nhost: 127.0.0.1:${system.port}\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
  )
  await expect.poll(() => notes.cancelled.length, { timeout: 20_000 }).toBe(1)
  expect(written).toBeLessThan(1_000)
  socket.destroy()
})

it('bounds the streams, and a stream takes no place of a request', async () => {
  notes.serve('notes::tell', ({ stream }: Input) => {
    if (stream) writeFrames(system.channels, stream, [{ type: 'text' }], false)
    return stream ? new Promise(() => {}) : 'ok'
  })
  const controller = new AbortController()
  for (let i = 0; i < 2; i += 1)
    await system.post('/v1/tell', { stream: true }, { signal: controller.signal, token: OWNER_TOKEN })
  const third = await system.post('/v1/tell', { stream: true }, { token: OWNER_TOKEN })
  expect(third.status).toBe(503)
  expect(third.headers.get('retry-after')).toBe('1')
  expect((await system.post('/v1/tell', {}, { token: OWNER_TOKEN })).status).toBe(200)
  controller.abort()
})
