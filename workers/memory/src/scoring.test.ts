import { describe, expect, test } from 'vitest'
import { fusedRelevance, lexicalRelevance, recallScore, recency } from './scoring.ts'

const HOUR = 3_600_000

test('recency is 1 now, 1/e after a week, and 1 for a clock that runs ahead', () => {
  expect(recency(1_000, 1_000)).toBe(1)
  expect(recency(0, 168 * HOUR)).toBeCloseTo(Math.exp(-1))
  expect(recency(2_000, 1_000)).toBe(1)
})

describe('relevance by words', () => {
  const stats = {
    documents: 100,
    averageLength: 4,
    frequency: new Map([
      ['dog', 3],
      ['name', 60],
    ]),
  }

  test('every term in a text of mean length is 1, none is 0', () => {
    expect(lexicalRelevance(['dog', 'name'], ['dog', 'name', 'rex', 'call'], stats)).toBeCloseTo(1)
    expect(lexicalRelevance(['dog'], ['cat'], stats)).toBe(0)
    expect(lexicalRelevance([], ['cat'], stats)).toBe(0)
  })

  test('a rare term counts for more than a common one', () => {
    const rare = lexicalRelevance(['dog', 'name'], ['dog', 'x', 'y', 'z'], stats)
    const common = lexicalRelevance(['dog', 'name'], ['name', 'x', 'y', 'z'], stats)
    expect(rare).toBeGreaterThan(common)
  })

  test('terms that no memory contains lower it, but do not bury a match', () => {
    const relevance = lexicalRelevance(['dog', 'labrador', 'breed'], ['dog', 'x', 'y', 'z'], stats)
    expect(relevance).toBeGreaterThan(0.7)
    expect(relevance).toBeLessThan(1)
  })

  test('the only memory of an empty index is found with full relevance', () => {
    const lone = { documents: 1, averageLength: 3, frequency: new Map([['dog', 1]]) }
    expect(lexicalRelevance(['dog'], ['dog', 'call', 'rex'], lone)).toBeCloseTo(1)
  })
})

test('without a vector words alone decide; meaning has twice the weight of words', () => {
  expect(fusedRelevance(0.6)).toBe(0.6)
  expect(fusedRelevance(0.3, 0.9)).toBeCloseTo(0.7)
  expect(fusedRelevance(0.3, -0.5)).toBeCloseTo(0.1)
})

describe('score', () => {
  const memory = { timestamp: 0, importance: 0.5, confidence: 1, accessCount: 0 }

  test('is the weighted sum of relevance, recency, importance and confidence', () => {
    expect(recallScore(1, memory, 0)).toBeCloseTo(0.75 + 0.1 + 0.05 + 0.05)
  })

  test('rises with use and never passes 1', () => {
    const used = recallScore(1, { ...memory, accessCount: 50 }, 0)
    expect(used).toBeGreaterThan(recallScore(1, memory, 0))
    expect(recallScore(1, { timestamp: 0, importance: 1, confidence: 1, accessCount: 9_999 }, 0)).toBeLessThanOrEqual(1)
  })
})
