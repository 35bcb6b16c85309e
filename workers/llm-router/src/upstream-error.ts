import { AgentError, knownSecrets } from '@agentos/sdk'
import type { ModelChoice } from './catalogue.ts'

/** Kinds that another attempt at the same provider may cure. */
const RETRYABLE = new Set(['rate_limited', 'upstream_error', 'upstream_timeout'])
/** Kinds that another provider may not have. */
const ELSEWHERE = new Set([
  ...RETRYABLE,
  'upstream_auth',
  'upstream_quota',
  'model_not_found',
  'not_configured',
  'overloaded',
])
/** Kinds that say something about the health of the provider rather than about the request. */
const UNHEALTHY = new Set(['upstream_error', 'upstream_timeout'])

export type UpstreamCode =
  | 'upstream_auth'
  | 'upstream_quota'
  | 'upstream_rejected'
  | 'upstream_error'
  | 'upstream_timeout'
  | 'rate_limited'
  | 'model_not_found'
  | 'context_overflow'
  | 'content_filter'

export interface UpstreamFacts {
  status?: number
  /** What the provider calls it. */
  kind?: string
  retryAfterMs?: number
  /** Of the model, where a refusal as too long says it beside its words. */
  contextTokens?: number
}

/** A failure of a provider, typed; details name provider and model, status and the provider's own message. */
export function upstreamError(
  code: UpstreamCode,
  { provider, model }: ModelChoice,
  message: string,
  facts: UpstreamFacts = {},
  cause?: unknown,
): AgentError {
  const details = { provider, model, ...facts, message }
  return new AgentError(code, `${provider}/${model}: ${message}`, {
    details,
    ...(cause === undefined ? {} : { cause }),
  })
}

export function isRetryable(error: unknown): boolean {
  return error instanceof AgentError && RETRYABLE.has(error.code)
}

export function mayWorkElsewhere(error: unknown): boolean {
  return error instanceof AgentError && ELSEWHERE.has(error.code)
}

export function isUnhealthy(error: unknown): boolean {
  return error instanceof AgentError && UNHEALTHY.has(error.code)
}

export function retryAfterOf(error: unknown): number | undefined {
  if (!(error instanceof AgentError)) return undefined
  const { retryAfterMs } = (error.details ?? {}) as { retryAfterMs?: unknown }
  return typeof retryAfterMs === 'number' ? retryAfterMs : undefined
}

/** What a provider's error body says, whatever its format. */
interface ProviderError {
  message: string
  /** Its code, type or status, as one text. */
  kind: string
  retryAfterMs: number | undefined
  contextTokens?: number | undefined
}

/** An answer that is no success, as a typed error. `secrets` are cut out of the provider's message. */
export function fromResponse(
  choice: ModelChoice,
  status: number,
  headers: Record<string, string | string[] | undefined>,
  body: string,
  secrets: readonly string[],
): AgentError {
  // Before anything is cut: half a key is a secret too.
  const error = readError(withoutSecrets(body, secrets))
  const message = shortened(error.message || `status ${status} without a message`)
  const retryAfterMs = retryAfter(headers) ?? error.retryAfterMs
  return upstreamError(codeOf(status, error), choice, message, {
    status,
    ...(error.kind === '' ? {} : { kind: error.kind }),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    ...contextOf(error),
  })
}

/** Whether a body of status 200 that is no answer says, in some provider's way, what went wrong. */
export function saysError(body: unknown): boolean {
  return readErrorValue(body).message !== ''
}

/** An error that came with status 200: in a stream which had begun, or as the whole body. */
export function fromStream(choice: ModelChoice, body: unknown, secrets: readonly string[]): AgentError {
  const error = readErrorValue(JSON.parse(withoutSecrets(JSON.stringify(body ?? null), secrets)))
  const message = shortened(error.message || 'the provider reported an error')
  const status = statusOf(error.kind, body)
  const facts = { ...(error.kind === '' ? {} : { kind: error.kind }), ...contextOf(error) }
  return upstreamError(codeOf(status, error), choice, message, facts)
}

function codeOf(status: number, { message, kind }: ProviderError): UpstreamCode {
  const text = `${kind} ${message}`
  if (
    /insufficient_quota|billing_error|credit balance|insufficient balance|payment required/i.test(text) ||
    status === 402
  ) {
    return 'upstream_quota'
  }
  if (status === 401 || /API_KEY_INVALID|api key not valid|invalid_api_key|authentication_error/i.test(text)) {
    return 'upstream_auth'
  }
  if (status === 403) return 'upstream_auth'
  if (status === 429 || /rate_limit|RESOURCE_EXHAUSTED/.test(kind)) return 'rate_limited'
  if (status === 408 || status === 504 || /DEADLINE_EXCEEDED|timeout_error/.test(kind)) return 'upstream_timeout'
  if (status >= 500) return 'upstream_error'
  if (status === 413 || isOverflow(text)) return 'context_overflow'
  if (/content_filter|content_policy|PROHIBITED_CONTENT|safety system/i.test(text)) return 'content_filter'
  if (status === 404 || /model_not_found/.test(kind)) return 'model_not_found'
  return 'upstream_rejected'
}

function isOverflow(text: string): boolean {
  return /context_length_exceeded|context (?:length|window|size|overflow)|(?:prompt|input) is too long|maximum prompt length|exceeds the maximum number of tokens|exceeds the available context|too many tokens|input token count|reduce the length of the (?:messages|prompt|input)/i.test(
    text,
  )
}

