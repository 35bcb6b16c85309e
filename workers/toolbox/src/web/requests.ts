import type { httpRequest, webFetch } from '@agentos/contracts/toolbox'
import { AgentError, type HandlerContext, type OutputOf, type ParsedInputOf } from '@agentos/sdk'
import type { Settings } from '../settings.ts'
import { decodeText, isText } from './body.ts'
import { type ExchangeResponse, exchange, type Limits } from './exchange.ts'
import type { Guard } from './guard.ts'
import { htmlToText, type PageText } from './html-text.ts'

/** They say where a message ends and who talks to whom, which is not the caller's to say. */
const OWN_HEADERS = new Set([
  ...['host', 'connection', 'content-length', 'transfer-encoding', 'te', 'trailer', 'upgrade', 'keep-alive', 'expect'],
  ...['proxy-authorization', 'proxy-connection', 'accept-encoding', 'http2-settings'],
])
const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9a-z-]+$/

/** Asks the web; both functions go through the same guard. */
export class WebClient {
  private readonly guard: Guard
  private readonly settings: Settings

  constructor(guard: Guard, settings: Settings) {
    this.guard = guard
    this.settings = settings
  }

  async fetchPage(input: ParsedInputOf<typeof webFetch>, ctx: HandlerContext): Promise<OutputOf<typeof webFetch>> {
    const headers = { accept: 'text/html,application/xhtml+xml,text/plain,application/json;q=0.9,*/*;q=0.5' }
    const request = { url: input.url, method: 'GET', headers, signal: ctx.signal }
    const response = await exchange(this.guard, request, this.limits(input.timeoutMs))
    const contentType = response.headers['content-type'] ?? 'text/plain'
    if (!isText(contentType)) {
      throw new AgentError('unsupported_feature', `${response.url} is ${contentType.slice(0, 100)}, which is no text`)
    }
    const page = readPage(response, contentType, input.raw)
    const text = page.text.slice(input.offset, input.offset + input.maxChars)
    const end = input.offset + text.length
    const more = end < page.text.length
    return {
      url: response.url,
      status: response.status,
      contentType,
      title: page.title,
      text,
      truncated: more || response.truncated,
      nextOffset: more ? end : null,
      redirects: response.redirects,
    }
  }

  async request(input: ParsedInputOf<typeof httpRequest>, ctx: HandlerContext): Promise<OutputOf<typeof httpRequest>> {
    const headers = readHeaders(input.headers)
    const bodiless = input.method === 'GET' || input.method === 'HEAD'
    if (bodiless && input.body !== undefined) {
      throw new AgentError('invalid_input', `A request with ${input.method} has no body`)
    }
    const isJson = input.body !== undefined && typeof input.body !== 'string'
    const response = await exchange(
      this.guard,
      {
        url: input.url,
        method: input.method,
        headers: { ...(isJson ? { 'content-type': 'application/json' } : {}), ...headers },
        ...(input.body === undefined ? {} : { body: isJson ? JSON.stringify(input.body) : String(input.body) }),
        signal: ctx.signal,
      },
      this.limits(input.timeoutMs),
    )
    const contentType = response.headers['content-type'] ?? ''
    const text = response.bytes.length === 0 || isText(contentType)
    return {
      url: response.url,
      status: response.status,
      headers: response.headers,
      body: text ? decodeText(response.bytes, contentType) : response.bytes.toString('base64'),
      encoding: text ? 'text' : 'base64',
      truncated: response.truncated,
      redirects: response.redirects,
    }
  }

  private limits(timeoutMs: number | undefined): Limits {
    const { max_body_bytes: bodyBytes, timeout_ms: most, max_redirects: redirects } = this.settings
    return { bodyBytes, redirects, timeoutMs: Math.min(timeoutMs ?? most, most) }
  }
}

function readPage(response: ExchangeResponse, contentType: string, raw: boolean): PageText {
  const source = decodeText(response.bytes, contentType)
  if (raw || !/html/i.test(contentType)) return { title: null, text: source }
  return htmlToText(source, new URL(response.url))
}

function readHeaders(given: Record<string, string>): Record<string, string> {
  const headers: Record<string, string> = {}
  for (const [written, value] of Object.entries(given)) {
    const name = written.toLowerCase()
    if (!HEADER_NAME.test(name) || /[^\t\x20-\x7e\x80-\xff]/.test(value)) {
      throw new AgentError('invalid_input', `The header ${JSON.stringify(written.slice(0, 50))} cannot be sent`)
    }
    if (OWN_HEADERS.has(name)) throw new AgentError('invalid_input', `The header ${name} is set by the toolbox itself`)
    headers[name] = value
  }
  return headers
}
