import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { ChannelRef } from '@agentos/protocol'
import { type WebSocket, WebSocketServer } from 'ws'

const MOST_BUFFERED = 1024 * 1024

interface Item {
  data: Buffer
  isBinary: boolean
}

interface FakeChannel {
  items: Item[]
  writer?: WebSocket
  reader?: WebSocket
  ended: boolean
}

/** Relays channels as the protocol describes it, with a small buffer: order, types, close after data, back-pressure. */
export class FakeChannels {
  readonly channels = new Map<string, FakeChannel>()
  private readonly server: Server
  private readonly sockets = new WebSocketServer({ noServer: true })
  private count = 0
  /** Upgrades that are answered with 503 before one is let through. */
  failures = 0

  private constructor(server: Server) {
    this.server = server
    server.on('upgrade', (request, socket, head) => {
      const url = new URL(request.url ?? '/', 'ws://engine')
      const id = url.pathname.split('/').at(-1) ?? ''
      const channel = this.channels.get(id)
      const refuse = (status: string) => socket.end(`HTTP/1.1 ${status}\r\nconnection: close\r\n\r\n`)
      if (this.failures > 0) {
        this.failures -= 1
        return refuse('503 Service Unavailable')
      }
      if (!channel || url.searchParams.get('key') !== 'key') return refuse('404 Not Found')
      this.sockets.handleUpgrade(request, socket, head, (ws) => {
        if (url.searchParams.get('dir') === 'write') this.attachWriter(channel, ws)
        else this.attachReader(channel, ws)
      })
    })
  }

  static async listen(): Promise<FakeChannels> {
    const server = createServer()
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return new FakeChannels(server)
  }

  get url(): string {
    return `ws://127.0.0.1:${(this.server.address() as AddressInfo).port}`
  }

  create(): { write: ChannelRef; read: ChannelRef; channel: FakeChannel } {
    this.count += 1
    const channel_id = `channel-${this.count}`
    const channel: FakeChannel = { items: [], ended: false }
    this.channels.set(channel_id, channel)
    const ref = { channel_id, access_key: 'key' }
    return { write: { ...ref, direction: 'write' }, read: { ...ref, direction: 'read' }, channel }
  }

  async close(): Promise<void> {
    for (const client of this.sockets.clients) client.terminate()
    await new Promise((resolve) => this.server.close(resolve))
  }

  private attachWriter(channel: FakeChannel, ws: WebSocket): void {
    channel.writer = ws
    ws.on('message', (data: Buffer, isBinary) => {
      channel.items.push({ data, isBinary })
      this.relay(channel)
    })
    ws.on('close', () => {
      channel.ended = true
      this.relay(channel)
    })
  }

  private attachReader(channel: FakeChannel, ws: WebSocket): void {
    channel.reader = ws
    ws.on('close', () => channel.writer?.close())
    this.relay(channel)
  }

  private relay(channel: FakeChannel): void {
    const { reader, writer, items, ended } = channel
    if (!reader) return
    for (const { data, isBinary } of items.splice(0)) {
      reader.send(data, { binary: isBinary }, () => {
        if (reader.bufferedAmount < MOST_BUFFERED && writer?.isPaused) writer.resume()
      })
    }
    if (reader.bufferedAmount >= MOST_BUFFERED) writer?.pause()
    if (ended) reader.close()
  }
}
