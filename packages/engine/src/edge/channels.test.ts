import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { WebSocket, WebSocketServer } from 'ws'
import { GuestShare } from '../core/guest-share.ts'
import type { ChannelRef } from '../core/module.ts'
import type { Timer } from '../core/ports.ts'
import { systemIds } from '../system-ports.ts'
import { ChannelTable } from './channels.ts'

/** Time that only a test moves. */
class ManualTime {
  private at = 0
  private readonly waiting = new Set<Timer & { run: () => void }>()
  readonly clock = { now: () => this.at, precise: () => this.at, monotonic: () => this.at }
  readonly timers = {
    set: (delayMs: number, run: () => void): Timer => {
      const timer = { due: this.at + delayMs, run }
      this.waiting.add(timer)
      return timer
    },
    clear: (timer: Timer): void => void this.waiting.delete(timer as Timer & { run: () => void }),
  }

  pass(ms: number): void {
    const until = this.at + ms
    for (;;) {
      const next = [...this.waiting].filter((timer) => timer.due <= until).sort((a, b) => a.due - b.due)[0]
      if (!next) break
      this.waiting.delete(next)
      this.at = next.due
      next.run()
    }
    this.at = until
  }
}

let time: ManualTime
let table: ChannelTable
let server: Server
let base: string

