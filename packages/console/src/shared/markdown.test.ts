import { describe, expect, it } from 'vitest'
import { parseMarkdown } from './markdown.ts'

const text = (value: string) => ({ kind: 'text', text: value })

describe('markdown', () => {
  it('is paragraphs that keep their line ends', () => {
    expect(parseMarkdown('17 × 23 = 391\n\ndemo/rules\nno model')).toEqual([
      { kind: 'paragraph', inlines: [text('17 × 23 = 391')] },
      { kind: 'paragraph', inlines: [text('demo/rules\nno model')] },
    ])
  })

  it('has headings, lists, quotes, rules and code', () => {
    expect(
      parseMarkdown('## A `b`\n- one\n- **two**\n3. three\n> so\n> it is\n---\n```ts\nlet a = 1\n\n```\nend'),
    ).toEqual([
      { kind: 'heading', level: 2, inlines: [text('A '), { kind: 'code', text: 'b' }] },
      {
        kind: 'list',
        ordered: false,
        start: 1,
        items: [[text('one')], [{ kind: 'strong', inlines: [text('two')] }], [text('three')]],
      },
      { kind: 'quote', inlines: [text('so\nit is')] },
      { kind: 'rule' },
      { kind: 'code', language: 'ts', text: 'let a = 1\n' },
      { kind: 'paragraph', inlines: [text('end')] },
    ])
  })

  it('reads code that is still being written as code', () => {
    expect(parseMarkdown('```\nlet a')).toEqual([{ kind: 'code', language: '', text: 'let a' }])
  })

  it('emphasises words and leaves names with underscores alone', () => {
    expect(parseMarkdown('*so* snake_case_name 2 * 3 * 4')).toEqual([
      { kind: 'paragraph', inlines: [{ kind: 'emphasis', inlines: [text('so')] }, text(' snake_case_name 2 * 3 * 4')] },
    ])
  })

  it('links to the web only; everything else stays the text that it is', () => {
    expect(parseMarkdown('[a](https://a.example/b) https://c.example/d. [x](javascript:alert(1)) [y](/v1/x)')).toEqual([
      {
        kind: 'paragraph',
        inlines: [
          { kind: 'link', href: 'https://a.example/b', inlines: [text('a')] },
          text(' '),
          { kind: 'link', href: 'https://c.example/d', inlines: [text('https://c.example/d')] },
          text('. [x](javascript:alert(1)) '),
          text('[y](/v1/x)'),
        ],
      },
    ])
  })

  it('leaves HTML as text', () => {
    expect(parseMarkdown('<img src=x onerror=alert(1)>')).toEqual([
      { kind: 'paragraph', inlines: [text('<img src=x onerror=alert(1)>')] },
    ])
  })

  it('ends, whatever it is given', () => {
    const marks = ['#', '# ', '-', '- ', '>', '`', '```', '*', '**', '_', '[', '](', '1.', '\n', ' ', 'a', '~~~', '---']
    for (let seed = 0; seed < 3_000; seed += 1) {
      let value = seed * 7_919
      let source = ''
      for (let length = 0; length < 12; length += 1) {
        source += marks[value % marks.length]
        value = (value * 48_271 + 11) % 2_147_483_647
      }
      expect(parseMarkdown(source), JSON.stringify(source)).toBeInstanceOf(Array)
    }
  })
})

describe('a text that repeats one beginning', () => {
  it.each([
    ['blanks behind a heading', `# a${' '.repeat(40_000)}b`],
    ['signs behind a heading', `# a${'#'.repeat(40_000)}b`],
    ['code', `a ${'`'.repeat(40_000)}b`],
    ['code of each length', Array.from({ length: 300 }, (_, length) => `${'`'.repeat(length)} `).join('')],
    ['strong', '**a '.repeat(25_000)],
    ['emphasis', '_a '.repeat(25_000)],
    ['links', '['.repeat(100_000)],
    ['addresses', `http://${'.'.repeat(100_000)}`],
    ['fences', '```\na\n```\n'.repeat(10_000)],
  ])('is read to its end: %s', (_, text) => {
    expect(parseMarkdown(text).length).toBeGreaterThan(0)
  })
})