function readError(body: string): ProviderError {
  try {
    return readErrorValue(JSON.parse(body))
  } catch {
    // A proxy's HTML page says nothing that a person could use.
    const text = body.trimStart().startsWith('<') ? '' : body.trim()
    return { message: text, kind: '', retryAfterMs: undefined }
  }
}

/** What is wrong, out of what stands around it. */
function errorIn(value: unknown): unknown {
  const outer = first(value) as Record<string, unknown> | null | undefined
  // MiniMax's, which also comes with what is no error.
  const status = outer?.base_resp as { status_code?: unknown } | null | undefined
  return first(outer?.error ?? outer?.errors ?? (status?.status_code ? status : outer))
}

function first(value: unknown): unknown {
  return Array.isArray(value) ? value[0] : value
}

function readErrorValue(value: unknown): ProviderError {
  const inner = errorIn(value)
  const contextTokens = contextIn(value)
  if (typeof inner === 'string') return { message: inner, kind: '', retryAfterMs: undefined, contextTokens }
  const fields = (typeof inner === 'object' && inner !== null ? inner : {}) as Record<string, unknown>
  const words = [fields.type, fields.code, fields.status, ...reasons(fields.details)]
  // `detail` and `msg` are those of frameworks in front of a model.
  const message = [fields.message, fields.detail, fields.msg, fields.status_msg].find(
    (text) => typeof text === 'string',
  )
  return {
    message: (message as string | undefined) ?? '',
    kind: [...new Set(words.filter((word) => typeof word === 'string'))].join(' '),
    retryAfterMs: retryDelay(fields.details),
    contextTokens,
  }
}

/** The names that servers have for how much a model takes, without case, `_` and `-`. */
const CONTEXT =
  /^(nctx|(max)?(model)?context(window|length|size|limit)?|maxcontexttokens|maxmodellen(gth)?|modelmaxlen(gth)?|max(input|prompt)(tokens|length)|(input|prompt)tokenlimit)$/
/** No model takes less; a smaller number means something else. */
const LEAST_CONTEXT = 256

/** The least of the sizes that an error names as a model's context, wherever they stand. */
function contextIn(value: unknown, depth = 0): number | undefined {
  if (typeof value !== 'object' || value === null || depth > 8) return undefined
  const sizes = Object.entries(value).flatMap(([name, one]) => {
    const isText = typeof one === 'string' && /^\d+$/.test(one)
    if (typeof one !== 'number' && !isText) return contextIn(one, depth + 1) ?? []
    const isSize = CONTEXT.test(name.toLowerCase().replaceAll(/[_-]/g, '')) && Number(one) >= LEAST_CONTEXT
    return isSize ? Number(one) : []
  })
  return sizes.length > 0 ? Math.min(...sizes) : undefined
}

function contextOf({ contextTokens }: ProviderError): Pick<UpstreamFacts, 'contextTokens'> {
  return contextTokens === undefined ? {} : { contextTokens }
}

function reasons(details: unknown): unknown[] {
  return Array.isArray(details) ? details.map((detail: { reason?: unknown } | null) => detail?.reason) : []
}

/** Google's RetryInfo: `{"retryDelay": "34s"}`. */
function retryDelay(details: unknown): number | undefined {
  if (!Array.isArray(details)) return undefined
  for (const detail of details as ({ retryDelay?: unknown } | null)[]) {
    const seconds = typeof detail?.retryDelay === 'string' ? Number.parseFloat(detail.retryDelay) : Number.NaN
    if (Number.isFinite(seconds)) return Math.ceil(seconds * 1000)
  }
  return undefined
}

/** The status that an error of status 200 would have had. */
function statusOf(kind: string, body: unknown): number {
  if (/overloaded|unavailable|server_error|internal|api_error/i.test(kind)) return 500
  const outer = first(body) as { code?: unknown } | null | undefined
  const { code, status } = (errorIn(body) ?? {}) as { code?: unknown; status?: unknown }
  const named = [code, status, outer?.code].map(Number).find((number) => number >= 400 && number < 600)
  return named ?? (/invalid_request/i.test(kind) ? 400 : 500)
}

function retryAfter(headers: Record<string, string | string[] | undefined>): number | undefined {
  const milliseconds = Number.parseFloat(String(headers['retry-after-ms'] ?? ''))
  if (Number.isFinite(milliseconds)) return Math.max(0, Math.ceil(milliseconds))
  const value = headers['retry-after']
  if (value === undefined) return undefined
  const text = String(value)
  if (/^\s*\d+(\.\d+)?\s*$/.test(text)) return Math.ceil(Number(text) * 1000)
  const at = Date.parse(text)
  return Number.isNaN(at) ? undefined : Math.max(0, at - Date.now())
}

/** Providers repeat a wrong key, or its ends, in their errors. */
function withoutSecrets(given: string, secrets: readonly string[]): string {
  for (const secret of secrets) knownSecrets.learn(secret)
  return knownSecrets
    .text(given, '[key]')
    .replace(/\b(sk|gsk|pk|xai|key|AIza)[-_]?[A-Za-z0-9_-]{0,300}\*{2}[A-Za-z0-9_*-]*/g, '[key]')
}

function shortened(message: string): string {
  return message.slice(0, 500)
}
