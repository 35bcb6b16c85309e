import { setTimeout as delay } from 'node:timers/promises'
import { backoffDelay } from './backoff.ts'
import { InvocationError, toInvocationError } from './errors.ts'
import { abortBody } from './pending-calls.ts'

/**
 * The part of `retry` that only the caller's side can do; what happens behind the engine, the engine repeats. Here are
 * repeated a call that was never taken, and with `survives` one whose answer was lost with the engine.
 */
export async function withRetry<T>(
  functionId: string,
  retry: { max: number; backoffMs: number },
  { signal, survives }: { signal: AbortSignal | undefined; survives: boolean },
  attempt: () => Promise<T>,
): Promise<T> {
  const backoff = { initialDelayMs: retry.backoffMs, maxDelayMs: 30_000, backoffMultiplier: 2, jitterFactor: 0.3 }
  for (let failures = 0; ; failures += 1) {
    try {
      return await attempt()
    } catch (error) {
      if (!(error instanceof InvocationError) || failures >= retry.max) throw error
      if (!wasNeverTaken(error) && !(survives && error.code === 'engine_lost')) throw error
      const wait = Math.max(backoffDelay(backoff, failures, Math.random()), retryAfter(error))
      await delay(wait, undefined, signal ? { signal } : undefined).catch(() => {
        throw toInvocationError(functionId, abortBody(signal?.reason))
      })
    }
  }
}

/** The engine, or our own outbox, had no room for it. After attempts of the engine the error says how many there were. */
function wasNeverTaken({ code, details }: InvocationError): boolean {
  return code === 'overloaded' && (details as { attempts?: unknown } | null | undefined)?.attempts === undefined
}

function retryAfter(error: InvocationError): number {
  const after = (error.details as { retryAfterMs?: unknown } | null | undefined)?.retryAfterMs
  return typeof after === 'number' && after > 0 ? Math.min(after, 60_000) : 0
}
