import type { Duplex } from 'node:stream'

/**
 * Lets all frames that are written before the next turn of the event loop leave in one write to the kernel. Under load
 * that is most of the cost of a small frame; an idle socket sends no later than before, because the loop has nothing
 * to wait for.
 */
export class Cork {
  private readonly socket: Duplex
  private held = false

  constructor(socket: Duplex) {
    this.socket = socket
  }

  hold(): void {
    if (this.held) return
    this.held = true
    this.socket.cork()
    setImmediate(this.release)
  }

  private readonly release = (): void => {
    this.held = false
    this.socket.uncork()
  }
}
