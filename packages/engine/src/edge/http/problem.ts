import { type ErrorBody, errorInfo } from '@agentos/protocol'

/** Wait that is advised where nobody knows better. */
const DEFAULT_RETRY_MS = 1_000

/** An error as RFC 9457 writes it. Unknown codes are failures of a handler. */
export interface Problem {
  type: string
  title: string
  status: number
  detail: string
  code: string
  /** What the reader can do. */
  next: string
  retryable: boolean
  trace_id: string
  details?: unknown
}

export function problemOf(error: ErrorBody, traceId: string, status?: number): Problem {
  const info = errorInfo(error.code)
  return {
    type: `urn:agentos:error:${error.code}`,
    title: info.title,
    status: status ?? info.status,
    detail: error.message,
    code: error.code,
    next: nextOf(error, traceId) ?? info.next,
    retryable: info.class === 'retryable' && !needsOwner(error),
    trace_id: traceId,
    ...(error.details === undefined ? {} : { details: error.details }),
  }
}

/** What to do about this one error, where its facts say more than its code. */
function nextOf(error: ErrorBody, traceId: string): string | undefined {
  const { code, details } = error
  const held = heldWorker(error)
  if (held !== undefined) {
    return `It is started again by \`npm run agentos -- restart ${held}\`; \`npm run agentos -- status\` and \`npm run agentos -- logs ${held}\` say why it ended.`
  }
  const missing = missingSupervisor(error)
  if (missing === 'gone') return '`npm run agentos -- stop` ends what is left, and `npm start` starts all of it anew.'
  if (missing === 'none')
    return 'End the process and start it where it was started; `npm start` would do that by itself.'
  if (typeof details !== 'object' || details === null) return undefined
  const { owner, functionId, worker } = details as { owner?: unknown; functionId?: unknown; worker?: unknown }
  if (code === 'forbidden' && typeof owner === 'string') {
    return `Call one of the functions of ${owner}: \`npm run agentos -- functions ${owner}\` lists them.`
  }
  if (code === 'invocation_failed' && typeof functionId === 'string') {
    const log =
      typeof worker === 'string' ? `\`npm run agentos -- logs ${worker}\`` : 'the output of the process that serves it'
    return `${functionId} threw it: \`npm run agentos -- trace ${traceId}\` shows where, and ${log} has the stack.`
  }
  return undefined
}

/** Nobody helps by waiting: its owner has to do something first. */
const needsOwner = (error: ErrorBody): boolean =>
  heldWorker(error) !== undefined || missingSupervisor(error) !== undefined

/** Where nobody starts workers: its supervisor is `gone`, or there was `none`. */
function missingSupervisor({ code, details }: ErrorBody): 'gone' | 'none' | undefined {
  if (code !== 'worker_unavailable' || typeof details !== 'object' || details === null) return undefined
  const { supervisor } = details as { supervisor?: unknown }
  return supervisor === 'gone' || supervisor === 'none' ? supervisor : undefined
}

/** The worker that has to be started by its owner before the same request can succeed. */
function heldWorker({ code, details }: ErrorBody): string | undefined {
  if (code !== 'worker_unavailable' || typeof details !== 'object' || details === null) return undefined
  const { worker, state } = details as { worker?: unknown; state?: unknown }
  return state === 'held' && typeof worker === 'string' ? worker : undefined
}

/** Value of `Retry-After` in seconds, for what is worth trying again. */
export function retryAfter(error: ErrorBody, status: number): string | undefined {
  if ((status !== 503 && status !== 429) || needsOwner(error)) return undefined
  const { details } = error
  const known =
    typeof details === 'object' && details !== null && 'retryAfterMs' in details ? Number(details.retryAfterMs) : NaN
  if (Number.isNaN(known) && errorInfo(error.code).class !== 'retryable') return undefined
  return String(Math.max(1, Math.ceil((Number.isNaN(known) ? DEFAULT_RETRY_MS : known) / 1_000)))
}

/** JSON Schema of a problem, for OpenAPI. */
export const PROBLEM_SCHEMA = {
  type: 'object',
  required: ['type', 'title', 'status', 'detail', 'code', 'next', 'retryable', 'trace_id'],
  properties: {
    type: { type: 'string', description: 'urn:agentos:error:<code>' },
    title: { type: 'string', description: 'What happened' },
    status: { type: 'integer' },
    detail: { type: 'string', description: 'What happened this time' },
    code: { type: 'string', description: 'Code of the registry in docs/errors.md' },
    next: { type: 'string', description: 'What to do' },
    retryable: { type: 'boolean', description: 'The same request may succeed later' },
    trace_id: { type: 'string', description: 'The request in the traces' },
    details: {},
  },
} as const
