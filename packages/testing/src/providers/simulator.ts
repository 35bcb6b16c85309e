import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { answerAt, type RecordedRequest, type Script, type SimulatedAnswer } from './script.ts'

/** A request that the real API would refuse: its status and the body that it answers. */
export class Refused extends Error {
  readonly status: number
  readonly body: unknown

  constructor(status: number, body: unknown) {
    super(`refused with ${status}: ${JSON.stringify(body)}`)
    this.status = status
    this.body = body
  }
}

export interface StreamEvent {
  event?: string
  data: unknown
}

/** How one wire format looks from the provider's side. */
export interface Dialect {
  /** Appended to the simulator's address to make the base URL of a client. */
  basePath: string
  /** Throws `Refused` for what the API refuses; tells whether the answer is to be streamed. */
  check(request: RecordedRequest, options: Required<SimulatorOptions>): { stream: boolean }
  whole(answer: SimulatedAnswer, request: RecordedRequest): unknown
  /** Events in order; `[DONE]` is one with that text as data. */
  events(answer: SimulatedAnswer, request: RecordedRequest): StreamEvent[]
  /** An error body in this API's shape. */
  error(status: number, message: string, type?: string): unknown
  /** The event by which a stream reports an error. */
  errorEvent(message: string): StreamEvent
  models(names: readonly string[]): unknown
}

export interface SimulatorOptions {
  /** @default 'test-key' */
  key?: string
  /** Models that exist; empty takes any. @default [] */
  models?: readonly string[]
  /** Takes requests without a key, as servers on the own host do. @default false */
  keyless?: boolean
}

/** A strict stand-in for a provider's API, listening on 127.0.0.1. */
export class Simulator {
  /** Base URL for a client's settings. */
  readonly url: string
  readonly key: string
  /** Chat requests that were understood and those that were refused, in order. */
  readonly requests: RecordedRequest[] = []
  readonly refused: Refused[] = []
  private readonly server: Server
  private readonly sockets: Set<Socket>
  private script: Script

  constructor(server: Server, sockets: Set<Socket>, url: string, key: string, script: Script) {
    this.server = server
    this.sockets = sockets
    this.url = url
    this.key = key
    this.script = script
  }

  /** Sockets that clients hold open now. */
  get openSockets(): number {
    return this.sockets.size
  }

  /** Requests that are being answered now. */
  answering = 0

  /** Replaces what is answered from the next request on, which counts as the first. */
  play(script: Script): void {
    this.script = script
    this.requests.length = 0
    this.refused.length = 0
  }

  answer(request: RecordedRequest): SimulatedAnswer {
    return answerAt(this.script, request)
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy()
    await new Promise<void>((resolve) => this.server.close(() => resolve()))
  }
}

const BODY_LIMIT = 32 * 1024 * 1024

export async function startSimulator(
  dialect: Dialect,
  script: Script,
  options: SimulatorOptions = {},
): Promise<Simulator> {
  const settled = { key: 'test-key', models: [], keyless: false, ...options }
  const sockets = new Set<Socket>()
  let simulator: Simulator
  const server = createServer((request, response) => {
    simulator.answering += 1
    response.once('close', () => {
      simulator.answering -= 1
    })
    handle(simulator, dialect, settled, request, response).catch(() => response.destroy())
  })
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  simulator = new Simulator(server, sockets, `http://127.0.0.1:${port}${dialect.basePath}`, settled.key, script)
  return simulator
}

