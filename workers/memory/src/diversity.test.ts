import { expect, test } from 'vitest'
import { diverse } from './diversity.ts'

const hit = (id: string, score: number, ...terms: string[]) => ({ id, score, terms: new Set(terms), text: id })
const ids = (hits: { id: string }[]) => hits.map(({ id }) => id)

test('a hit with the text of a better one is dropped, one of the same terms is not', () => {
  const hits = [hit('a', 0.9, '18'), { ...hit('b', 0.88, '18'), text: 'a' }, hit('c', 0.5, '18')]
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
