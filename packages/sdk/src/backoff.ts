/** How long to wait between attempts; `jitterFactor` 0.3 spreads each delay by ±30 %. */
export interface Backoff {
  initialDelayMs: number
  maxDelayMs: number
  backoffMultiplier: number
  jitterFactor: number
}

/** Delay before attempt number `attempt` (from 0), in milliseconds. `random` is a draw from [0, 1). */
export function backoffDelay(backoff: Backoff, attempt: number, random: number): number {
  // The exponent is bounded: after days without an engine it would overflow and the delay become NaN.
  const grown = backoff.initialDelayMs * backoff.backoffMultiplier ** Math.min(attempt, 64)
  const delay = Math.min(grown, backoff.maxDelayMs)
  return Math.max(0, delay * (1 + backoff.jitterFactor * (2 * random - 1)))
}
