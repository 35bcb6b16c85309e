import { createServer, maxHeaderSize, type RequestListener, type Server, STATUS_CODES } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { problemOf } from './problem.ts'
import type { HttpSettings } from './settings.ts'
import { isLoopback } from './settings.ts'

/** Errors of a machine that has no such address. */
const NO_SUCH_ADDRESS = new Set(['EADDRNOTAVAIL', 'EAFNOSUPPORT', 'EINVAL'])
const KEEP_ALIVE_MS = 30_000

/** The sockets of the HTTP edge: one server for each address, all on one port. */
export class Listeners {
  private readonly settings: HttpSettings
  private readonly strangersMost: number
  private readonly onRequest: RequestListener
  private readonly servers: Server[] = []
  private open = 0
  /** Sockets of which nobody but guests has made a request, the oldest first. */
  private readonly strangers = new Set<Socket>()
  private readonly busy = new Set<Socket>()

  /** `strangersMost`: connections of guests, and of those who have said nothing yet. */
  constructor(settings: HttpSettings, strangersMost: number, onRequest: RequestListener) {
    this.settings = settings
    this.strangersMost = strangersMost
    this.onRequest = (request, response) => {
      const { socket } = request
      this.busy.add(socket)
      response.once('close', () => this.busy.delete(socket))
      onRequest(request, response)
    }
  }

  /** Somebody other than a guest uses this connection: it is not ended to make room. */
  knows(socket: Socket): void {
    this.strangers.delete(socket)
  }

  /** Nobody is kept out by the connections of guests: of too many the oldest that is idle goes. */
  private meet(socket: Socket): void {
    this.strangers.add(socket)
    if (this.strangers.size <= this.strangersMost) return
    for (const other of this.strangers) {
      if (this.busy.has(other)) continue
      this.strangers.delete(other)
      other.destroy()
      return
    }
  }

  get connections(): number {
    return this.open
  }

  /**
   * Listens on all addresses; `::1` only where the machine has it. Resolves to the port. Rejects with the system's
   * error, for example `EADDRINUSE`, and then listens nowhere.
   */
  async listen(): Promise<{ port: number; addresses: string[] }> {
    const addresses: string[] = []
    let { port } = this.settings
    try {
      for (const address of this.settings.addresses) {
        try {
          port = await this.bind(address, port)
          addresses.push(address)
        } catch (error) {
          if (addresses.length === 0 || !isLoopback(address) || !isMissingAddress(error)) throw error
        }
      }
    } catch (error) {
      await this.close()
      throw error
    }
    return { port, addresses }
  }

  /** Stops listening and ends all connections. */
  async close(): Promise<void> {
    const closing = this.servers.splice(0).map(
      (server) =>
        new Promise<void>((resolve) => {
          server.close(() => resolve())
          server.closeAllConnections()
        }),
    )
    await Promise.all(closing)
  }

  private bind(address: string, port: number): Promise<number> {
    const { settings } = this
    const server = createServer(
      {
        headersTimeout: settings.headersTimeoutMs,
        requestTimeout: settings.requestTimeoutMs,
        keepAliveTimeout: KEEP_ALIVE_MS,
        connectionsCheckingInterval: Math.min(5_000, Math.max(50, settings.headersTimeoutMs / 2)),
      },
      this.onRequest,
    )
    server.maxConnections = settings.connections
    server.on('checkContinue', (request, response) => {
      // Whoever asks first is told before it sends a body that is too long.
      if (Number(request.headers['content-length'] ?? 0) <= settings.bodyBytes) response.writeContinue()
      this.onRequest(request, response)
    })
    server.on('connection', (socket: Socket) => {
      this.open += 1
      this.meet(socket)
      socket.once('close', () => {
        this.open -= 1
        this.strangers.delete(socket)
      })
    })
    server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
      if (error.code === 'ECONNRESET' || !socket.writable) return socket.destroy()
      socket.end(answerTo(CLIENT_ERRORS[error.code ?? ''] ?? NOT_HTTP), () => socket.destroy())
    })
    return new Promise((resolve, reject) => {
      server.once('error', reject)
      server.listen(port, address, () => {
        server.off('error', reject)
        this.servers.push(server)
        resolve((server.address() as AddressInfo).port)
      })
    })
  }
}

interface ClientError {
  status: number
  code: 'payload_too_large' | 'deadline_exceeded' | 'invalid_input'
  message: string
}

const CLIENT_ERRORS: Record<string, ClientError> = {
  HPE_HEADER_OVERFLOW: {
    status: 431,
    code: 'payload_too_large',
    message: `The head of the request is longer than ${maxHeaderSize} bytes: send shorter headers, cookies and query`,
  },
  ERR_HTTP_REQUEST_TIMEOUT: {
    status: 408,
    code: 'deadline_exceeded',
    message: 'The request did not arrive whole in time: send it anew, head and body at once',
  },
}

const NOT_HTTP: ClientError = { status: 400, code: 'invalid_input', message: 'This is no request of HTTP/1.1' }

/** Of a request that never became one, so that no trace has it. */
function answerTo({ status, code, message }: ClientError): string {
  const { trace_id: _, ...problem } = problemOf({ code, message }, '', status)
  const body = JSON.stringify(problem)
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    'connection: close',
    'content-type: application/problem+json',
    `content-length: ${Buffer.byteLength(body)}`,
  ]
  return `${head.join('\r\n')}\r\n\r\n${body}`
}

function isMissingAddress(error: unknown): boolean {
  return error instanceof Error && 'code' in error && NO_SUCH_ADDRESS.has(String(error.code))
}
