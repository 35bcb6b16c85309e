import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { readMarkdown } from './markdown.ts'
import { render } from './rich-text.ts'

/** Spans in brackets, so that a case fits on a line. */
function shown(markdown: string): string {
  return render(
    readMarkdown(markdown),
    (text) => text,
    ({ style, url, language }, inner) => `[${style}${url ? ` ${url}` : ''}${language ? ` ${language}` : ''}|${inner}]`,
  )
}

describe('Markdown of a model', () => {
  it.each([
    ['**bold** and __bold__', '[bold|bold] and [bold|bold]'],
    ['*it* and _it_ and ~~gone~~', '[italic|it] and [italic|it] and [strike|gone]'],
    ['**bold with *italic* in it**', '[bold|bold with [italic|italic] in it]'],
    ['`a * b` and ``a`b``', '[code|a * b] and [code|a`b]'],
    ['# A heading', '[bold|A heading]'],
    ['> one\n> two\nthree', '[quote|one\ntwo]\nthree'],
    ['- one\n* two', '• one\n• two'],
    ['[here](https://example.com/a_(b)?c=d)', '[link https://example.com/a_(b)?c=d|here]'],
    ['```ts\nlet **a** = `b`\n```\nafter', '[pre ts|let **a** = `b`]\nafter'],
    ['```\nnot closed', '[pre|not closed]'],
  ])('%j is read as %j', (markdown, expected) => {
    expect(shown(markdown)).toBe(expected)
  })

  it.each(['2 * 3 * 4', 'snake_case_name', '**not closed', 'a ` b', '[not](javascript:alert(1))', '5 ~~ 6', '***'])(
    'leaves %j as it is',
    (text) => expect(shown(text)).toBe(text),
  )

  it('takes an escaped mark for itself', () => {
    expect(shown('\\*not bold\\*')).toBe('*not bold*')
  })

  it('is read whatever it is: spans nest, lie within the text, and cost no more than time in proportion', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[*_~`#>\-[\]()\\a b\n]{0,200}$/), (markdown) => {
        const { text, spans } = readMarkdown(markdown)
        for (const { start, end } of spans) expect(0 <= start && start < end && end <= text.length).toBe(true)
        for (const a of spans) {
          for (const b of spans) expect(a.start < b.start && b.start < a.end && a.end < b.end).toBe(false)
        }
      }),
    )
    expect(readMarkdown('*a '.repeat(50_000)).text).toHaveLength(150_000)
  })
})