beforeEach(async () => {
  time = new ManualTime()
  table = new ChannelTable(
    { clock: time.clock, timers: time.timers, ids: systemIds },
    new GuestShare({ channels: 2 }),
    {
      limit: 3,
    },
  )
  const sockets = new WebSocketServer({ noServer: true })
  server = createServer()
  server.on('upgrade', (request, socket, head) => {
    const url = new URL(request.url!, 'ws://x')
    const id = url.pathname.slice(1)
    const key = url.searchParams.get('key')
    const dir = url.searchParams.get('dir')
    const status = table.check(id, key, dir)
    if (status !== 101) return socket.end(`HTTP/1.1 ${status} No\r\ncontent-length: 0\r\n\r\n`)
    sockets.handleUpgrade(request, socket, head, (ws) => table.attach(ws, id, key!, dir as 'read' | 'write'))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  base = `ws://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterEach(() => {
  server.closeAllConnections()
  server.close()
})

interface End {
  socket: WebSocket
  messages: (string | Buffer)[]
  closed: Promise<number>
}

async function open(ref: ChannelRef): Promise<End> {
  const socket = new WebSocket(`${base}/${ref.channel_id}?key=${ref.access_key}&dir=${ref.direction}`)
  const messages: (string | Buffer)[] = []
  socket.on('message', (data: Buffer, binary) => messages.push(binary ? data : data.toString()))
  const closed = new Promise<number>((resolve) => socket.on('close', resolve))
  await once(socket, 'open')
  return { socket, messages, closed }
}

const statusOf = (path: string): Promise<number> =>
  new Promise((resolve, reject) => {
    const socket = new WebSocket(`${base}/${path}`)
    socket.on('unexpected-response', (_request, response) => resolve(response.statusCode ?? 0))
    socket.on('open', () => resolve(101))
    socket.on('error', reject)
  })

describe('a channel between two sockets', () => {
  it('relays messages one to one, in order, text as text and bytes as bytes, then closes', async () => {
    const { writer, reader } = table.create()
    const to = await open(reader)
    const from = await open(writer)
    from.socket.send('{"type":"progress"}')
    from.socket.send(Buffer.from([1, 2, 3]))
    from.socket.send('')
    from.socket.send(Buffer.alloc(100_000, 7))
    from.socket.close(1000, 'stream_complete')
    await to.closed
    expect(to.messages).toEqual(['{"type":"progress"}', Buffer.from([1, 2, 3]), '', Buffer.alloc(100_000, 7)])
    await expect.poll(() => table.size).toBe(0)
  })

  it('keeps what was written for a reader that comes after the writer went', async () => {
    const { writer, reader } = table.create()
    const from = await open(writer)
    from.socket.send('a')
    from.socket.send(Buffer.from('b'))
    from.socket.terminate()
    await from.closed
    const to = await open(reader)
    await to.closed
    expect(to.messages).toEqual(['a', Buffer.from('b')])
  })

  it('holds the writer back while the reader takes nothing, and loses nothing', async () => {
    const { writer, reader } = table.create({ bufferSize: 4 })
    const from = await open(writer)
    const frame = Buffer.alloc(64 * 1024)
    for (let i = 0; i < 400; i += 1) from.socket.send(frame)
    const stuck = await settled(() => from.socket.bufferedAmount)
    expect(stuck).toBeGreaterThan(10 * 1024 * 1024)
    const to = await open(reader)
    from.socket.close()
    await to.closed
    expect(to.messages).toHaveLength(400)
  })

  it('closes the writer at its next write after the reader went', async () => {
    const { writer, reader } = table.create()
    const to = await open(reader)
    const from = await open(writer)
    to.socket.close()
    await to.closed
    let isClosed = false
    void from.closed.then(() => {
      isClosed = true
    })
    // The engine hears of the reader's end a little later than the reader.
    while (!isClosed) {
      from.socket.send('more')
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    await expect.poll(() => table.size).toBe(0)
  })

  it('gives each end away once; a second socket is closed at once', async () => {
    const { writer, reader } = table.create()
    await open(reader)
    const second = await open(reader)
    await second.closed
    await open(writer)
    await (await open(writer)).closed
  })

  it('is found only with its key and a direction', async () => {
    const { reader } = table.create()
    const { channel_id: id, access_key: key } = reader
    expect(await statusOf(`${id}?key=${key}`)).toBe(400)
    expect(await statusOf(`${id}?key=${key}&dir=up`)).toBe(400)
    expect(await statusOf(`${id}?dir=read`)).toBe(400)
    expect(await statusOf(`${id}?key=wrong&dir=read`)).toBe(404)
    expect(await statusOf(`other?key=${key}&dir=read`)).toBe(404)
    expect(await statusOf(`${id}?key=${key}&dir=read`)).toBe(101)
  })

  it('takes several writers in turn where it is shared', async () => {
    const { writer, reader } = table.create({ shared: true })
    const to = await open(reader)
    for (const text of ['a', 'b', 'c']) {
      const from = await open(writer)
      from.socket.send(text)
      from.socket.close()
      await from.closed
    }
    await expect.poll(() => to.messages).toEqual(['a', 'b', 'c'])
    to.socket.close()
    await expect.poll(() => table.size).toBe(0)
  })
})

describe('an end inside the process', () => {
  it('writes to a socket and is held back by it', async () => {
    const { writer, reader } = table.create({ bufferSize: 2 })
    const local = table.openWriter(writer)
    expect(local.write('a')).toBe(true)
    expect(local.write(Buffer.from('b'))).toBe(false)
    const drained = new Promise<void>((resolve) => local.onDrain(resolve))
    const to = await open(reader)
    await drained
    local.end()
    await to.closed
    expect(to.messages).toEqual(['a', Buffer.from('b')])
  })

  it('reads from a socket, and may stop', async () => {
    const { writer, reader } = table.create()
    const local = table.openReader(reader)
    const readable = new Promise<void>((resolve) => local.onReadable(resolve))
    const from = await open(writer)
    from.socket.send('a')
    await readable
    expect(local.next()).toEqual({ data: Buffer.from('a'), binary: false })
    local.close()
    from.socket.send('b')
    await from.closed
  })

  it('is given away once', () => {
    const { writer, reader } = table.create()
    table.openReader(reader)
    expect(() => table.openReader(reader)).toThrow('taken')
    expect(() => table.openWriter({ ...writer, access_key: 'wrong' })).toThrow('no channel')
  })
})

describe('the table', () => {
  it('forgets channels of which an end was never taken, after five minutes', () => {
    const kept = table.create()
    table.openReader(kept.reader)
    table.openWriter(kept.writer)
    const half = table.create()
    const reader = table.openReader(half.reader)
    time.pass(5 * 60_000 - 1)
    expect(table.size).toBe(2)
    time.pass(60_001)
    expect(table.size).toBe(1)
    expect(reader.drained).toBe(true)
  })

  it('is bounded; what the engine makes for itself does not count', () => {
    const maker = { realm: 'acme', ofGuests: false }
    for (let i = 0; i < 3; i += 1) table.create({ maker })
    expect(() => table.create({ maker })).toThrow('channels already')
    const pinned = table.create({ pinned: true })
    time.pass(10 * 60_000)
    expect(table.size).toBe(1)
    table.remove(pinned.reader)
    expect(table.size).toBe(0)
    table.create({ maker })
  })

  it('has so many of all guests, and others beside them', () => {
    const guest = { realm: 'realm-guest', ofGuests: true }
    const made = [1, 2].map(() => table.create({ maker: guest }))
    expect(() => table.create({ maker: guest })).toThrow('agentos.guests.limits.channels')
    for (const realm of ['acme', 'other']) {
      for (let i = 0; i < 3; i += 1) table.create({ maker: { realm, ofGuests: false } })
    }
    table.remove(made[0]!.reader)
    table.create({ maker: guest })
  })

  it('ends with a connection what was made over it, unless both ends are in use', () => {
    const maker = { realm: 'realm-guest', ofGuests: true, workerId: 'one' }
    const half = table.create({ maker })
    const used = table.create({ maker })
    const reader = table.openReader(half.reader)
    const other = table.openReader(used.reader)
    const writer = table.openWriter(used.writer)
    table.left('one')
    expect(reader.drained).toBe(true)
    writer.write('still here')
    expect(other.next()?.data.toString()).toBe('still here')
    table.create({ maker: { ...maker, workerId: 'two' } })
    writer.end()
    table.create({ maker: { ...maker, workerId: 'two' } })
    expect(() => table.create({ maker })).toThrow('channels')
    table.left('two')
    expect(table.size).toBe(0)
  })
})

/** A figure once it no longer changes. */
async function settled(read: () => number): Promise<number> {
  let last = Number.NaN
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, 50))
    const now = read()
    if (now === last) return now
    last = now
  }
}
