import type { LookupFunction } from 'node:net'
import { AgentError } from '@agentos/sdk'
import { ACCEPTED_ENCODINGS, type Body, readBody } from './body.ts'
import type { Guard, Target } from './guard.ts'
import { refuse } from './refusal.ts'

export interface Limits {
  bodyBytes: number
  timeoutMs: number
  redirects: number
}

export interface ExchangeRequest {
  url: string
  method: string
  /** Names in small letters. */
  headers: Record<string, string>
  body?: string
  signal: AbortSignal
}

export interface ExchangeResponse extends Body {
  url: string
  status: number
  headers: Record<string, string>
  redirects: string[]
}

interface Hop extends Body {
  status: number
  headers: Record<string, string>
}

const REDIRECTS = new Set([301, 302, 303, 307, 308])
const USER_AGENT = 'AgentOS/0.1 (toolbox)'
/** What tells nobody who asks, and so goes along to another origin. */
const HARMLESS = new Set(['accept', 'accept-language', 'user-agent'])

/** Sends a request to what the guard allows; every redirect is checked like the first address. */
export async function exchange(guard: Guard, request: ExchangeRequest, limits: Limits): Promise<ExchangeResponse> {
  const timeout = AbortSignal.timeout(limits.timeoutMs)
  const signal = AbortSignal.any([request.signal, timeout])
  const follows = request.method === 'GET' || request.method === 'HEAD'
  const redirects: string[] = []
  let { headers } = request
  try {
    let target = await until(signal, guard.check(request.url))
    for (;;) {
      const hop = await sendOnce(target, { ...request, headers }, signal, limits.bodyBytes)
      const location = REDIRECTS.has(hop.status) && follows ? hop.headers.location : undefined
      if (location === undefined) return { ...hop, url: target.url.href, redirects }
      redirects.push(target.url.href)
      if (redirects.length > limits.redirects) {
        throw new AgentError('upstream_rejected', `${request.url} redirects more than ${limits.redirects} times`)
      }
      const next = await until(signal, guard.check(location, target.url))
      if (target.url.protocol === 'https:' && next.url.protocol === 'http:') {
        throw refuse('downgrade', next.url.href, 'A redirect from https to http is not followed')
      }
      if (next.url.origin !== target.url.origin) {
        headers = Object.fromEntries(Object.entries(headers).filter(([name]) => HARMLESS.has(name)))
      }
      target = next
    }
  } catch (error) {
    if (request.signal.aborted) throw new AgentError('cancelled', 'The request was cancelled', { cause: error })
    if (timeout.aborted) {
      throw new AgentError('upstream_timeout', `${request.url} did not answer within ${limits.timeoutMs} ms`)
    }
    if (error instanceof AgentError) throw error
    const reason = (error as NodeJS.ErrnoException).code ?? (error as Error).message
    throw new AgentError('upstream_error', `The request to ${request.url} failed: ${reason}`, { cause: error })
  }
}

async function sendOnce(target: Target, request: ExchangeRequest, signal: AbortSignal, limit: number): Promise<Hop> {
  const { request: send } = await import('undici')
  const agent = await connectOnlyTo(target)
  try {
    const response = await send(target.url, {
      dispatcher: agent,
      method: request.method as 'GET',
      headers: { 'user-agent': USER_AGENT, accept: '*/*', 'accept-encoding': ACCEPTED_ENCODINGS, ...request.headers },
      body: request.body ?? null,
      signal,
    })
    const headers = Object.fromEntries(
      Object.entries(response.headers).map(([name, value]) => [
        name,
        Array.isArray(value) ? value.join(', ') : `${value}`,
      ]),
    )
    const { 'content-encoding': encoding = '' } = headers
    // What a redirect says beside its address is not read.
    const most = REDIRECTS.has(response.statusCode) && headers.location ? 1_000 : limit
    const body = await readBody(response.body, request.method === 'HEAD' ? '' : encoding, most)
    return { ...body, status: response.statusCode, headers }
  } finally {
    // No connection outlives its check.
    await agent.destroy()
  }
}

/** Connects to the addresses that were checked, without asking for the name again, and looks at where it arrived. */
async function connectOnlyTo({ url, addresses }: Target) {
  const { Agent, buildConnector } = await import('undici')
  const lookup: LookupFunction = (_host, options, answer) => {
    if (options.all) answer(null, addresses)
    else answer(null, addresses[0]!.address, addresses[0]!.family)
  }
  const connector = buildConnector({ lookup, timeout: 10_000, maxCachedSessions: 0 } as Parameters<
    typeof buildConnector
  >[0])
  return new Agent({
    pipelining: 0,
    maxHeaderSize: 32 * 1_024,
    connect: (options, done) =>
      connector(options, (...result) => {
        const [error, socket] = result
        if (error) return done(error, null)
        if (addresses.some(({ address }) => address === socket.remoteAddress)) return done(null, socket)
        const arrived = socket.remoteAddress ?? 'nowhere'
        socket.destroy()
        done(refuse('address_changed', url.href, `The connection to ${url.hostname} arrived at ${arrived}`), null)
      }),
  })
}

/** Looking up a name cannot be cancelled; its caller can be let go. */
function until<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = (): void => reject(signal.reason)
    if (signal.aborted) stop()
    signal.addEventListener('abort', stop, { once: true })
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop))
  })
}
