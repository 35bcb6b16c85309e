import { type AddressInfo, createServer, connect as dial, type Server, type Socket } from 'node:net'

const STEPS_A_SECOND = 10

/** A TCP proxy whose clients read slowly: what the server sends goes on at so many bytes a second. */
export class SlowProxy {
  readonly url: string
  /** Bytes that were let through. */
  passed = 0
  private readonly listener: Server
  private readonly target: URL
  private readonly bytesPerSecond: number
  private readonly pairs = new Set<{ server: Socket; client: Socket }>()
  private readonly timer: NodeJS.Timeout

  private constructor(listener: Server, target: URL, bytesPerSecond: number) {
    this.listener = listener
    this.target = target
    this.bytesPerSecond = bytesPerSecond
    this.url = `${target.protocol}//127.0.0.1:${(listener.address() as AddressInfo).port}`
    listener.on('connection', (client: Socket) => this.accept(client))
    this.timer = setInterval(() => this.pass(), 1_000 / STEPS_A_SECOND)
  }

  static start(target: string, bytesPerSecond: number): Promise<SlowProxy> {
    const listener = createServer()
    return new Promise((resolve) => {
      listener.listen(0, '127.0.0.1', () => resolve(new SlowProxy(listener, new URL(target), bytesPerSecond)))
    })
  }

  /** From now on everything goes on at once. */
  speedUp(): void {
    clearInterval(this.timer)
    for (const { server, client } of this.pairs) {
      server.removeAllListeners('readable')
      server.on('data', (data) => client.write(data))
      server.resume()
    }
  }

  async close(): Promise<void> {
    clearInterval(this.timer)
    for (const { server, client } of this.pairs) for (const socket of [server, client]) socket.destroy()
    await new Promise((resolve) => this.listener.close(resolve))
  }

  private accept(client: Socket): void {
    const server = dial({ host: this.target.hostname, port: Number(this.target.port) })
    this.pairs.add({ server, client })
    for (const socket of [server, client]) socket.on('error', () => {})
    client.on('data', (data) => server.write(data))
    client.on('close', () => server.destroy())
    server.on('close', () => client.end())
    // With this listener the socket reads no more than its buffer holds until `read` is called.
    server.on('readable', () => {})
  }

  private pass(): void {
    for (const { server, client } of this.pairs) {
      const step = Math.ceil(this.bytesPerSecond / STEPS_A_SECOND)
      const data = (server.read(Math.min(step, server.readableLength)) ?? undefined) as Buffer | undefined
      if (!data) continue
      this.passed += data.length
      client.write(data)
    }
  }
}
