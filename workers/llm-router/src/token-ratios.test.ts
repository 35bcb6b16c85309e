import type { CompletionInput } from '@agentos/contracts/llm-router'
import { beforeEach, describe, expect, it } from 'vitest'
import { estimateInput } from './estimate.ts'
import { TokenRatios } from './token-ratios.ts'

const MODEL = { provider: 'p', model: 'm' }
const of = (text: string): CompletionInput => ({ messages: [{ role: 'user', content: text }] })
const LONG = of('word '.repeat(2_000))
const SHORT = of('hello')

describe('what a request may be counted as', () => {
  let ratios: TokenRatios
  beforeEach(() => {
    ratios = new TokenRatios()
  })

  it('is a token for each byte while nothing is known of the model', () => {
    expect(ratios.bounds(MODEL, of('a😀'))).toEqual({ input: 5 + 16, bytesPerToken: 1 })
    ratios.learn({ ...MODEL, model: 'another' }, LONG, { input: 9 })
    expect(ratios.bounds(MODEL, LONG).input).toBe(10_016)
  })

  it('is what the estimate was worth in answers, with a margin', () => {
    ratios.learn(MODEL, LONG, { input: 2_500 })
    expect(ratios.bounds(MODEL, LONG).input).toBe(2_500 * 1.25)
    ratios.learn(MODEL, LONG, { input: 2_000 })
    expect(ratios.bounds(MODEL, LONG).input).toBe(2_500 * 1.25)
  })

  it('follows the worst of the latest answers', () => {
    const estimate = estimateInput(LONG)
    ratios.learn(MODEL, LONG, { input: estimate * 50 })
    for (let n = 0; n < 31; n += 1) ratios.learn(MODEL, LONG, { input: estimate })
    expect(ratios.bounds(MODEL, LONG).input).toBeGreaterThanOrEqual(estimate * 50)
    ratios.learn(MODEL, LONG, { input: estimate })
    expect(ratios.bounds(MODEL, LONG).input).toBe(Math.ceil(estimate * 1.25))
  })

  it('adds a prompt of the provider’s own once, whatever the length of the request', () => {
    ratios.learn(MODEL, SHORT, { input: estimateInput(SHORT) + 400 })
    expect(ratios.bounds(MODEL, SHORT).input).toBe(Math.ceil((estimateInput(SHORT) + 400) * 1.25))
    expect(ratios.bounds(MODEL, LONG).input).toBe(Math.ceil((estimateInput(LONG) + 400) * 1.25))
  })

  it('learns from answers how many bytes they have to a token, and believes no more than four', () => {
    const counted = (output: number, reasoning = 0) => ({ input: 9, output, total: 9 + output, reasoning })
    ratios.learn(MODEL, SHORT, counted(1), 8)
    expect(ratios.bounds(MODEL, SHORT).bytesPerToken).toBe(1)
    ratios.learn(MODEL, SHORT, counted(10), 1_000)
    expect(ratios.bounds(MODEL, SHORT).bytesPerToken).toBe(4)
    ratios.learn(MODEL, SHORT, counted(500, 100), 1_000)
    expect(ratios.bounds(MODEL, SHORT).bytesPerToken).toBe(2)
  })
})
