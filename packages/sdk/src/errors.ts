import { type ErrorBody, type ErrorCode, isRetryable } from '@agentos/protocol'

/** A code of the registry, or one of a worker's own. */
export type AnyErrorCode = ErrorCode | (string & {})

/** What a handler throws to answer with a typed error; its code decides the HTTP status and whether to try again. */
export class AgentError extends Error {
  readonly code: string
  /** Facts for a program, as plain JSON. */
  readonly details: unknown

  constructor(code: AnyErrorCode, message: string, options: { details?: unknown; cause?: unknown } = {}) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined)
    this.name = 'AgentError'
    this.code = code
    this.details = options.details
  }
}

export interface InvocationErrorInit {
  code: string
  message: string
  function_id?: string
  stacktrace?: string
  details?: unknown
}

/** Why a call failed, as its caller sees it. The message is `<code>: <message>`, `reason` the message alone. */
export class InvocationError extends Error {
  readonly code: string
  readonly reason: string
  readonly function_id: string | undefined
  readonly stacktrace: string | undefined
  readonly details: unknown
  /** The same call may succeed later, unchanged. */
  readonly retryable: boolean

  constructor(init: InvocationErrorInit) {
    super(`${init.code}: ${init.message}`)
    this.name = 'InvocationError'
    this.code = init.code
    this.reason = init.message
    this.function_id = init.function_id
    this.stacktrace = init.stacktrace
    this.details = init.details
    this.retryable = isRetryable(init.code)
  }
}

/**
 * A failure of the moment: nobody said that what was asked for cannot be. The same call may come through later; whether
 * this one took effect is not known, so it is for what may be done twice.
 */
export function isPassing(error: unknown): boolean {
  if (!(error instanceof InvocationError)) return false
  return error.retryable || ['in_doubt', 'TIMEOUT', 'deadline_exceeded', 'cancelled'].includes(error.code)
}

export function isErrorBody(value: unknown): value is ErrorBody {
  if (typeof value !== 'object' || value === null) return false
  const { code, message } = value as Partial<Record<keyof ErrorBody, unknown>>
  return typeof code === 'string' && typeof message === 'string'
}

/** The caller's view of an error frame; what is no error body gets the code `UNKNOWN`. */
export function toInvocationError(functionId: string, error: unknown): InvocationError {
  if (error instanceof InvocationError) return error
  if (isErrorBody(error)) return new InvocationError({ ...error, function_id: functionId })
  const message = typeof error === 'string' ? error : JSON.stringify(error)
  return new InvocationError({ code: 'UNKNOWN', message, function_id: functionId })
}

/**
 * An error that a handler threw, as it travels. A typed error keeps its code, and so does the failure of a call that
 * the handler made and did not catch; everything else is `invocation_failed` and says in which function it was thrown,
 * since it may pass through others.
 */
export function toErrorBody(error: unknown, functionId?: string): ErrorBody {
  if (error instanceof InvocationError) return body(error.code, error.reason, error.details)
  if (error instanceof AgentError) return body(error.code, error.message, error.details)
  const thrown = body('invocation_failed', thrownText(error), functionId === undefined ? undefined : { functionId })
  return error instanceof Error && error.stack !== undefined ? { ...thrown, stacktrace: error.stack } : thrown
}

function thrownText(error: unknown): string {
  return error instanceof Error ? error.message || error.name : String(error)
}

function body(code: string, message: string, details: unknown): ErrorBody {
  return details === undefined ? { code, message } : { code, message, details }
}
