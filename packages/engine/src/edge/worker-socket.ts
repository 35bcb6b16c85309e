import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Duplex, Writable } from 'node:stream'
import { EngineError, Heartbeat, isTooDeep, TOO_DEEP } from '@agentos/protocol'
import { type WebSocket, WebSocketServer } from 'ws'
import type { Connection, Grant } from '../core/connection.ts'
import type { Core } from '../core/core.ts'
import { isOfGuests } from '../core/guest-share.ts'
import { GuestPace } from './guest-pace.ts'
import type { Entered } from './identity.ts'
import { SocketLink } from './socket-link.ts'

/** What the socket server needs of the channel table. */
export interface ChannelAttachment {
  /** 404 where there is no such channel or the key is wrong, 400 for a malformed request, else 101. */
  check(id: string, key: string | null, dir: string | null): 101 | 400 | 404
  attach(socket: WebSocket, id: string, key: string, dir: 'read' | 'write'): void
  /** Does a socket of this channel count against the bounds of the guests? */
  isOfGuests(id: string): boolean
}

export interface WorkerSocketOptions {
  core: Core
  channels: ChannelAttachment
  host: string
  port: number
  /** Who the upgrade request comes from, and in which realm; a refusal is told with `AUTH_ERROR`. */
  identify(request: IncomingMessage): Entered<Grant>
  /** Is this `Host` and, where given, this `Origin` welcome? */
  welcome(request: IncomingMessage): boolean
  /** Telemetry of a client: OTLP JSON. */
  ingest(request: unknown, source: { service?: string; realm: string; guest?: boolean }): void
}

const TELEMETRY_PREFIXES = ['OTLP', 'MTRC', 'LOGS']
const HANDSHAKE_TIMEOUT_MS = 10_000
/** Sockets of workers, clients, telemetry and channels together. */
const MAX_CONNECTIONS = 20_000
/** Parts that one message may come in: of the largest ones each may be a buffer of 4 kB, as some libraries send them. */
const MAX_FRAGMENTS = 8_192
/** Bytes that are taken of one connection before others have their turn. */
const TURN_BYTES = 256 * 1024
/** How long a fenced socket may stay silent: a process that was frozen so long is not waited for. */
const FENCED_MS = 120_000
/** Closes the connection of a process that was frozen and is back: it connects anew. */
const MISSED_HEARTBEAT = 4001
/** Closes the connection of a client that is not let in; its reason may have 123 bytes. */
const POLICY_VIOLATION = 1008
/** Bytes of the reason of a close frame. */
const MAX_REASON = 123
/** Closes the connection of a guest that is one too many. */
const TRY_AGAIN_LATER = 1013
/** How long whoever broke the protocol may take to read why the connection ends; what it still sends is thrown away. */
const LAST_WORD_MS = 1_000

/** One socket of the listener, and what its silence means. */
interface Socket {
  heartbeat: Heartbeat
  /** Of a worker or client; telemetry and channels have none. */
  connection?: Connection
  /** Reading of the monotonic clock from which on it is no longer waited for. */
  fencedUntil?: number
}

/** The listener for workers: the protocol at `/`, telemetry at `/otel`, channels at `/ws/channels/:id`. */
export class WorkerSocketServer {
  private readonly options: WorkerSocketOptions
  private readonly servers: Server[] = []
  private readonly sockets: WebSocketServer
  private readonly known = new WeakMap<WebSocket, Socket>()
  /** Sockets that have not said yet what they are, the oldest first. */
  private readonly unknown = new Set<Duplex>()
  private beating: NodeJS.Timeout | undefined
  private readonly pace: GuestPace

  constructor(options: WorkerSocketOptions) {
    this.options = options
    const share = options.core.guestShare.limits.engine_percent / 100
    const after = (delayMs: number, run: () => void) => void setTimeout(run, delayMs).unref()
    this.pace = new GuestPace({ share, now: () => performance.now(), after })
    this.sockets = new WebSocketServer({
      noServer: true,
      clientTracking: true,
      perMessageDeflate: false,
      maxPayload: options.core.limits.frameBytes,
      maxFragments: MAX_FRAGMENTS,
    })
  }

  /** Listens on the host, and on ::1 beside 127.0.0.1. Resolves to the port. */
  async listen(): Promise<number> {
    const port = await this.bind(this.options.host, this.options.port)
    if (this.options.host === '127.0.0.1') await this.bind('::1', port).catch(() => undefined)
    this.beating = setInterval(() => this.beat(), this.options.core.limits.heartbeatMs)
    this.beating.unref()
    return port
  }

  async close(): Promise<void> {
    clearInterval(this.beating)
    for (const socket of this.sockets.clients) socket.terminate()
    await Promise.all(this.servers.map((server) => new Promise((resolve) => server.close(resolve))))
  }

