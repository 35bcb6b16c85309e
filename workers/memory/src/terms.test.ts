import { describe, expect, test } from 'vitest'
import { stem } from './stemmer.ts'
import { terms } from './terms.ts'

describe('stems', () => {
  // From the examples of Porter's paper.
  test.each([
    ['caresses', 'caress'],
    ['ponies', 'poni'],
    ['cats', 'cat'],
    ['feed', 'feed'],
    ['agreed', 'agre'],
    ['plastered', 'plaster'],
    ['bled', 'bled'],
    ['motoring', 'motor'],
    ['sing', 'sing'],
    ['conflated', 'conflat'],
    ['hopping', 'hop'],
    ['falling', 'fall'],
    ['filing', 'file'],
    ['happy', 'happi'],
    ['sky', 'sky'],
    ['relational', 'relat'],
    ['conditional', 'condit'],
    ['digitizer', 'digit'],
    ['triplicate', 'triplic'],
    ['hopefulness', 'hope'],
    ['revival', 'reviv'],
    ['adjustment', 'adjust'],
    ['adoption', 'adopt'],
    ['controlling', 'control'],
    ['roll', 'roll'],
    ['probate', 'probat'],
    ['cease', 'ceas'],
    ['rate', 'rate'],
  ])('%s becomes %s', (word, expected) => {
    expect(stem(word)).toBe(expected)
  })
})

test('a question comes down to what it is about', () => {
  expect(terms('What do you know about my dog?')).toEqual(['dog'])
})

test('case, accents and inflection do not matter', () => {
  expect(terms('Cafés RUNNING')).toEqual(terms('cafe runs'))
})

test('scripts without spaces are searched by pairs of characters', () => {
  expect(terms('東京都')).toEqual(['東京', '京都'])
})

test('a possessive is the word itself', () => {
  expect(terms("Anna's dogs")).toEqual(['anna', 'dog'])
})
