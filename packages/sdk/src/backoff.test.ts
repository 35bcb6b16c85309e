import { expect, it } from 'vitest'
import { backoffDelay } from './backoff.ts'

const backoff = { initialDelayMs: 50, maxDelayMs: 1_000, backoffMultiplier: 2, jitterFactor: 0.3 }

it('grows from the first delay to the last and stays there', () => {
  const delays = [0, 1, 2, 3, 4, 5, 6].map((attempt) => backoffDelay(backoff, attempt, 0.5))
  expect(delays).toEqual([50, 100, 200, 400, 800, 1_000, 1_000])
})

it('spreads delays by the jitter on both sides', () => {
  expect(backoffDelay(backoff, 0, 0)).toBeCloseTo(35)
  expect(backoffDelay(backoff, 0, 0.999_999)).toBeCloseTo(65, 3)
})

it('still has a delay after a million attempts', () => {
  expect(backoffDelay(backoff, 1_000_000, 0.5)).toBe(1_000)
})
