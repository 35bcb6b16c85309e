import type { Cost, Usage } from '@agentos/contracts/llm-router'
import type { Price } from './settings.ts'

/**
 * Integer micro-dollars of a request; reasoning is part of the output and priced as such. Unknown, not estimated, where
 * the model has no price, the price has ended, or tokens of a kind were used whose price is not known.
 */
export function costOf(usage: Usage, price: Price | undefined, now: Date): Cost {
  const unknown = { microUsd: null, priced: false }
  const rates = ratesFor(price, usage.input, now)
  if (!rates) return unknown
  const { cached = 0, cacheWrite = 0 } = usage
  if ((cached > 0 && rates.cached === undefined) || (cacheWrite > 0 && rates.cacheWrite === undefined)) return unknown
  const fresh = usage.input - cached - cacheWrite
  // USD per million tokens is micro-dollars per token.
  const microUsd =
    fresh * rates.input +
    cached * (rates.cached ?? 0) +
    cacheWrite * (rates.cacheWrite ?? 0) +
    usage.output * rates.output
  return { microUsd: Math.round(microUsd), priced: true }
}

/** The price that holds for an input of this size; undefined where none is known or it has ended. */
export function ratesFor(price: Price | undefined, inputTokens: number, now: Date): Price['long'] | Price | undefined {
  if (!price || (price.until !== undefined && now.toISOString().slice(0, 10) > price.until)) return undefined
  return price.long && inputTokens > price.long.above ? price.long : price
}

/** USD per million tokens as integer micro-dollars per million tokens. */
export function perMillion(usd: number | undefined): number | null {
  return usd === undefined ? null : Math.round(usd * 1_000_000)
}
