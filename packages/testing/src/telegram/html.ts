import { badRequest } from './refusal.ts'

/** Offset and length in UTF-16 units, as in the Bot API. */
export interface Entity {
  type: string
  offset: number
  length: number
  url?: string
  language?: string
}

const TAGS: Record<string, string> = {
  b: 'bold',
  strong: 'bold',
  i: 'italic',
  em: 'italic',
  u: 'underline',
  ins: 'underline',
  s: 'strikethrough',
  strike: 'strikethrough',
  del: 'strikethrough',
  'tg-spoiler': 'spoiler',
  a: 'text_link',
  code: 'code',
  pre: 'pre',
  blockquote: 'blockquote',
}
const NAMED: Record<string, string> = { lt: '<', gt: '>', amp: '&', quot: '"' }

/** Parses the HTML style of the Bot API: its few tags, closed in order; everything else is refused. */
export function parseHtml(html: string): { text: string; entities: Entity[] } {
  let text = ''
  const entities: Entity[] = []
  const open: { tag: string; entity: Entity }[] = []
  let at = 0
  while (at < html.length) {
    const character = html[at]!
    if (character === '&') {
      const found = /^&(?:#(\d{1,7})|#x([0-9a-fA-F]{1,6})|(lt|gt|amp|quot));/.exec(html.slice(at, at + 12))
      text += found ? decode(found) : '&'
      at += found ? found[0].length : 1
    } else if (character !== '<') {
      text += character
      at += 1
    } else {
      const place = Buffer.byteLength(html.slice(0, at))
      const end = html.indexOf('>', at)
      if (end < 0) throw parseError(`Unclosed start tag at byte offset ${place}`)
      readTag(html.slice(at + 1, end), place)
      at = end + 1
    }
  }
  const left = open.at(-1)
  if (left) throw parseError(`Can't find end tag corresponding to start tag "${left.tag}"`)
  return { text, entities: entities.filter(({ length }) => length > 0) }

  function readTag(inside: string, place: number): void {
    if (inside.startsWith('/')) return close(inside.slice(1).trim().toLowerCase(), place)
    const [, name = '', attributes = ''] = /^([a-zA-Z-]*)([\s\S]*)$/.exec(inside) ?? []
    const tag = name.toLowerCase()
    const type = TAGS[tag]
    if (type === undefined) throw parseError(`Unsupported start tag "${tag}" at byte offset ${place}`)
    const entity: Entity = { type, offset: text.length, length: 0 }
    readAttributes(tag, attributes, entity, place)
    if (['code', 'pre'].includes(open.at(-1)?.tag ?? '') && !(tag === 'code' && open.at(-1)?.tag === 'pre')) {
      throw parseError(`Tag "${tag}" must not be nested in code at byte offset ${place}`)
    }
    open.push({ tag, entity })
    entities.push(entity)
  }

  function close(tag: string, place: number): void {
    const last = open.pop()
    if (!last) throw parseError(`Unexpected end tag at byte offset ${place}`)
    if (tag !== last.tag) {
      throw parseError(`Unmatched end tag at byte offset ${place}, expected "</${last.tag}>", found "</${tag}>"`)
    }
    last.entity.length = text.length - last.entity.offset
  }

  /** `pre` with a `code` of a class within is one entity with a language. */
  function readAttributes(tag: string, attributes: string, entity: Entity, place: number): void {
    const given = attributes.trim()
    if (given === '') {
      if (tag === 'a') throw parseError(`A link without href at byte offset ${place}`)
      return
    }
    const [, name, value] = /^(href|class)="([^"]*)"$/.exec(given) ?? []
    if (tag === 'a' && name === 'href') entity.url = parseHtmlText(value!)
    else if (tag === 'code' && name === 'class' && value!.startsWith('language-')) {
      const outer = open.at(-1)
      if (outer?.tag === 'pre') outer.entity.language = value!.slice('language-'.length)
      entity.length = 0
    } else throw parseError(`Unexpected attributes in tag "${tag}" at byte offset ${place}`)
  }
}

function parseHtmlText(text: string): string {
  return text.replaceAll(/&(?:#(\d+)|#x([0-9a-fA-F]+)|(lt|gt|amp|quot));/g, (...found) => decode(found as string[]))
}

function decode([, decimal, hex, name]: readonly (string | undefined)[]): string {
  if (name !== undefined) return NAMED[name]!
  return String.fromCodePoint(decimal === undefined ? Number.parseInt(hex!, 16) : Number(decimal))
}

function parseError(what: string) {
  return badRequest(`can't parse entities: ${what}`)
}
