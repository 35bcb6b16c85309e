import { describe, expect, it } from 'vitest'
import { costOf, perMillion } from './price.ts'

const now = new Date('2026-11-22')
const unknown = { microUsd: null, priced: false }

describe('cost', () => {
  const price = { input: 3, output: 15, cached: 0.3, cacheWrite: 3.75 }

  it('prices fresh, cached and written input and output, reasoning included, in micro-dollars', () => {
    const usage = { input: 10_000, output: 1_000, total: 11_000, cached: 6_000, cacheWrite: 1_000, reasoning: 400 }
    // 3,000 × 3 + 6,000 × 0.3 + 1,000 × 3.75 + 1,000 × 15
    expect(costOf(usage, price, now)).toEqual({ microUsd: 29_550, priced: true })
  })

  it('rounds to whole micro-dollars', () => {
    expect(costOf({ input: 1, output: 1, total: 2 }, { input: 0.15, output: 0.6 }, now)).toEqual({
      microUsd: 1,
      priced: true,
    })
  })

  it('takes the long price for the whole request above its bound', () => {
    const tiered = { input: 1, output: 2, long: { above: 200_000, input: 2, output: 3 } }
    expect(costOf({ input: 200_000, output: 10, total: 200_010 }, tiered, now).microUsd).toBe(200_020)
    expect(costOf({ input: 200_001, output: 10, total: 200_011 }, tiered, now).microUsd).toBe(400_032)
  })

  it('does not guess: no price, no price for cached tokens, a price that has ended', () => {
    const usage = { input: 10, output: 1, total: 11, cached: 5 }
    expect(costOf(usage, undefined, now)).toEqual(unknown)
    expect(costOf(usage, { input: 1, output: 1 }, now)).toEqual(unknown)
    const ended = { ...price, until: '2026-11-21' }
    expect(costOf(usage, ended, now)).toEqual(unknown)
    expect(costOf(usage, { ...price, until: '2026-11-22' }, now).priced).toBe(true)
  })

  it('shows prices as integers per million', () => {
    expect(perMillion(0.0028)).toBe(2_800)
    expect(perMillion(undefined)).toBeNull()
  })
})
