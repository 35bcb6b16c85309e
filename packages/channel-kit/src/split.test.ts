import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { readMarkdown } from './markdown.ts'
import { plain } from './rich-text.ts'
import { splitText } from './split.ts'

const texts = (text: string, limit: number) => splitText(plain(text), limit).map((piece) => piece.text)

describe('a long text', () => {
  it('is cut between paragraphs, else lines, else words', () => {
    expect(texts('aaaa\n\nbbbb cc', 8)).toEqual(['aaaa', 'bbbb cc'])
    expect(texts('aaaa bb\ncccc dd', 10)).toEqual(['aaaa bb', 'cccc dd'])
    expect(texts('aaaa bbbb cccc', 10)).toEqual(['aaaa bbbb', 'cccc'])
    expect(texts('aaaaaaaaaaaa', 5)).toEqual(['aaaaa', 'aaaaa', 'aa'])
  })

  it('is not cut within a character', () => {
    expect(texts('aaa😀😀', 4)).toEqual(['aaa', '😀😀'])
  })

  it('keeps its looks over a cut', () => {
    const [first, second] = splitText(readMarkdown('**aaaa bbbb**'), 6)
    expect(first).toEqual({ text: 'aaaa', spans: [{ style: 'bold', start: 0, end: 4 }] })
    expect(second).toEqual({ text: 'bbbb', spans: [{ style: 'bold', start: 0, end: 4 }] })
  })

  it('loses nothing but blank space, whatever it is', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 300 }), fc.integer({ min: 4, max: 40 }), (text, limit) => {
        const pieces = texts(text, limit)
        // As people see it: what acts or hides is written out.
        const shown = plain(text).text
        expect(pieces.join('').replaceAll(/\s/g, '')).toBe(shown.replaceAll(/\s/g, ''))
        for (const piece of pieces) {
          expect(piece.length).toBeLessThanOrEqual(limit)
          expect(piece.isWellFormed() || !text.isWellFormed()).toBe(true)
        }
      }),
    )
  })
})
