import type { IncomingMessage, ServerResponse } from 'node:http'
import { EngineError, type ErrorBody, isOpenAiPath, openAiError } from '@agentos/protocol'
import { parseTraceparent } from '../../core/authority.ts'
import { DEFAULT_REALM } from '../../core/context.ts'
import type { Ports } from '../../core/ports.ts'
import type { SpanFeed } from '../../core/spans.ts'
import type { Identity } from '../identity.ts'
import { problemOf, retryAfter } from './problem.ts'

export interface ExchangeParts {
  ports: Pick<Ports, 'clock' | 'ids' | 'timers' | 'log'>
  spans: SpanFeed
  onFinish(exchange: Exchange): void
}

/** One request and its answer: a span, its trace, and the ways to answer. */
export class Exchange {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly method: string
  /** Percent-encoded, as it came. */
  readonly path: string
  readonly query: URLSearchParams
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId: string | undefined
  /** For metrics and the span; set once it is known. */
  route = ''
  functionId: string | undefined
  identity: Identity | undefined
  errorCode: string | undefined
  /** Small, always-there answers leave no span. */
  traced = true
  readonly startMs: number
  private readonly parts: ExchangeParts
  private readonly startedAt: number

  constructor(request: IncomingMessage, response: ServerResponse, parts: ExchangeParts) {
    this.request = request
    this.response = response
    this.parts = parts
    this.method = request.method ?? 'GET'
    const url = request.url ?? '/'
    const mark = url.indexOf('?')
    this.path = mark === -1 ? url : url.slice(0, mark)
    this.query = new URLSearchParams(mark === -1 ? '' : url.slice(mark + 1))
    const parent = parseTraceparent(this.header('traceparent'))
    this.traceId = parent?.traceId ?? parts.ports.ids.hex(16)
    this.parentSpanId = parent?.spanId
    this.spanId = parts.ports.ids.hex(8)
    this.startMs = parts.ports.clock.precise()
    this.startedAt = parts.ports.clock.monotonic()
    response.setHeader('traceparent', `00-${this.traceId}-${this.spanId}-01`)
    response.setHeader('x-trace-id', this.traceId)
    response.setHeader('x-content-type-options', 'nosniff')
    response.once('close', () => this.finish())
  }

  get ports(): ExchangeParts['ports'] {
    return this.parts.ports
  }

  /** The client left before it had the whole answer. */
  get abandoned(): boolean {
    return this.response.closed && !this.response.writableFinished
  }

  get durationMs(): number {
    return this.ports.clock.monotonic() - this.startedAt
  }

  /** One value of a header; of repeated ones the last counts. */
  header(name: string): string | undefined {
    const value = this.request.headers[name]
    return Array.isArray(value) ? value[value.length - 1] : value
  }

  /** Who is calling; only for routes that were let through. */
  get caller(): Identity {
    if (!this.identity) throw new Error('The caller of this request is not known yet')
    return this.identity
  }

  send(status: number, headers: Record<string, string | string[]>, body?: string | Buffer): void {
    const { response } = this
    if (response.headersSent || response.closed) return
    const length = body === undefined ? 0 : Buffer.byteLength(body)
    const bodiless = status === 204 || status === 304
    response.writeHead(status, bodiless ? headers : { ...headers, 'content-length': String(length) })
    response.end(bodiless ? undefined : body)
  }

  /** `body` is a value, or JSON text already. */
  json(status: number, body: { value: unknown } | { text: string | Buffer }): void {
    const text = 'text' in body ? body.text : JSON.stringify(body.value ?? null)
    this.send(status, { 'content-type': 'application/json', 'cache-control': 'no-store' }, text)
  }

  /** Answers with problem+json, to clients of OpenAI's API with its kind of error; `members` are added to a problem. */
  problem(
    error: ErrorBody,
    options: { status?: number; members?: object; headers?: Record<string, string> } = {},
  ): void {
    const theirs = options.members === undefined && isOpenAiPath(this.path) ? openAiError(error) : undefined
    const problem = problemOf(error, this.traceId, options.status)
    const status = theirs?.status ?? problem.status
    this.errorCode = error.code
    const wait = retryAfter(error, status)
    this.send(
      status,
      {
        'content-type': theirs ? 'application/json' : 'application/problem+json',
        'cache-control': 'no-store',
        ...(wait === undefined ? {} : { 'retry-after': wait }),
        ...(status === 401 ? { 'www-authenticate': 'Bearer realm="agentos"' } : {}),
        ...theirs?.headers,
        ...options.headers,
      },
      JSON.stringify(theirs?.body ?? { ...problem, ...options.members }),
    )
  }

  /** Anything thrown: an error with a code is told, the rest is logged and told apart by its trace. */
  fail(error: unknown): void {
    if (error instanceof EngineError) return this.problem(error.toBody())
    this.ports.log.error(
      { err: error, trace_id: this.traceId, path: this.path.slice(0, 200) },
      'A request failed inside',
    )
    this.problem({ code: 'internal', message: 'Something inside failed; the log has it under this trace id' })
  }

  /**
   * Refuses a body that will not be read. The rest of it is thrown away for a moment: closing a socket with unread
   * bytes resets it, and the client would never see why.
   */
  refuseBody(error: ErrorBody): void {
    this.problem(error)
    const { request, ports } = this
    request.resume()
    const timer = ports.timers.set(1_000, () => request.destroy())
    request.once('close', () => ports.timers.clear(timer))
  }

  private finish(): void {
    this.parts.onFinish(this)
    if (!this.traced) return
    const { statusCode } = this.response
    const failed = statusCode >= 500 || this.errorCode !== undefined || this.abandoned
    this.parts.spans.record({
      traceId: this.traceId,
      spanId: this.spanId,
      ...(this.parentSpanId === undefined ? {} : { parentSpanId: this.parentSpanId }),
      name: `${this.method} ${this.route || this.path.slice(0, 200)}`,
      kind: 'http',
      startMs: this.startMs,
      endMs: this.startMs + this.durationMs,
      status: failed ? 'error' : 'ok',
      ...(failed
        ? { statusMessage: this.errorCode ?? (this.abandoned ? 'The client went away' : `${statusCode}`) }
        : {}),
      service: 'engine',
      realm: this.identity?.realm ?? DEFAULT_REALM,
      attributes: {
        'http.request.method': this.method,
        'http.response.status_code': statusCode,
        'url.path': this.path.slice(0, 500),
        ...(this.route ? { 'http.route': this.route } : {}),
        ...(this.functionId === undefined ? {} : { function_id: this.functionId }),
      },
    })
  }
}
