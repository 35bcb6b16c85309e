import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { WebSocket } from 'ws'

/** The fields that a row reads of a frame from the engine. */
export interface Frame {
  type: string
  invocation_id: string
  function_id: string
  data?: unknown
  result?: unknown
  error?: { code: string; message: string }
  context?: { idempotency_key?: string; realm: string }
  worker_id?: string
}

/** A client that writes frames itself, right and wrong ones. It never reconnects, and says what it saw. */
export class WirePeer {
  readonly socket: WebSocket
  /** The first frame of the engine: who it is here, or why it is not let in. */
  readonly greeting: Frame
  readonly workerId: string
  /** Answers by invocation id, in order: more than one is a defect of the engine. */
  readonly answers = new Map<string, Frame[]>()
  readonly served: Frame[] = []
  closed: { code: number; reason: string } | undefined
  private readonly handlers = new Map<string, (frame: Frame) => void>()
  private readonly waiting = new Map<string, (frame: Frame) => void>()
  private readonly ended: Promise<void>

  private constructor(socket: WebSocket, greeting: Frame) {
    this.socket = socket
    this.greeting = greeting
    this.workerId = greeting.worker_id ?? ''
    socket.on('message', (data) => this.receive(JSON.parse(String(data)) as Frame))
    this.ended = new Promise((resolve) => {
      socket.on('close', (code, reason) => {
        this.closed = { code, reason: String(reason) }
        resolve()
      })
    })
  }

  static async open(url: string, options: { token?: string; name?: string } = {}): Promise<WirePeer> {
    const { token, name } = options
    const socket = new WebSocket(url, {
      perMessageDeflate: false,
      ...(token === undefined ? {} : { headers: { authorization: `Bearer ${token}` } }),
    })
    socket.on('error', () => {})
    const [data] = (await Promise.race([once(socket, 'message'), once(socket, 'close')])) as [unknown]
    if (typeof data === 'number') throw new Error(`the engine closed the connection with ${data}`)
    const peer = new WirePeer(socket, JSON.parse(String(data)) as Frame)
    if (name !== undefined) {
      const action = { type: 'void' }
      peer.send({ type: 'invokefunction', function_id: 'engine::workers::register', data: { name }, action })
    }
    return peer
  }

  send(frame: object | string | Buffer): void {
    this.socket.send(typeof frame === 'string' || Buffer.isBuffer(frame) ? frame : JSON.stringify(frame))
  }

  /** Registers a function; `handle` gets each call and answers it, or does not. */
  serve(id: string, handle: (frame: Frame) => void): void {
    this.handlers.set(id, handle)
    this.send({ type: 'registerfunction', id })
  }

  answer({ invocation_id, function_id }: Frame, result: unknown = null): void {
    this.send({ type: 'invocationresult', invocation_id, function_id, result })
  }

  /** Resolves with the first answer; never rejects. */
  call(function_id: string, data: unknown = {}, more: object = {}): Promise<Frame> {
    const invocation_id = randomUUID()
    return new Promise((resolve) => {
      this.waiting.set(invocation_id, resolve)
      this.send({ type: 'invokefunction', invocation_id, function_id, data, ...more })
    })
  }

  /** Resolves when everything sent before was read, or the connection has ended. */
  async flushed(): Promise<void> {
    if (this.closed) return
    // Not by a ping: among the frames of a row there may be pings too.
    await Promise.race([this.call('state::get', { scope: 'flushed', key: 'k' }), this.ended])
  }

  terminate(): void {
    this.socket.terminate()
  }

  private receive(frame: Frame): void {
    if (frame.type === 'invocationresult') {
      const answers = this.answers.get(frame.invocation_id) ?? []
      answers.push(frame)
      this.answers.set(frame.invocation_id, answers)
      this.waiting.get(frame.invocation_id)?.(frame)
      this.waiting.delete(frame.invocation_id)
    }
    if (frame.type === 'invokefunction') {
      this.served.push(frame)
      this.handlers.get(frame.function_id)?.(frame)
    }
  }
}
