import { type AddressInfo, createServer, connect as dial, type Server, type Socket } from 'node:net'

interface Pair {
  client: Socket
  server: Socket
}

/** A TCP proxy that breaks connections in the ways networks do. */
export class CutProxy {
  readonly url: string
  readonly port: number
  private readonly listener: Server
  private readonly target: URL
  private readonly pairs = new Set<Pair>()
  private held = false
  private refusing = false

  private constructor(listener: Server, target: URL) {
    this.listener = listener
    this.target = target
    this.port = (listener.address() as AddressInfo).port
    this.url = `${target.protocol}//127.0.0.1:${this.port}`
    listener.on('connection', (client: Socket) => this.accept(client))
  }

  static start(target: string): Promise<CutProxy> {
    const listener = createServer()
    return new Promise((resolve, reject) => {
      listener.once('error', reject)
      listener.listen(0, '127.0.0.1', () => resolve(new CutProxy(listener, new URL(target))))
    })
  }

  /** Connections that are whole. */
  get connections(): number {
    return [...this.pairs].filter(({ client, server }) => !client.destroyed && !server.destroyed).length
  }

  /**
   * Breaks every connection on one side, or both. The other side stays open and hears nothing, as when a peer's
   * machine loses power, until `release`.
   */
  cut(side: 'client' | 'server' | 'both'): void {
    for (const { client, server } of this.pairs) {
      if (side !== 'server') client.resetAndDestroy()
      if (side !== 'client') server.resetAndDestroy()
    }
  }

  /** Closes the sides that `cut` left open. */
  release(): void {
    for (const pair of [...this.pairs]) {
      if (!pair.client.destroyed && !pair.server.destroyed) continue
      pair.client.resetAndDestroy()
      pair.server.resetAndDestroy()
    }
  }

  /** Forwards nothing any more while everything looks connected; also for connections made meanwhile. */
  hold(): void {
    this.held = true
    for (const { client, server } of this.pairs) {
      client.pause()
      server.pause()
    }
  }

  /** Forwards what came meanwhile, and everything after. */
  resume(): void {
    this.held = false
    for (const { client, server } of this.pairs) {
      client.resume()
      server.resume()
    }
  }

  /** Resets new connections while `true`. */
  refuse(refusing: boolean): void {
    this.refusing = refusing
  }

  async close(): Promise<void> {
    this.cut('both')
    await new Promise((resolve) => this.listener.close(resolve))
  }

  private accept(client: Socket): void {
    if (this.refusing) {
      client.resetAndDestroy()
      return
    }
    const server = dial({ host: this.target.hostname, port: Number(this.target.port) })
    const pair = { client, server }
    this.pairs.add(pair)
    this.forward(client, server, pair)
    this.forward(server, client, pair)
    if (this.held) {
      client.pause()
      server.pause()
    }
  }

  private forward(from: Socket, to: Socket, pair: Pair): void {
    from.setNoDelay(true)
    from.on('data', (data) => {
      if (to.destroyed) return
      if (!to.write(data)) {
        from.pause()
        to.once('drain', () => this.held || from.resume())
      }
    })
    from.on('end', () => to.end())
    from.on('error', () => undefined)
    from.on('close', () => {
      if (to.destroyed) this.pairs.delete(pair)
    })
  }
}

/** Starts a proxy in front of `target`, a URL of any scheme with a port. */
export function startCutProxy(target: string): Promise<CutProxy> {
  return CutProxy.start(target)
}
