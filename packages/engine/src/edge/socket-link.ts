import type { Duplex } from 'node:stream'
import { FrameBatch, type Spliced } from '@agentos/protocol'
import type { WebSocket } from 'ws'
import type { Link } from '../core/ports.ts'

/**
 * Bytes that the socket is given before it has to have taken them: enough to keep the kernel busy, few enough that what
 * waits behind them can still be thrown away.
 */
const WINDOW_BYTES = 1024 * 1024
/** What waits is kept in parcels of about this size, so that many small frames are few objects. */
const PARCEL_BYTES = 64 * 1024
/** From this size on a chunk may lie in memory that somebody else allocated. */
const LENT_BYTES = 8 * 1024

/** The socket under a WebSocket: `ws` has no name for it. */
function rawSocket(ws: WebSocket): Duplex {
  return (ws as unknown as { _socket: Duplex })._socket
}

/**
 * A worker's socket as the core sees it. What is sent in one turn of the event loop leaves together, past the sender of
 * `ws`, which would write each frame for itself; so this is for sockets without compression only. A peer that does not
 * read leaves the frames waiting here. The socket is given whole frames: `ws` writes its own in between, and behind them.
 */
export class SocketLink implements Link {
  private readonly ws: WebSocket
  private readonly socket: Duplex
  private readonly batch = new FrameBatch('server')
  /** What waits leaves before anything else is heard. */
  private flushesNext = false
  /** The window is full, until the socket has taken everything. */
  private congested = false
  /** Whole frames each; those in the batch come behind them. */
  private parcels: { chunks: Buffer[]; bytes: number }[] = []
  private parcelBytes = 0

  constructor(ws: WebSocket) {
    this.ws = ws
    this.socket = rawSocket(ws)
    ws.once('close', () => this.clear())
  }

  send(frame: string | Spliced, urgent = true): void {
    if (this.ws.readyState !== this.ws.OPEN) return
    if (urgent ? !this.flushesNext : this.batch.size === 0) this.flushSoon(urgent)
    this.batch.add(frame)
    // Frames that can wait come with work of this process between them: each write less is worth more than an early one.
    if (this.batch.full && (urgent || this.congested)) this.flush()
  }

  close(code?: number, reason?: string): void {
    if (this.ws.readyState === this.ws.OPEN) {
      for (const { chunks } of this.parcels) this.write(chunks)
      this.write(this.batch.take())
    }
    this.clear()
    this.ws.close(code, reason)
  }

  abort(code: number, reason: string): void {
    this.clear()
    this.ws.close(code, reason)
  }

  buffered(): number {
    return this.ws.bufferedAmount + this.parcelBytes + this.batch.size
  }

  private flushSoon(urgent: boolean): void {
    this.flushesNext = urgent
    if (urgent) process.nextTick(this.flush)
    else setImmediate(this.flush)
  }

  private readonly flush = (): void => {
    this.flushesNext = false
    // After a close frame nothing may follow.
    if (this.ws.readyState !== this.ws.OPEN) this.clear()
    else if (this.congested) this.park()
    else this.write(this.batch.take())
  }

  private readonly drained = (): void => {
    this.congested = false
    while (this.parcels.length > 0 && !this.congested && this.ws.readyState === this.ws.OPEN) {
      const { chunks, bytes } = this.parcels.shift()!
      this.parcelBytes -= bytes
      this.write(chunks)
    }
    this.flush()
  }

  private park(): void {
    const bytes = this.batch.size
    if (bytes < PARCEL_BYTES) return
    this.parcels.push({ chunks: this.batch.take().map(owned), bytes })
    this.parcelBytes += bytes
  }

  private write(chunks: readonly Buffer[]): void {
    if (chunks.length === 0) return
    const { socket } = this
    if (chunks.length === 1) socket.write(chunks[0])
    else {
      socket.cork()
      for (const chunk of chunks) socket.write(chunk)
      socket.uncork()
    }
    if (this.congested || socket.writableLength < WINDOW_BYTES) return
    this.congested = true
    socket.once('drain', this.drained)
  }

  private clear(): void {
    this.parcels = []
    this.parcelBytes = 0
    this.batch.take()
  }
}

/**
 * A payload may be a small part of the bytes that came with it, which are not kept for as long as it waits. What is
 * smaller lies in the batch's own memory.
 */
function owned(chunk: Buffer): Buffer {
  if (chunk.length < LENT_BYTES || chunk.length * 2 > chunk.buffer.byteLength) return chunk
  const copy = Buffer.allocUnsafeSlow(chunk.length)
  chunk.copy(copy)
  return copy
}
