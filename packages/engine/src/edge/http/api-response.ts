import { validateHeaderName, validateHeaderValue } from 'node:http'
import { isTooDeep } from '@agentos/protocol'
import { isRecord } from './input.ts'

/**
 * Headers of a connection, not of a message, those that are computed here, and those that change what a browser does with
 * all of our origin (who is let in, whom it asks for a password, what it has stored, which scripts stand between, where it
 * turns to next time).
 */
const NOT_THEIRS = new Set([
  'set-cookie',
  'set-cookie2',
  'set-login',
  'clear-site-data',
  'service-worker-allowed',
  'alt-svc',
  'strict-transport-security',
  'public-key-pins',
  'nel',
  'report-to',
  'reporting-endpoints',
  'origin-agent-cluster',
  'accept-ch',
  'critical-ch',
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authenticate',
  'www-authenticate',
  'speculation-rules',
  'refresh',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'content-length',
])

export interface ResponseHead {
  status: number
  /** Lower-case names. */
  headers: Map<string, string>
}

export function newHead(): ResponseHead {
  return { status: 200, headers: new Map() }
}

/** Applies a text frame of a streamed response: `set_status` or `set_headers`; anything else is none of ours. */
export function applyControl(head: ResponseHead, frame: string): void {
  let message: unknown
  if (isTooDeep(frame)) return
  try {
    message = JSON.parse(frame)
  } catch {
    return
  }
  if (!isRecord(message)) return
  if (message.type === 'set_status') head.status = statusOf(message.status_code)
  if (message.type === 'set_headers') addHeaders(head, message.headers)
}

/** The protocol's response object as head and body. What is no such object is 200 and `{}`. */
export function bufferedResponse(value: unknown): { head: ResponseHead; body: string } {
  const head = newHead()
  const response = isRecord(value) ? value : {}
  head.status = statusOf(response.status_code)
  addHeaders(head, response.headers)
  const body = 'body' in response ? response.body : {}
  const contentType = head.headers.get('content-type')
  if (contentType === undefined) {
    head.headers.set('content-type', 'application/json')
    return { head, body: JSON.stringify(body) }
  }
  if (typeof body === 'string') return { head, body }
  return { head, body: body === null ? '' : JSON.stringify(body) }
}

function statusOf(status: unknown): number {
  return typeof status === 'number' && Number.isInteger(status) && status >= 200 && status <= 599 ? status : 200
}

/** A map, or a list of `Name: value`; what is no valid header is left out. */
function addHeaders(head: ResponseHead, headers: unknown): void {
  if (Array.isArray(headers)) {
    for (const line of headers) {
      if (typeof line !== 'string') continue
      const colon = line.indexOf(':')
      if (colon > 0) addHeader(head, line.slice(0, colon).trim(), line.slice(colon + 1).trim())
    }
  } else if (isRecord(headers)) {
    for (const [name, value] of Object.entries(headers)) if (typeof value === 'string') addHeader(head, name, value)
  }
}

function addHeader(head: ResponseHead, name: string, value: string): void {
  const lower = name.toLowerCase()
  if (NOT_THEIRS.has(lower)) return
  try {
    validateHeaderName(name)
    validateHeaderValue(name, value)
  } catch {
    return
  }
  head.headers.set(lower, value)
}