async function handle(
  simulator: Simulator,
  dialect: Dialect,
  options: Required<SimulatorOptions>,
  message: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of message) {
    size += (chunk as Buffer).length
    if (size > BODY_LIMIT) return json(response, 413, dialect.error(413, 'Request too large', 'request_too_large'))
    chunks.push(chunk as Buffer)
  }
  const request: RecordedRequest = {
    method: message.method ?? '',
    path: message.url ?? '',
    headers: message.headers as Record<string, string | undefined>,
    body: {},
    bodyText: Buffer.concat(chunks).toString('utf8'),
    index: simulator.requests.length,
  }
  try {
    if (request.method === 'POST') request.body = parse(request.bodyText, dialect)
    const { stream } = dialect.check(request, options)
    if (request.method === 'GET') return json(response, 200, dialect.models(options.models))
    simulator.requests.push(request)
    await reply(dialect, simulator.answer(request), request, stream, response)
  } catch (error) {
    if (!(error instanceof Refused)) throw error
    simulator.refused.push(error)
    json(response, error.status, error.body)
  }
}

function parse(text: string, dialect: Dialect): Record<string, unknown> {
  try {
    return JSON.parse(text, (_key, value) => {
      if (typeof value === 'string' && !value.isWellFormed()) throw new SyntaxError('no low surrogate in string')
      return value
    }) as Record<string, unknown>
  } catch {
    throw new Refused(400, dialect.error(400, 'We could not parse the JSON body of your request.'))
  }
}

async function reply(
  dialect: Dialect,
  answer: SimulatedAnswer,
  request: RecordedRequest,
  asked: boolean,
  response: ServerResponse,
): Promise<void> {
  const { fault, form, delayMs = 0 } = answer
  const stream = form ? form === 'streamed' : asked
  if (fault?.kind === 'hang') return
  if (fault?.kind === 'status') {
    const { status, retryAfterSeconds, type, message = `simulated ${status}` } = fault
    const headers = retryAfterSeconds === undefined ? {} : { 'retry-after': String(retryAfterSeconds) }
    return json(response, status, dialect.error(status, message, type), headers)
  }
  if (!stream) {
    await answer.midway?.()
    return whole(dialect, answer, request, response)
  }
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  const events = dialect.events(answer, request)
  if (answer.rewritten) return void response.end(answer.rewritten(events.map(written).join('')))
  const half = Math.max(1, Math.floor(events.length / 2))
  for (const [index, event] of events.entries()) {
    if (index === half && fault && fault.kind !== 'stream-error') return breakOff(fault.kind, response)
    if (index === half && fault) return void response.end(written(dialect.errorEvent('simulated overload')))
    if (index === half) await answer.midway?.()
    response.write(written(event))
    if (delayMs > 0) await delay(delayMs)
    if (response.destroyed) return
  }
  response.end()
}

function whole(dialect: Dialect, answer: SimulatedAnswer, request: RecordedRequest, response: ServerResponse): void {
  const text = JSON.stringify(dialect.whole(answer, request))
  response.setHeader('content-type', 'application/json')
  if (answer.rewritten) return void response.end(answer.rewritten(text))
  switch (answer.fault?.kind) {
    case undefined:
      return void response.end(text)
    case 'bad-json':
      return void response.end(text.slice(0, -2))
    case 'stream-error':
      return json(response, 500, dialect.error(500, 'simulated overload'))
    case 'long-line':
      return void response.end(`{"padding":"${'x'.repeat(40_000_000)}"}`)
    case 'stall':
      return void response.write(text.slice(0, text.length / 2))
    default:
      response.setHeader('content-length', text.length)
      response.write(text.slice(0, text.length / 2), () => response.destroy())
  }
}

function breakOff(
  kind: Exclude<NonNullable<SimulatedAnswer['fault']>['kind'], 'stream-error'>,
  response: ServerResponse,
): void {
  if (kind === 'half') response.end()
  else if (kind === 'reset') response.socket?.resetAndDestroy()
  else if (kind === 'bad-json') response.end('data: {"this is": not json\n\n')
  else if (kind === 'long-line') response.end(`data: ${'x'.repeat(10_000_000)}\n\n`)
}

function written({ event, data }: StreamEvent): string {
  const text = typeof data === 'string' ? data : JSON.stringify(data)
  return `${event === undefined ? '' : `event: ${event}\n`}data: ${text}\n\n`
}

function json(response: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers })
  response.end(JSON.stringify(body))
}
