import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { WebSocket } from 'ws'

interface Frame {
  type: string
  invocation_id: string
  function_id: string
  data?: unknown
  result?: unknown
}

/** Caller and worker of the bare relay: the frames of the protocol through `ws`, and nothing around them. */
export class RelayClient {
  private readonly socket: WebSocket
  private readonly waiting = new Map<string, (result: unknown) => void>()
  private readonly handlers = new Map<string, (data: unknown) => unknown>()

  static async connect(url: string): Promise<RelayClient> {
    // As our SDK does on loopback: a mask of zeros costs no pass over the payload.
    const socket = new WebSocket(url, { perMessageDeflate: false, generateMask: (mask) => mask.fill(0) })
    await once(socket, 'open')
    return new RelayClient(socket)
  }

  private constructor(socket: WebSocket) {
    this.socket = socket
    socket.on('message', (data: Buffer) => this.receive(JSON.parse(data.toString()) as Frame))
  }

  serve(id: string, handler: (data: unknown) => unknown): void {
    this.handlers.set(id, handler)
    this.socket.send(JSON.stringify({ type: 'registerfunction', id }))
  }

  call(functionId: string, data: unknown): Promise<unknown> {
    const id = randomUUID()
    return new Promise((resolve) => {
      this.waiting.set(id, resolve)
      this.socket.send(JSON.stringify({ type: 'invokefunction', invocation_id: id, function_id: functionId, data }))
    })
  }

  private receive({ type, invocation_id, function_id, data, result }: Frame): void {
    if (type === 'invocationresult') {
      this.waiting.get(invocation_id)?.(result)
      this.waiting.delete(invocation_id)
      return
    }
    const answer = {
      type: 'invocationresult',
      invocation_id,
      function_id,
      result: this.handlers.get(function_id)?.(data),
    }
    this.socket.send(JSON.stringify(answer))
  }
}
