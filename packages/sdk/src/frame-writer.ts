import type { Duplex } from 'node:stream'
import { FrameBatch } from '@agentos/protocol'
import { WebSocket } from 'ws'

/**
 * Lets messages that are written before the next tick leave together. For loopback only, where frames need no mask, and
 * for sockets without compression: it writes past the sender of `ws`, which would write each for itself.
 */
export class FrameWriter {
  private readonly ws: WebSocket
  private readonly socket: Duplex
  private readonly batch = new FrameBatch('client')

  constructor(ws: WebSocket, socket: Duplex) {
    this.ws = ws
    this.socket = socket
  }

  /** Bytes that `ws` does not know of yet. */
  get size(): number {
    return this.batch.size
  }

  send(text: string): void {
    if (this.batch.size === 0) process.nextTick(this.flush)
    this.batch.add(text)
    if (this.batch.full) this.flush()
  }

  readonly flush = (): void => {
    const chunks = this.batch.take()
    // After a close frame nothing may follow.
    if (chunks.length === 0 || this.ws.readyState !== WebSocket.OPEN) return
    if (chunks.length === 1) {
      this.socket.write(chunks[0])
      return
    }
    this.socket.cork()
    for (const chunk of chunks) this.socket.write(chunk)
    this.socket.uncork()
  }
}
