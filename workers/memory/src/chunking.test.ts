import fc from 'fast-check'
import { expect, test } from 'vitest'
import { chunk } from './chunking.ts'

test('200 equal characters at 50 give 4 chunks', () => {
  expect(chunk('a'.repeat(200), 50)).toEqual(Array(4).fill('a'.repeat(50)))
})

test('a cut falls just after the last newline inside the window', () => {
  expect(chunk('ab\ncd\nefgh', 7)).toEqual(['ab\ncd\n', 'efgh'])
})

test('size 0 gives no chunks and the empty text one empty chunk', () => {
  expect(chunk('abc', 0)).toEqual([])
  expect(chunk('', 10)).toEqual([''])
})

test('code points are never split', () => {
  expect(chunk('😀😀😀', 2)).toEqual(['😀😀', '😀'])
})

test('joining the chunks restores any text', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 300 }), fc.integer({ min: 1, max: 40 }), (text, size) => {
      const chunks = chunk(text, size)
      expect(chunks.join('')).toBe(text)
      expect(chunks.every((piece) => Array.from(piece).length <= size)).toBe(true)
    }),
  )
})
