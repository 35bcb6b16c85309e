import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type WebSocket, WebSocketServer } from 'ws'

type Frame = Record<string, unknown> & { type: string }

/** One connection of a client, as the engine's side sees it. */
export class FakePeer {
  readonly socket: WebSocket
  readonly request: IncomingMessage
  readonly frames: Frame[] = []
  readonly binary: Buffer[] = []
  private readonly waiting: { matches: (frame: Frame) => boolean; resolve: (frame: Frame) => void }[] = []

  constructor(socket: WebSocket, request: IncomingMessage) {
    this.socket = socket
    this.request = request
    socket.on('message', (data: Buffer, isBinary: boolean) => {
      if (isBinary) this.binary.push(data)
      else this.take(JSON.parse(data.toString()) as Frame)
    })
  }

  send(frame: object): void {
    this.socket.send(JSON.stringify(frame))
  }

  /** The next frame that matches, or the first one that has come already. */
  frame(type: string, fields: Record<string, unknown> = {}): Promise<Frame> {
    const matches = (frame: Frame) =>
      frame.type === type && Object.entries(fields).every(([key, value]) => frame[key] === value)
    const seen = this.frames.find(matches)
    if (seen) return Promise.resolve(seen)
    return new Promise((resolve) => this.waiting.push({ matches, resolve }))
  }

  private take(frame: Frame): void {
    if (frame.type === 'ping') this.send({ type: 'pong' })
    this.frames.push(frame)
    for (const waiter of this.waiting) if (waiter.matches(frame)) waiter.resolve(frame)
  }
}

/** The other end of the wire, driven by hand: for what a real engine does not do on demand. */
export class FakeEngine {
  readonly peers: FakePeer[] = []
  private readonly server: WebSocketServer
  private readonly arrivals: ((peer: FakePeer) => void)[] = []
  /** What every connection is greeted with; `undefined` keeps silent. */
  greeting: object | undefined = { type: 'workerregistered', worker_id: 'w-1' }

  private constructor(server: WebSocketServer) {
    this.server = server
    server.on('connection', (socket, request) => {
      const peer = new FakePeer(socket, request)
      this.peers.push(peer)
      if (this.greeting) peer.send(this.greeting)
      this.arrivals.shift()?.(peer)
    })
  }

  static async listen(port = 0): Promise<FakeEngine> {
    const server = new WebSocketServer({ host: '127.0.0.1', port })
    await once(server, 'listening')
    return new FakeEngine(server)
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port
  }

  get url(): string {
    return `ws://127.0.0.1:${this.port}`
  }

  /** The connection that comes next. */
  nextPeer(): Promise<FakePeer> {
    return new Promise((resolve) => this.arrivals.push(resolve))
  }

  async close(): Promise<void> {
    for (const client of this.server.clients) client.terminate()
    await new Promise((resolve) => this.server.close(resolve))
  }
}
