import { expect, test } from 'vitest'
import { contentHash, cosine, jaccard } from './similarity.ts'

test('the hash sees role and text, not case and spacing', () => {
  expect(contentHash('user', ' Yes,\n do  it')).toBe(contentHash('user', 'yes, do it'))
  expect(contentHash('user', 'yes')).not.toBe(contentHash('assistant', 'yes'))
  expect(contentHash('user', 'yes!')).not.toBe(contentHash('user', 'yes'))
})

test('a character is the same whole and composed, and not without its mark', () => {
  expect(contentHash('user', 'pap\u00e1')).toBe(contentHash('user', 'papa\u0301'))
  expect(contentHash('user', 'pap\u00e1')).not.toBe(contentHash('user', 'papa'))
})

test('likeness is the share of the terms of both', () => {
  const like = (a: string, b: string) => jaccard(new Set(a.split(' ')), new Set(b.split(' ')))
  expect(like('dog rex', 'rex dog')).toBe(1)
  expect(like('dog rex', 'dog max')).toBeCloseTo(1 / 3)
  expect(like('dog', 'cat')).toBe(0)
})

test('cosine of equal, opposite, orthogonal, empty, zero and unequal vectors', () => {
  expect(cosine([1, 2], [1, 2])).toBeCloseTo(1)
  expect(cosine([1, 0], [-1, 0])).toBe(-1)
  expect(cosine([1, 0], [0, 1])).toBe(0)
  expect(cosine([], [])).toBe(0)
  expect(cosine([0, 0], [1, 1])).toBe(0)
  expect(cosine([1], [1, 1])).toBe(0)
})
