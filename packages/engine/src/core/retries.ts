import { type ErrorBody, isRetryable } from '@agentos/protocol'

/** Attempts again after a retryable failure, as the caller wants them. */
export interface RetryPolicy {
  /** Attempts after the first. */
  max: number
  /** Delay before the second attempt, in milliseconds; it doubles with each further one. */
  backoffMs: number
}

const MOST_ATTEMPTS = 100
const LONGEST_DELAY_MS = 30_000
/** The longest wait that an error may ask for. */
const LONGEST_HINT_MS = 60_000
/** Each delay is spread by this much either way, so that callers that failed together do not come back together. */
const JITTER = 0.3

/** The policy of a frame, within bounds; nothing where it asks for no further attempt. */
export function policyOf(retry: { max: number; backoff_ms: number } | undefined): RetryPolicy | undefined {
  const max = Math.min(Math.floor(retry?.max ?? 0), MOST_ATTEMPTS)
  return retry && max > 0 ? { max, backoffMs: Math.min(retry.backoff_ms, LONGEST_DELAY_MS) } : undefined
}

/**
 * Milliseconds before the next attempt. `failures` counts from 1; `random` is a draw from [0, 1). A wait that the error
 * names is kept, and spread upwards.
 */
export function retryDelay(policy: RetryPolicy, failures: number, error: ErrorBody, random: number): number {
  const grown = Math.min(policy.backoffMs * 2 ** (failures - 1), LONGEST_DELAY_MS)
  const spread = 1 + JITTER * (2 * random - 1)
  return Math.max(grown * spread, retryHint(error) * (1 + JITTER * random))
}

/** The time to wait that the error names, 0 where it names none. */
function retryHint({ details }: ErrorBody): number {
  if (typeof details !== 'object' || details === null || !('retryAfterMs' in details)) return 0
  const { retryAfterMs } = details
  return typeof retryAfterMs === 'number' && retryAfterMs > 0 ? Math.min(retryAfterMs, LONGEST_HINT_MS) : 0
}

/** How an attempt ended: the executor answered, it never had the call, or nobody knows. */
export type Ending = 'answered' | 'unsent' | 'lost'

/** Is this failure worth another attempt? A lost executor only where the call may be repeated. */
export function mayRetry(
  error: ErrorBody,
  ending: Ending,
  call: { repeatable: () => boolean; reached: boolean },
): boolean {
  if (ending === 'lost') return isRetryable(error.code) && call.repeatable()
  // It was there a moment ago: its process is on its way back.
  if (error.code === 'function_not_found') return ending === 'unsent' && call.reached
  return isRetryable(error.code)
}

/** The last error, with how often it was tried. */
export function withAttempts(error: ErrorBody, attempts: number): ErrorBody {
  const { details } = error
  if (details === undefined) return { ...error, details: { attempts } }
  return typeof details === 'object' && details !== null && !Array.isArray(details)
    ? { ...error, details: { ...details, attempts } }
    : error
}
