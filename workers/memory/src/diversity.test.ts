import { expect, test } from 'vitest'
import { diverse } from './diversity.ts'

const hit = (id: string, score: number, ...terms: string[]) => ({ id, score, terms: new Set(terms) })
const ids = (hits: { id: string }[]) => hits.map(({ id }) => id)

test('a hit that repeats a better one is dropped', () => {
  const hits = [hit('a', 0.9, 'dog', 'rex'), hit('b', 0.88, 'dog', 'rex'), hit('c', 0.5, 'cat', 'tom')]
  expect(ids(diverse(hits, 10))).toEqual(['a', 'c'])
})

test('with room for two, the second says something new', () => {
  const hits = [
    hit('a', 0.9, 'dog', 'rex', 'big', 'old'),
    hit('b', 0.89, 'dog', 'rex', 'big', 'new'),
    hit('c', 0.85, 'dog', 'vet'),
  ]
  expect(ids(diverse(hits, 2))).toEqual(['a', 'c'])
})

test('what is left comes by score', () => {
  expect(ids(diverse([hit('x', 0.2, 'p'), hit('y', 0.7, 'q'), hit('z', 0.5, 'r')], 3))).toEqual(['y', 'z', 'x'])
})
