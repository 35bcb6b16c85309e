import { describe, expect, it } from 'vitest'
import { htmlToText } from './html-text.ts'

const read = (html: string) => htmlToText(html, new URL('https://example.com/a/b'))

describe('the text of a page', () => {
  it('keeps headings, paragraphs, lists, links and code', () => {
    const page = read(`<!doctype html><html><head><title>A &amp; B</title><style>p{}</style></head><body>
      <h1>Ships</h1><p>The  <b>Nautilus</b> is
      a <a href="../ship?x=1&amp;y=2">ship</a>.</p><ul><li>one<li>two</ul>
      <pre>a
  b</pre><script>alert("<p>no</p>")</script><p>1 &lt; 2 &#8211; &#x41; &nbsp;&unknown;</p></body></html>`)
    expect(page.title).toBe('A & B')
    expect(page.text).toBe(
      '# Ships\n\nThe Nautilus is a [ship](https://example.com/ship?x=1&y=2).\n\n- one\n- two\n\na\n  b\n\n1 < 2 – A  &unknown;'.replace(
        'A  &',
        'A &',
      ),
    )
  })

  it('leaves out what a reader does not see', () => {
    const hidden = [
      '<p hidden>x</p>',
      '<div aria-hidden="true"><div>x</div>x</div>',
      "<span style='display: none'>x</span>",
      '<!-- x -->',
      '<!-- x',
      '<noscript>x</noscript>',
      '<template><p>x</p></template>',
      '<svg><text>x</text></svg>',
      '<script>x',
    ]
    for (const html of hidden) expect([html, read(`<p>seen</p>${html}`).text]).toEqual([html, 'seen'])
  })

  it('makes no link of what leads nowhere on the web', () => {
    expect(read('<a href="javascript:x()">a</a> <a href="#top">b</a> <a>c</a> <a href="/d"></a>').text).toBe('a b c')
  })

  it.each([
    ['<base href="https://other.org/docs/">', 'https://other.org/docs/page'],
    ['<base href="/top/">', 'https://example.com/top/page'],
    ['<BASE target="_blank"><base href=deep/er/>', 'https://example.com/a/deep/er/page'],
    ['<base href="//cdn.example.net/x/y">', 'https://cdn.example.net/x/page'],
    ['<base href="/first/"><base href="/second/">', 'https://example.com/first/page'],
    ['<base href=" /a&amp;b/ ">', 'https://example.com/a&b/page'],
    ['<base href="javascript:x()">', 'https://example.com/a/page'],
    ['<base href="data:text/html,x"><base href="/second/">', 'https://example.com/a/page'],
    ['<base href="http://[">', 'https://example.com/a/page'],
    ['<base>', 'https://example.com/a/page'],
    ['<template><base href="/no/"></template>', 'https://example.com/a/page'],
  ])('takes links from where the page says that they begin: %s', (base, url) => {
    expect(read(`<html><head>${base}</head><body><a href="page">here</a></body></html>`).text).toBe(`[here](${url})`)
  })

  it('reads a table by rows', () => {
    expect(read('<table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2</td></tr></table>').text).toBe(
      'a | b |\n1 | 2 |',
    )
  })

  it.each([
    ['comments', '<!--'],
    ['tags', '<a '],
    ['quotes', '<a b="'],
    ['equals', '<a b='],
    ['scripts', '<script>'],
    ['closing tags', '</a'],
    ['divs', '<div><p>'],
    ['links', '<a href="/x">y'],
    ['entities', '&#60;&amp'],
    ['spaces', ' \n\t'],
    ['names', '<aaaaaaaaaa'],
    ['hidden', '<p hidden>'],
    ['titles', '<title>a'],
  ])('ends in time that grows with the length: %s', { timeout: 5_000 }, (_what, piece) => {
    expect(typeof read(piece.repeat(2_000_000 / piece.length)).text).toBe('string')
  })
})