  private bind(host: string, port: number): Promise<number> {
    const server = createServer({ requestTimeout: HANDSHAKE_TIMEOUT_MS, headersTimeout: HANDSHAKE_TIMEOUT_MS })
    server.maxConnections = MAX_CONNECTIONS
    server.on('request', (_request, response) => {
      response.writeHead(404, { 'content-type': 'text/plain' }).end('This port speaks WebSocket only\n')
    })
    server.on('connection', (socket) => this.meet(socket))
    server.on('upgrade', (request, socket, head) => this.upgrade(request, socket, head))
    return new Promise((resolve, reject) => {
      server.once('error', reject)
      server.listen(port, host, () => {
        server.off('error', reject)
        this.servers.push(server)
        resolve((server.address() as AddressInfo).port)
      })
    })
  }

  /** Nobody is kept out by those who connect and say nothing: of too many of them the oldest go. */
  private meet(socket: Duplex): void {
    this.unknown.add(socket)
    socket.once('close', () => this.unknown.delete(socket))
    const [oldest] = this.unknown
    if (this.unknown.size > this.options.core.guestShare.limits.connections) oldest?.destroy()
  }

  private upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    this.unknown.delete(socket)
    // Node has taken its own listener off: without one, a client that resets its connection would end the process.
    socket.on('error', () => socket.destroy())
    if (!this.options.welcome(request)) return refuse(socket, 403, 'Host or Origin is not welcome here')
    const { path, query } = targetOf(request.url ?? '/')
    // Ids of channels are UUIDs: what needs decoding is none of ours.
    const channel = /^\/ws\/channels\/([^/]+)$/.exec(path)
    if (channel) {
      const id = channel[1]!
      const key = query.get('key')
      const dir = query.get('dir')
      const status = this.options.channels.check(id, key, dir)
      if (status !== 101) return refuse(socket, status, status === 404 ? 'Channel not found' : 'Bad channel request')
      this.accept(request, socket, head, (ws) => {
        if (!this.options.channels.isOfGuests(id) || this.countGuest(ws)) {
          this.options.channels.attach(ws, id, key!, dir as 'read' | 'write')
        }
      })
      return
    }
    if (path === '/otel') return this.accept(request, socket, head, (ws) => this.serveTelemetry(ws, request))
    if (path !== '/') return refuse(socket, 404, 'No such path')
    this.accept(request, socket, head, (ws) => this.serveWorker(ws, request))
  }

  private accept(request: IncomingMessage, socket: Duplex, head: Buffer, serve: (ws: WebSocket) => void): void {
    this.sockets.handleUpgrade(request, socket, head, (ws) => {
      const { core } = this.options
      this.known.set(ws, { heartbeat: new Heartbeat(core.limits.heartbeatMs, core.ports.clock.monotonic()) })
      const hear = (): void => this.hear(ws)
      ws.on('error', () => this.dismiss(ws))
      ws.on('ping', hear)
      ws.on('pong', hear)
      ws.on('message', hear)
      serve(ws)
    })
  }

  /** The close frame is on its way: ended at once, the socket would be reset, and the reason lost with what is unread. */
  private dismiss(ws: WebSocket): void {
    const { connection } = this.known.get(ws)!
    if (connection) this.options.core.disconnect(connection)
    forgetMessage(ws)
    setTimeout(() => ws.terminate(), LAST_WORD_MS).unref()
  }

  /** Who this is; whoever is nobody hears why, and is let go. */
  private admit(ws: WebSocket, request: IncomingMessage): Grant | undefined {
    const entered = this.options.identify(request)
    if (entered.ok) return !isOfGuests(entered.identity) || this.countGuest(ws) ? entered.identity : undefined
    const { message } = entered
    const about = { address: request.socket.remoteAddress, reason: message }
    // With no credential that holds it is nobody known.
    this.options.core.guestLog.warn(about, 'A client was refused')
    ws.send(JSON.stringify({ type: 'error', error: { code: 'AUTH_ERROR', message } }))
    ws.close(POLICY_VIOLATION, message.slice(0, MAX_REASON))
    return undefined
  }

  /** Counts a socket of a guest for as long as it is open; one too many hears so, and is let go. */
  private countGuest(ws: WebSocket): boolean {
    const { guestShare } = this.options.core
    try {
      guestShare.take('connections')
    } catch (error) {
      if (!(error instanceof EngineError)) throw error
      ws.send(JSON.stringify({ type: 'error', error: error.toBody() }))
      ws.close(TRY_AGAIN_LATER, `${error.code}: ${error.message}`.slice(0, MAX_REASON))
      setTimeout(() => ws.terminate(), LAST_WORD_MS).unref()
      return false
    }
    ws.on('close', () => guestShare.give('connections'))
    return true
  }

  private serveWorker(ws: WebSocket, request: IncomingMessage): void {
    const grant = this.admit(ws, request)
    if (!grant) return
    const { core } = this.options
    const connection = core.connect(new SocketLink(ws), grant, request.socket.remoteAddress ?? '')
    this.known.get(ws)!.connection = connection
    this.onFrame(ws, grant, (data, isBinary) => {
      if (isBinary && this.telemetry(data, grant)) return
      core.receive(connection, data)
    })
    ws.on('close', () => core.disconnect(connection))
  }

  private serveTelemetry(ws: WebSocket, request: IncomingMessage): void {
    const grant = this.admit(ws, request)
    if (!grant) return
    this.onFrame(ws, grant, (data, isBinary) => {
      if (isBinary) this.telemetry(data, grant)
    })
  }

  private onFrame(ws: WebSocket, grant: Grant, take: (data: Buffer, isBinary: boolean) => void): void {
    if (!isOfGuests(grant)) {
      ws.on('message', take)
      return takeTurns(ws)
    }
    ws.on('message', (data: Buffer, isBinary: boolean) => this.pace.work(ws, () => take(data, isBinary)))
    ws.on('close', () => this.pace.forget(ws))
  }

  /** Takes a binary frame that carries telemetry; says whether it was one. */
  private telemetry(data: Buffer, grant: Grant): boolean {
    const prefix = data.toString('latin1', 0, 4)
    if (!TELEMETRY_PREFIXES.includes(prefix)) return false
    if (prefix === 'OTLP') this.ingestSpans(data.subarray(4), grant)
    return true
  }

  private ingestSpans(json: Buffer, grant: Grant): void {
    try {
      if (isTooDeep(json)) throw new RangeError(TOO_DEEP)
      const request: unknown = JSON.parse(json.toString('utf8'))
      this.options.ingest(request, {
        ...(grant.worker === undefined ? {} : { service: grant.worker }),
        realm: grant.realm,
        guest: grant.principal.kind === 'guest',
      })
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      this.options.core.logOf(grant).warn({ reason }, 'Dropped telemetry that cannot be read')
    }
  }

  /** Finds processes that are frozen and sockets that are half open; whoever lives answers a ping by itself. */
  private beat(): void {
    const now = this.options.core.ports.clock.monotonic()
    for (const ws of this.sockets.clients) {
      const socket = this.known.get(ws)
      if (!socket) continue
      if (socket.fencedUntil !== undefined) {
        if (now >= socket.fencedUntil) ws.terminate()
      } else if (socket.heartbeat.isSilent(now)) this.fence(ws, socket, now)
      else ws.ping()
    }
  }

  /**
   * Takes a silent process out of rotation: nothing that it says counts any more. Its socket stays for a while, so that
   * what it still says is counted, and so that it hears by the end of it that it has to connect anew.
   */
  private fence(ws: WebSocket, socket: Socket, now: number): void {
    const { connection } = socket
    if (!connection) return ws.terminate()
    const { core } = this.options
    socket.fencedUntil = now + FENCED_MS
    if (!connection.open) return
    core
      .logOf(connection.grant)
      .warn(
        { connection: connection.id, worker: connection.grant.worker ?? connection.metadata.name },
        'A process does not answer heartbeats and is taken out of rotation; a call must not block its event loop',
      )
    core.disconnect(connection)
    const pid = core.absentProcess(connection)
    if (pid !== undefined) core.supervision.silent(pid, core.limits.heartbeatMs)
  }

  private hear(ws: WebSocket): void {
    const socket = this.known.get(ws)!
    socket.heartbeat.hear()
    // What it sent before it hears of the end still arrives, and is counted.
    if (socket.fencedUntil === undefined || ws.readyState !== ws.OPEN) return
    const pid = socket.connection && this.options.core.absentProcess(socket.connection)
    if (pid !== undefined) this.options.core.supervision.heard(pid)
    const end = socket.connection?.link ?? ws
    end.close(MISSED_HEARTBEAT, 'heartbeat missed')
  }
}

