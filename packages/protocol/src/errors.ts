import { type ErrorInfo, errorCodes } from './error-codes.ts'
import type { ErrorBody } from './frames.ts'

/** Codes of the registry: the only ones that our own code gives. */
export type ErrorCode = (typeof errorCodes)[number]['code']

const byCode = new Map<string, ErrorInfo>(errorCodes.map((info) => [info.code, info]))

/** Every entry, in the order of the documentation. */
export const errorRegistry: readonly ErrorInfo[] = errorCodes

/** What is known of a code. A code of a foreign worker that nobody registered counts as a failure of its handler. */
export function errorInfo(code: string): ErrorInfo {
  return byCode.get(code) ?? { ...byCode.get('invocation_failed')!, code }
}

export function isRetryable(code: string): boolean {
  return errorInfo(code).class === 'retryable'
}

/** An error with a code of the registry. Its message says what happened; `errorInfo(code).next` what to do. */
export class EngineError extends Error {
  readonly code: string
  /** Facts for a program, as plain JSON; `retryAfterMs` where a time to wait is known. */
  readonly details: unknown

  constructor(code: ErrorCode, message: string, options: { details?: unknown; cause?: unknown } = {}) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined)
    this.name = 'EngineError'
    this.code = code
    this.details = options.details
  }

  /** As it travels: without the stack and the cause, which stay in the log. */
  toBody(): ErrorBody {
    return this.details === undefined
      ? { code: this.code, message: this.message }
      : { code: this.code, message: this.message, details: this.details }
  }
}
