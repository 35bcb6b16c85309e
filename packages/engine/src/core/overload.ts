import { EngineError } from '@agentos/protocol'

/** Where nobody knows how long a bound will stay reached: long enough that repeating does not add to the load. */
const RETRY_AFTER_MS = 1_000

/** A bound is reached; the details say when it is worth trying again. */
export function overloaded(
  message: string,
  details: { retryAfterMs?: number; [more: string]: unknown } = {},
): EngineError {
  return new EngineError('overloaded', message, { details: { retryAfterMs: RETRY_AFTER_MS, ...details } })
}
