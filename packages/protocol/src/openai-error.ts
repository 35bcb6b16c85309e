import { errorInfo } from './errors.ts'
import type { ErrorBody } from './frames.ts'

/** An error as clients of OpenAI's API read it. `param` is the field of the request that is to blame, where one is. */
export interface OpenAiError {
  status: number
  headers: { 'x-should-retry'?: 'false' }
  body: { error: { message: string; type: string; param: string | null; code: string } }
}

/**
 * Statuses that differ from the registry's: what a request can never get right by being sent again has none that
 * OpenAI's clients repeat by themselves (408, 409, 429 and everything from 500 on).
 */
const STATUS: Record<string, number> = {
  quota_exceeded: 402,
  upstream_rejected: 400,
  content_filter: 400,
}

/** Codes that OpenAI's clients know under another name. */
const NAMES: Record<string, string> = {
  unauthorized: 'invalid_api_key',
  context_overflow: 'context_length_exceeded',
  rate_limited: 'rate_limit_exceeded',
  quota_exceeded: 'insufficient_quota',
}

const TYPES: Record<number, string> = {
  401: 'authentication_error',
  402: 'insufficient_quota',
  403: 'permission_error',
  429: 'rate_limit_error',
}

/** `details.param` names a field. Where repeating is of no use, `x-should-retry: false` says so to clients that ask. */
export function openAiError({ code, message, details }: ErrorBody): OpenAiError {
  const info = errorInfo(code)
  const terminal = info.class === 'terminal'
  const status = STATUS[code] ?? (terminal && info.status === 409 ? 400 : info.status)
  const type = TYPES[status] ?? (status < 500 ? 'invalid_request_error' : 'api_error')
  return {
    status,
    headers: terminal ? { 'x-should-retry': 'false' } : {},
    body: { error: { message, type, param: paramOf(details), code: NAMES[code] ?? code } },
  }
}

/** Paths that clients of OpenAI's API call, served here or not: what is refused there is refused in its words. */
export function isOpenAiPath(path: string): boolean {
  return /^\/(v1|api)\/(chat\/completions|completions|models|embeddings|responses|moderations|audio|images)(\/|$)/.test(
    path,
  )
}

function paramOf(details: unknown): string | null {
  if (typeof details !== 'object' || details === null || !('param' in details)) return null
  return typeof details.param === 'string' ? details.param : null
}
