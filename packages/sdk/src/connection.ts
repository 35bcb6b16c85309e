import { type EngineFrame, Heartbeat, type WorkerRegisteredFrame } from '@agentos/protocol'
import { type RawData, WebSocket } from 'ws'
import { type Backoff, backoffDelay } from './backoff.ts'
import { Cork } from './cork.ts'
import { FrameWriter } from './frame-writer.ts'

/** Between pings, where the engine does not say how often it sends its own. */
const HEARTBEAT_MS = 5_000

/** Close code of an engine that is asked for more than is read; its reason says what to do. */
const TRY_AGAIN_LATER = 1013

export interface ConnectionOptions {
  address: string
  /** Headers of the upgrade; read anew for each attempt, since a credential may be written later than we start. */
  headers: () => Record<string, string>
  /** `maxRetries` -1 is for ever. */
  backoff: Backoff & { maxRetries: number }
}

/** What happens on a connection. `opened` and `lost` alternate. */
export interface ConnectionListener {
  /** The engine has greeted us; from here on `send` works. */
  opened(greeting: WorkerRegisteredFrame): void
  frame(frame: EngineFrame): void
  lost(): void
  /** An attempt failed, or the engine refused us. The same text is told once in a row. */
  trouble(message: string): void
  /** No further attempt will be made. */
  gaveUp(): void
}

/** One address, and a socket to it that is opened again and again until `close`. */
export class Connection {
  private readonly options: ConnectionOptions
  private readonly listener: ConnectionListener
  private socket: WebSocket | undefined
  /** On loopback the writer; elsewhere `ws` has to mask each frame. */
  private writer: FrameWriter | undefined
  private cork: Cork | undefined
  private heartbeat: Heartbeat | undefined
  private beating: NodeJS.Timeout | undefined
  private greeted = false
  private closed = false
  private attempt = 0
  private retryTimer: NodeJS.Timeout | undefined
  private lastTrouble: string | undefined
  /** Rises with every greeting: what belongs to an earlier one is void. */
  epoch = 0

  constructor(options: ConnectionOptions, listener: ConnectionListener) {
    // Thrown here, an address that cannot be one is the caller's mistake; later it would be retried for ever.
    const { protocol } = new URL(options.address)
    if (protocol !== 'ws:' && protocol !== 'wss:') {
      throw new TypeError(`The address of the engine begins with ws:// or wss://, not ${protocol}//`)
    }
    this.options = options
    this.listener = listener
    this.open()
  }

  get isOpen(): boolean {
    return this.greeted
  }

  /** Bytes given and not yet taken by the kernel. */
  get buffered(): number {
    return (this.socket?.bufferedAmount ?? 0) + (this.writer?.size ?? 0)
  }

  /** Text, or the bytes of a binary frame. False where there is no engine at the moment. */
  send(data: string | Buffer): boolean {
    if (!this.greeted || !this.socket) return false
    if (this.writer && typeof data === 'string') {
      this.writer.send(data)
    } else {
      this.writer?.flush()
      this.cork?.hold()
      this.socket.send(data)
    }
    return true
  }

  /** Closes for good and resolves when the socket is gone. */
  close(): Promise<void> {
    this.closed = true
    clearTimeout(this.retryTimer)
    const socket = this.socket
    if (!socket || socket.readyState === WebSocket.CLOSED) return Promise.resolve()
    return new Promise((resolve) => {
      // An engine that does not answer the close frame shall not hold us.
      const impatient = setTimeout(() => socket.terminate(), 1_000)
      socket.once('close', () => {
        clearTimeout(impatient)
        resolve()
      })
      this.writer?.flush()
      socket.close()
    })
  }

  private open(): void {
    let socket: WebSocket
    const loopback = isLoopback(this.options.address)
    try {
      socket = new WebSocket(this.options.address, {
        headers: this.options.headers(),
        perMessageDeflate: false,
        handshakeTimeout: 10_000,
        maxPayload: 100 * 1024 * 1024,
        ...(loopback ? { generateMask: noMask } : {}),
      })
    } catch (error) {
      this.complain(error instanceof Error ? error.message : String(error))
      this.retry()
      return
    }
    this.socket = socket
    socket.on('upgrade', (response) => {
      if (loopback) this.writer = new FrameWriter(socket, response.socket)
      else this.cork = new Cork(response.socket)
    })
    socket.on('open', () => this.beatEvery(HEARTBEAT_MS, socket))
    socket.on('message', (data) => {
      this.heartbeat?.hear()
      this.receive(data, socket)
    })
    socket.on('ping', () => this.heartbeat?.hear())
    socket.on('pong', () => this.heartbeat?.hear())
    socket.on('error', (error) => this.complain(error.message || String(error)))
    socket.on('close', (code, reason) => {
      if (code === TRY_AGAIN_LATER) this.complain(`The engine ended the connection; ${reason}`)
      clearInterval(this.beating)
      this.dropped()
    })
  }

  private beatEvery(everyMs: number, socket: WebSocket): void {
    clearInterval(this.beating)
    const heartbeat = new Heartbeat(everyMs, performance.now())
    this.heartbeat = heartbeat
    this.beating = setInterval(() => {
      if (heartbeat.isSilent(performance.now())) {
        this.complain(`The engine has not been heard for ${everyMs} ms; connecting anew`)
        socket.terminate()
      } else if (socket.readyState === WebSocket.OPEN) socket.ping()
    }, everyMs)
    this.beating.unref()
  }

  private receive(data: RawData, socket: WebSocket): void {
    const frame = parse(data)
    if (!frame) return
    if (frame.type === 'workerregistered') {
      this.attempt = 0
      this.lastTrouble = undefined
      this.greeted = true
      this.epoch += 1
      const { heartbeat_ms } = frame.limits ?? {}
      if (heartbeat_ms !== undefined) this.beatEvery(heartbeat_ms, socket)
      this.listener.opened(frame)
    } else if (frame.type === 'error') {
      this.complain(`${frame.error.code}: ${frame.error.message}`)
    } else {
      this.listener.frame(frame)
    }
  }

  private dropped(): void {
    this.socket = undefined
    this.writer = undefined
    this.cork = undefined
    this.heartbeat = undefined
    const wasOpen = this.greeted
    this.greeted = false
    if (wasOpen) this.listener.lost()
    this.retry()
  }

  private retry(): void {
    if (this.closed) return
    const { backoff } = this.options
    if (backoff.maxRetries >= 0 && this.attempt >= backoff.maxRetries) {
      this.closed = true
      this.listener.gaveUp()
      return
    }
    const delay = backoffDelay(backoff, this.attempt, Math.random())
    this.attempt += 1
    this.retryTimer = setTimeout(() => this.open(), delay)
  }

  private complain(message: string): void {
    if (message === this.lastTrouble || this.closed) return
    this.lastTrouble = message
    this.listener.trouble(message)
  }
}

function parse(data: RawData): EngineFrame | undefined {
  try {
    const frame: unknown = JSON.parse(data.toString())
    if (typeof frame === 'object' && frame !== null && 'type' in frame) return frame as EngineFrame
  } catch {
    // A frame that is not JSON is dropped, as the protocol says; the connection stays.
  }
  return undefined
}

/**
 * Masking protects middleboxes on the way from crafted bytes. On loopback there are none, and `ws` skips the copy and
 * the XOR of every payload at both ends where the mask is zero.
 */
export function noMask(mask: Buffer): void {
  mask.fill(0)
}

export function isLoopback(address: string): boolean {
  const { hostname } = new URL(address)
  return hostname === 'localhost' || hostname === '[::1]' || /^127\./.test(hostname)
}
