import { decodeEntities } from './entities.ts'

export type HtmlToken =
  | { kind: 'text'; text: string }
  | { kind: 'open'; name: string; attributes: Map<string, string> }
  | { kind: 'close'; name: string }

/** Their content is no markup. */
const RAW = new Set(['script', 'style', 'textarea', 'title', 'noscript', 'iframe', 'noembed', 'noframes', 'xmp'])
const NAME = /[a-z][^\s/>]*/iy
const ATTRIBUTE = /[\s/]*([^\s/>=]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s>"']+)))?/y

/** Tags and texts of HTML, as forgiving as a browser, in time that grows with the length alone. */
export function* htmlTokens(html: string): Generator<HtmlToken, void, undefined> {
  let at = 0
  while (at < html.length) {
    const open = html.indexOf('<', at)
    if (open < 0) break
    if (open > at) yield { kind: 'text', text: html.slice(at, open) }
    if (html.startsWith('<!--', open)) {
      at = after(html, '-->', open + 4)
      continue
    }
    const closing = html[open + 1] === '/'
    const name = matchAt(NAME, html, open + (closing ? 2 : 1))?.[0].toLowerCase()
    if (name === undefined) {
      if (closing || html[open + 1] === '!' || html[open + 1] === '?') at = after(html, '>', open)
      else {
        yield { kind: 'text', text: '<' }
        at = open + 1
      }
      continue
    }
    const start = open + (closing ? 2 : 1) + name.length
    if (closing) {
      yield { kind: 'close', name }
      at = after(html, '>', start)
      continue
    }
    const { attributes, end } = readAttributes(html, start)
    yield { kind: 'open', name, attributes }
    at = end
    if (!RAW.has(name)) continue
    const close = new RegExp(`</${name}(?=[\\s/>])`, 'gi')
    close.lastIndex = at
    const stop = close.exec(html)?.index ?? html.length
    yield { kind: 'text', text: html.slice(at, stop) }
    at = stop
  }
  if (at < html.length) yield { kind: 'text', text: html.slice(at) }
}

function readAttributes(html: string, start: number): { attributes: Map<string, string>; end: number } {
  const attributes = new Map<string, string>()
  let at = start
  for (;;) {
    const match = matchAt(ATTRIBUTE, html, at)
    if (!match) break
    const [whole, name = '', double, single, bare] = match
    // The first of two with one name counts.
    const key = name.toLowerCase()
    if (!attributes.has(key) && attributes.size < 100)
      attributes.set(key, decodeEntities(double ?? single ?? bare ?? ''))
    at += whole.length
    // A value whose quote is never closed runs to the end.
    if (/^\s{0,20}=\s{0,20}["']/.test(html.slice(at, at + 42))) return { attributes, end: html.length }
  }
  return { attributes, end: after(html, '>', at) }
}

function matchAt(pattern: RegExp, text: string, at: number): RegExpExecArray | null {
  pattern.lastIndex = at
  return pattern.exec(text)
}

/** Behind the next `mark`; the end where there is none. */
function after(text: string, mark: string, from: number): number {
  const at = text.indexOf(mark, from)
  return at < 0 ? text.length : at + mark.length
}
