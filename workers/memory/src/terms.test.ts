import { describe, expect, test } from 'vitest'
import { stem } from './stemmer.ts'
import { ANALYSER, readings, terms } from './terms.ts'

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

test.each([
  ['Straße', 'STRASSE'],
  ['Łódź', 'lodz'],
  ['Ærøskøbing', 'aeroskobing'],
  ['œuvre', 'oeuvre'],
  ['Đà Nẵng', 'da nang'],
  ['Þingvellir', 'thingvellir'],
  ['Iğdır', 'igdir'],
  ['İstanbul', 'istanbul'],
  ['ΟΔΟΣ', 'οδοσ'],
  ['مُحَمَّـد', 'محمد'],
  ['ｆｕｌｌ', 'full'],
  ['co\u00adoperate', 'cooperate'],
])('%s is searched as %s', (written, plain) => {
  expect(terms(written)).toEqual(terms(plain))
})

test('marks that are letters stay', () => {
  expect(terms('की')).not.toEqual(terms('का'))
  expect(terms('パパ')).not.toEqual(terms('ハハ'))
})

test('scripts without spaces are indexed by characters and pairs, and searched by pairs', () => {
  expect(terms('東京都')).toEqual(['東', '京', '都', '東京', '京都'])
  expect(readings('東京都')).toEqual([
    ['東京', '京都'],
    ['東', '京', '都'],
  ])
  expect(readings('狗')).toEqual([['狗']])
})

test('words of another script inside of a text without spaces stand alone', () => {
  expect(terms('我用iPhone15拍照')).toContain('iphone15')
  expect(terms('Wi-Fiの設定')).toEqual(['wi', 'fi', '設', '定', '設定'])
})

test('a query is searched without particles and small words', () => {
  expect(readings('서울에서')[0]).toEqual(['서울'])
  expect(readings('私の犬の名前')[0]).toEqual(['私', '犬', '名前'])
  expect(readings('你知道我的狗吗？')[0]).toEqual(['狗'])
})

test('an article before an apostrophe is none of the word', () => {
  expect(terms("l'école")).toEqual(terms('ecole'))
  expect(terms('O’Brien')).toEqual(['brien'])
})

// An index on disk holds the terms of the analyser that wrote it. Who changes what is expected here raises ANALYSER.
test('the terms of this analyser', () => {
  const text = "Anna's dogs ran to Łódź; 서울에 살아요, 我的狗叫小白, ひらがなとカタカナ, ภาษาไทย, हिन्दी, l'été 2024"
  expect(ANALYSER).toBe(2)
  expect(terms(text).join(' ')).toBe(
    'anna dog ran lodz 서 울 에 서울 울에 살 아 요 살아 아요 狗 叫 小 白 狗叫 叫小 小白 ひら らが がな なと カタ タカ カナ ภา าษ ษา าไ ไท ทย हिन्दी et 2024',
  )
})

test('a possessive is the word itself', () => {
  expect(terms("Anna's dogs")).toEqual(['anna', 'dog'])
})
