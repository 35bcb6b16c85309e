import type { Duplex } from 'node:stream'
import { FrameBatch, type Spliced } from '@agentos/protocol'
import type { WebSocket } from 'ws'
import type { Link } from '../core/ports.ts'

/** The socket under a WebSocket: `ws` has no name for it. */
function rawSocket(ws: WebSocket): Duplex {
  return (ws as unknown as { _socket: Duplex })._socket
}

/**
 * A worker's socket as the core sees it. What is sent in one turn of the event loop leaves together, past the sender of
 * `ws`, which would write each frame for itself; so this is for sockets without compression only.
 */
export class SocketLink implements Link {
  private readonly ws: WebSocket
  private readonly socket: Duplex
  private readonly batch = new FrameBatch('server')
  /** What waits leaves before anything else is heard. */
  private flushesNext = false

  constructor(ws: WebSocket) {
    this.ws = ws
    this.socket = rawSocket(ws)
  }

  send(frame: string | Spliced, urgent = true): void {
    if (this.ws.readyState !== this.ws.OPEN) return
    if (urgent ? !this.flushesNext : this.batch.size === 0) this.flushSoon(urgent)
    this.batch.add(frame)
    // Frames that can wait come with work of this process between them: each write less is worth more than an early one.
    if (urgent && this.batch.full) this.flush()
  }

  close(code?: number, reason?: string): void {
    this.flush()
    this.ws.close(code, reason)
  }

  buffered(): number {
    return this.ws.bufferedAmount + this.batch.size
  }

  private flushSoon(urgent: boolean): void {
    this.flushesNext = urgent
    if (urgent) process.nextTick(this.flush)
    else setImmediate(this.flush)
  }

  private readonly flush = (): void => {
    this.flushesNext = false
    const chunks = this.batch.take()
    if (chunks.length === 0) return
    // After a close frame nothing may follow.
    if (this.ws.readyState !== this.ws.OPEN) return
    if (chunks.length === 1) {
      this.socket.write(chunks[0])
      return
    }
    this.socket.cork()
    for (const chunk of chunks) this.socket.write(chunk)
    this.socket.uncork()
  }
}
