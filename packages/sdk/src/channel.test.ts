import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { pipeline } from 'node:stream/promises'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { FakeChannels } from '../test/fake-channels.ts'
import { ChannelReader, ChannelWriter } from './channel.ts'
import { openChannelRefs } from './channel-refs.ts'
import { http, type InternalHttpRequest } from './http.ts'

let engine: FakeChannels

beforeEach(async () => {
  engine = await FakeChannels.listen()
})

afterEach(() => engine.close())

function openPair() {
  const { write, read, channel } = engine.create()
  return { writer: new ChannelWriter(engine.url, write), reader: new ChannelReader(engine.url, read), channel }
}

async function collect(reader: ChannelReader): Promise<string[]> {
  const messages: string[] = []
  for await (const message of reader.messages()) messages.push(message)
  return messages
}

it('carries bytes in frames of at most 64 KiB', async () => {
  const { writer, reader, channel } = openPair()
  const bytes = randomBytes(200_000)
  writer.stream.end(bytes)
  await once(writer.stream, 'finish')
  expect(channel.items.map(({ data }) => data.length)).toEqual([65_536, 65_536, 65_536, 3_392])
  expect((await reader.readAll()).equals(bytes)).toBe(true)
})

it('carries text messages in order to whoever reads first or last', async () => {
  const first = openPair()
  const messages = collect(first.reader)
  for (let index = 0; index < 200; index += 1) void first.writer.send({ index })
  await first.writer.close()
  expect(await messages).toEqual(Array.from({ length: 200 }, (_, index) => JSON.stringify({ index })))

  const last = openPair()
  await last.writer.sendMessage('a')
  await last.writer.close()
  expect(await collect(last.reader)).toEqual(['a'])
})

it('gives messages to a callback and bytes to the stream', async () => {
  const { writer, reader } = openPair()
  const seen: string[] = []
  reader.onMessage((text) => seen.push(text))
  await writer.sendMessage('before')
  writer.stream.write('bytes')
  await writer.sendMessage('after')
  await writer.close()
  expect((await reader.readAll()).toString()).toBe('bytes')
  expect(seen).toEqual(['before', 'after'])
})

it('does not attach an end that is never used', async () => {
  const { writer, reader, channel } = openPair()
  await writer.close()
  reader.close()
  expect(channel.writer).toBeUndefined()
  expect(channel.reader).toBeUndefined()
  await expect(writer.sendMessage('x')).rejects.toMatchObject({ code: 'cancelled' })
})

it('ends a channel to which nothing was written when its stream is ended', async () => {
  const { writer, reader } = openPair()
  writer.stream.end()
  expect(await reader.readAll()).toHaveLength(0)
})

it('tells the writer that the reader is gone', async () => {
  const { writer, reader } = openPair()
  const received = once(
    reader.stream.on('data', () => undefined),
    'data',
  )
  writer.stream.write('x')
  await received
  const closed = once(writer.stream, 'close')
  reader.close()
  await closed
  await expect(writer.sendMessage('late')).rejects.toMatchObject({ code: 'cancelled' })
})

it('slows the writer down to the reader', async () => {
  const { writer, reader, channel } = openPair()
  const chunks = 800
  let written = 0
  const source = async function* () {
    for (; written < chunks; written += 1) yield Buffer.alloc(65_536)
  }
  const writing = pipeline(source, writer.stream)
  // Opens the reader, which then takes no more than its buffer holds.
  await once(reader.stream, 'readable')
  await expect.poll(() => channel.writer?.isPaused, { timeout: 20_000 }).toBe(true)
  expect(written).toBeLessThan(chunks)
  let received = 0
  for await (const chunk of reader.stream) received += (chunk as Buffer).length
  await writing
  expect(received).toBe(chunks * 65_536)
})

it('fails at once on a channel that does not exist, and tries again where the engine is not ready', async () => {
  const unknown = new ChannelReader(engine.url, { channel_id: 'none', access_key: 'key', direction: 'read' })
  await expect(collect(unknown)).rejects.toMatchObject({ code: 'not_found' })
  await expect(new ChannelReader(engine.url, unknown.ref).readAll()).rejects.toMatchObject({ code: 'not_found' })
  engine.failures = 2
  const { writer, reader } = openPair()
  await writer.sendMessage('patient')
  await writer.close()
  expect(await collect(reader)).toEqual(['patient'])
})

it('opens the references inside a payload, wherever they are', () => {
  const { write, read } = engine.create()
  const opened = openChannelRefs({ list: [{ out: write }], in: read, n: 1, s: null }, engine.url)
  expect(opened).toEqual({
    list: [{ out: expect.any(ChannelWriter) }],
    in: expect.any(ChannelReader),
    n: 1,
    s: null,
  })
})

it('lets an http handler stream its reply: status and headers before the first byte', async () => {
  const { write, read } = engine.create()
  const handler = http<{ name: string }>(async (request, response) => {
    response.status(201)
    response.headers({ 'content-type': 'text/plain' })
    response.stream.write(`hello ${request.body.name}`)
    response.close()
    return undefined
  })
  const request = { body: { name: 'Ada' }, response: new ChannelWriter(engine.url, write) }
  expect(await handler(request as InternalHttpRequest<{ name: string }>)).toBeUndefined()
  const reader = new ChannelReader(engine.url, read)
  const control: unknown[] = []
  reader.onMessage((text) => control.push(JSON.parse(text)))
  expect((await reader.readAll()).toString()).toBe('hello Ada')
  expect(control).toEqual([
    { type: 'set_status', status_code: 201 },
    { type: 'set_headers', headers: { 'content-type': 'text/plain' } },
  ])
})
