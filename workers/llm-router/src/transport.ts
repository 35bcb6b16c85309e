import type { Dispatcher } from 'undici'
import type { Provider } from './catalogue.ts'
import { isLoopback, type Settings } from './settings.ts'

/** Largest answer that is read, in bytes. */
const MAX_BODY = 32 * 1024 * 1024
/** Of an error's body, as much as can hold its message. */
const MAX_ERROR_BODY = 64 * 1024

export type Phase = 'connect' | 'firstByte' | 'idle' | 'total'

/** The provider took too long; the socket is closed. */
export class TimedOut extends Error {
  readonly phase: Phase
  readonly afterMs: number

  constructor(phase: Phase, afterMs: number) {
    super(`no answer in time (${phase}, ${afterMs} ms)`)
    this.phase = phase
    this.afterMs = afterMs
  }
}

/** The connection failed or broke. */
export class ConnectionFailed extends Error {}

export class BodyTooLarge extends Error {}

export interface TransportRequest {
  provider: Provider
  method: 'GET' | 'POST'
  path: string
  headers: Record<string, string>
  body?: unknown
  signal: AbortSignal
  timeouts: Settings['timeouts']
}

export interface TransportResponse {
  status: number
  headers: Record<string, string | string[] | undefined>
  /** The body as it comes; leaving the loop closes the socket. */
  chunks: AsyncGenerator<Buffer, void, undefined>
}

/**
 * HTTP to providers. One pool for what goes through the proxy of the environment and one for addresses on this host,
 * which never do. Aborting the signal, or any timeout, destroys the socket at once.
 */
export class Transport {
  private readonly pools = new Map<string, Promise<Dispatcher>>()

  async send(request: TransportRequest): Promise<TransportResponse> {
    const { provider, signal, timeouts } = request
    const { request: httpRequest } = await import('undici')
    const dispatcher = await this.pool(provider.baseUrl, timeouts.connectMs)
    const watch = new Watch(signal, timeouts.totalMs)
    const expect = (phase: Phase) => watch.expect(phase, timeouts[`${phase}Ms`])
    expect('firstByte')
    try {
      const response = await httpRequest(provider.baseUrl + request.path, {
        dispatcher,
        method: request.method,
        headers: {
          accept: 'application/json, text/event-stream',
          ...(request.body === undefined ? {} : { 'content-type': 'application/json' }),
          ...request.headers,
        },
        body: request.body === undefined ? null : bodyText(request.body),
        signal: watch.signal,
        headersTimeout: 0,
        bodyTimeout: 0,
      })
      const chunks = read(response.body, watch, () => expect('idle'))
      return { status: response.statusCode, headers: response.headers, chunks }
    } catch (error) {
      watch.end()
      throw watch.reason(error)
    }
  }

  /** Whole body as text; `limit` cuts off the rest instead of failing. */
  async text(response: TransportResponse): Promise<string> {
    const chunks: Buffer[] = []
    let size = 0
    for await (const chunk of response.chunks) {
      chunks.push(chunk)
      size += chunk.length
      if (response.status >= 400 && size > MAX_ERROR_BODY) break
    }
    return Buffer.concat(chunks).toString('utf8')
  }

  async close(): Promise<void> {
    const pools = await Promise.all(this.pools.values())
    this.pools.clear()
    await Promise.all(pools.map((pool) => pool.destroy()))
  }

  private pool(baseUrl: string, connectMs: number): Promise<Dispatcher> {
    const kind = isLoopback(new URL(baseUrl).hostname) ? 'local' : 'outside'
    let pool = this.pools.get(kind)
    if (!pool) {
      // HTTP/1.1 only: closing a request then closes the socket, which is what stops a provider from generating.
      const options = { allowH2: false, connect: { timeout: connectMs }, keepAliveTimeout: 10_000 }
      pool = import('undici').then(({ Agent, EnvHttpProxyAgent }) =>
        kind === 'local' ? new Agent(options) : new EnvHttpProxyAgent(options),
      )
      this.pools.set(kind, pool)
    }
    return pool
  }
}

/** As JSON; half a letter, as a cut in the middle of one leaves it, would make the provider refuse all of it. */
function bodyText(body: unknown): string {
  const text = JSON.stringify(body)
  if (!/\\ud[89a-f]/.test(text)) return text
  return JSON.stringify(body, (_key, value: unknown) => (typeof value === 'string' ? value.toWellFormed() : value))
}

/** The caller's signal and the timers of a request as one signal. */
class Watch {
  private readonly controller = new AbortController()
  private readonly outer: AbortSignal
  private readonly total: NodeJS.Timeout
  private timer: NodeJS.Timeout | undefined

  constructor(outer: AbortSignal, totalMs: number) {
    this.outer = outer
    this.total = setTimeout(() => this.controller.abort(new TimedOut('total', totalMs)), totalMs)
    if (outer.aborted) this.stop()
    else outer.addEventListener('abort', this.stop)
  }

  get signal(): AbortSignal {
    return this.controller.signal
  }

  expect(phase: Phase, withinMs: number): void {
    clearTimeout(this.timer)
    this.timer = setTimeout(() => this.controller.abort(new TimedOut(phase, withinMs)), withinMs)
  }

  /** While the reader is busy with what came, the provider is not late. */
  pause(): void {
    clearTimeout(this.timer)
  }

  end(): void {
    clearTimeout(this.timer)
    clearTimeout(this.total)
    this.outer.removeEventListener('abort', this.stop)
  }

  /** Why a request ended: our own reason where there is one, since undici's error only repeats it. */
  reason(error: unknown): unknown {
    if (this.outer.aborted) return this.outer.reason
    if (this.signal.aborted) return this.signal.reason
    if (error instanceof BodyTooLarge) return error
    const { code, message } = error as NodeJS.ErrnoException
    if (code === 'UND_ERR_CONNECT_TIMEOUT') return new TimedOut('connect', 0)
    return new ConnectionFailed(code ? `${code}: ${message}` : String(message), { cause: error })
  }

  private readonly stop = () => this.controller.abort(this.outer.reason)
}

async function* read(
  body: AsyncIterable<Buffer> & { destroy(): unknown },
  watch: Watch,
  waiting: () => void,
): AsyncGenerator<Buffer, void, undefined> {
  let size = 0
  const chunks = body[Symbol.asyncIterator]()
  try {
    for (;;) {
      waiting()
      const { value, done } = await chunks.next()
      watch.pause()
      if (done) return
      size += value.length
      if (size > MAX_BODY) throw new BodyTooLarge(`the answer is larger than ${MAX_BODY} bytes`)
      yield value
    }
  } catch (error) {
    throw watch.reason(error)
  } finally {
    watch.end()
    body.destroy()
  }
}
