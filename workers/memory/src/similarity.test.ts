import { describe, expect, test } from 'vitest'
import { buckets, contentHash, cosine, fingerprint, isNearDuplicate } from './similarity.ts'

const alike = (a: string, b: string) => isNearDuplicate(fingerprint(a), fingerprint(b))

describe('near-duplicates', () => {
  test.each([
    ['User prefers dark mode', 'The user prefers dark mode.'],
    ['my dog is called Rex', 'My dog is called Rex!'],
  ])('%s = %s', (a, b) => {
    expect(alike(a, b)).toBe(true)
  })

  test.each([
    ['my dog is called Rex', 'my dog is called Max'],
    ['the light is on', 'the light is off'],
    ['I like pizza', "I don't like pizza"],
    ['Anna likes Bob', 'Bob likes Anna'],
    ['meet at 10', 'meet at 11'],
  ])('%s ≠ %s', (a, b) => {
    expect(alike(a, b)).toBe(false)
  })

  test('one other name in a long text makes another memory', () => {
    const text = (name: string) =>
      `the colleague who sits beside me in the large office on the third floor of the old building near the river and who always brings fresh bread for everybody on monday mornings and plays chess with the porter after lunch is called ${name} by all of us`
    expect(alike(text('Anna'), text('Berta'))).toBe(false)
    expect(alike(text('Anna'), text('Anna').replace('always ', ''))).toBe(true)
  })

  test('texts that are one share a bucket', () => {
    const [a, b] = ['User prefers dark mode', 'the user prefers dark mode'].map((text) => buckets(fingerprint(text)))
    expect(a!.some((bucket) => b!.includes(bucket))).toBe(true)
  })
})

test('the hash sees role and words, not case, spacing and the final stop', () => {
  expect(contentHash('user', 'Yes, do  it.')).toBe(contentHash('user', 'yes, do it'))
  expect(contentHash('user', 'yes')).not.toBe(contentHash('assistant', 'yes'))
})

test('cosine of equal, opposite, orthogonal, empty, zero and unequal vectors', () => {
  expect(cosine([1, 2], [1, 2])).toBeCloseTo(1)
  expect(cosine([1, 0], [-1, 0])).toBe(-1)
  expect(cosine([1, 0], [0, 1])).toBe(0)
  expect(cosine([], [])).toBe(0)
  expect(cosine([0, 0], [1, 1])).toBe(0)
  expect(cosine([1], [1, 1])).toBe(0)
})