/** Lets others have their turn of the event loop: what has arrived of one connection may be megabytes at once. */
function takeTurns(ws: WebSocket): void {
  let taken = 0
  ws.on('message', (data: Buffer) => {
    taken += data.length
    if (taken < TURN_BYTES || ws.isPaused) return
    ws.pause()
    setImmediate(() => {
      taken = 0
      ws.resume()
    })
  })
}

/** What there is of a message that was refused: `ws` would keep it until its socket is gone, and has no name for it. */
function forgetMessage(ws: WebSocket): void {
  const receiver = (ws as unknown as { _receiver: Writable & { _fragments: Buffer[]; _buffers: Buffer[] } })._receiver
  if (!receiver.errored) return
  receiver._fragments = []
  receiver._buffers = []
}

/** Path and query of a request, which may be anything: a client wrote it. */
function targetOf(url: string): { path: string; query: URLSearchParams } {
  const mark = url.indexOf('?')
  if (mark === -1) return { path: url, query: new URLSearchParams() }
  return { path: url.slice(0, mark), query: new URLSearchParams(url.slice(mark + 1)) }
}

function refuse(socket: Duplex, status: number, message: string): void {
  const reason = { 400: 'Bad Request', 403: 'Forbidden', 404: 'Not Found' }[status] ?? 'Refused'
  socket.end(
    `HTTP/1.1 ${status} ${reason}\r\nconnection: close\r\ncontent-type: text/plain\r\ncontent-length: ${Buffer.byteLength(message)}\r\n\r\n${message}`,
  )
}
