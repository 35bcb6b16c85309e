/** A piece of a line. */
export type Inline =
  | { kind: 'text'; text: string }
  | { kind: 'code'; text: string }
  | { kind: 'strong' | 'emphasis'; inlines: Inline[] }
  | { kind: 'link'; href: string; inlines: Inline[] }

export type Block =
  | { kind: 'paragraph' | 'quote'; inlines: Inline[] }
  | { kind: 'heading'; level: number; inlines: Inline[] }
  | { kind: 'code'; language: string; text: string }
  | { kind: 'list'; ordered: boolean; start: number; items: Inline[][] }
  | { kind: 'rule' }

const FENCE = /^ {0,3}(```+|~~~+)\s*([^\s`]*)/
const HEADING = /^ {0,3}(#{1,6})(?=\s)(.*)$/
const ITEM = /^\s*(?:([-*+])|(\d{1,9})[.)])\s+(.*)$/
const RULE = /^ {0,3}([-*_])(?:\s*\1){2,}\s*$/
const QUOTE = /^ {0,3}>\s?(.*)$/

/**
 * The part of Markdown that models write most. It ends in a value, never in HTML: what a model or a guest says can
 * only become text, and links lead only to the web or to a mail address. A block that is still being written is read
 * as if it ended here.
 */
export function parseMarkdown(source: string): Block[] {
  const lines = source.split(/\r\n?|\n/)
  const blocks: Block[] = []
  let at = 0
  const take = (pattern: RegExp): RegExpExecArray[] => {
    const found: RegExpExecArray[] = []
    for (let match = pattern.exec(lines[at] ?? ''); match && at < lines.length; match = pattern.exec(lines[at] ?? '')) {
      found.push(match)
      at += 1
    }
    return found
  }
  while (at < lines.length) {
    const line = lines[at]!
    const fence = FENCE.exec(line)
    const heading = HEADING.exec(line)
    if (line.trim() === '') at += 1
    else if (fence) {
      let end = at + 1
      while (end < lines.length && !lines[end]!.trim().startsWith(fence[1]!)) end += 1
      blocks.push({ kind: 'code', language: fence[2]!, text: lines.slice(at + 1, end).join('\n') })
      at = end + 1
    } else if (heading) {
      blocks.push({ kind: 'heading', level: heading[1]!.length, inlines: parseInline(headingText(heading[2]!)) })
      at += 1
    } else if (RULE.test(line)) {
      blocks.push({ kind: 'rule' })
      at += 1
    } else if (QUOTE.test(line)) {
      const text = take(QUOTE).map((match) => match[1])
      blocks.push({ kind: 'quote', inlines: parseInline(text.join('\n')) })
    } else if (ITEM.test(line)) {
      const items = take(ITEM)
      const number = items[0]![2]
      blocks.push({
        kind: 'list',
        ordered: number !== undefined,
        start: Number(number ?? 1),
        items: items.map((match) => parseInline(match[3]!)),
      })
    } else {
      const text = take(/^(?!\s*$)(?! {0,3}(?:```|~~~|>|#{1,6}\s))(?!\s*(?:[-*+]|\d{1,9}[.)])\s)(.*)$/)
      // A line that looks like the beginning of a block and is none (`#hashtag`) must not stop the page.
      const own = text.length > 0 ? text.map((match) => match[1]) : [lines[at++]]
      blocks.push({ kind: 'paragraph', inlines: parseInline(own.join('\n')) })
    }
  }
  return blocks
}

/** Without the number signs that may close it. */
const headingText = (line: string): string =>
  line
    .trimEnd()
    .replace(/(?<!#)#+$/, '')
    .trim()

/** Where a mark ends is looked for in bounds: a page of nothing but beginnings must not stop the browser. */
const INLINE =
  /(?<!`)(?<code>`+)(?!`)(?<coded>.{1,4000}?)\k<code>(?!`)|\*\*(?<strong>\S(?:.{0,1000}?\S)?)\*\*|(?<!\w)(?<mark>[*_])(?<emphasis>[^\s*_](?:.{0,1000}?[^\s*_])?)\k<mark>(?!\w)|\[(?<label>[^\]\n]{1,1000})\]\((?<href>[^\s()]+)\)|(?<url>https?:\/\/[^\s<>"'`)\]]*[^\s<>"'`)\].,;:!?])/gs

function parseInline(text: string): Inline[] {
  const inlines: Inline[] = []
  let end = 0
  for (const match of text.matchAll(INLINE)) {
    if (match.index > end) inlines.push({ kind: 'text', text: text.slice(end, match.index) })
    inlines.push(inlineOf(match[0], match.groups ?? {}))
    end = match.index + match[0].length
  }
  if (end < text.length) inlines.push({ kind: 'text', text: text.slice(end) })
  return inlines
}

function inlineOf(whole: string, groups: Record<string, string | undefined>): Inline {
  const { coded, strong, emphasis, label, href, url } = groups
  if (coded !== undefined) return { kind: 'code', text: coded.replace(/^ (.+) $/, '$1') }
  if (strong !== undefined) return { kind: 'strong', inlines: parseInline(strong) }
  if (emphasis !== undefined) return { kind: 'emphasis', inlines: parseInline(emphasis) }
  if (url !== undefined) return { kind: 'link', href: url, inlines: [{ kind: 'text', text: url }] }
  if (label !== undefined && href !== undefined && isSafeLink(href)) {
    return { kind: 'link', href, inlines: [{ kind: 'text', text: label }] }
  }
  return { kind: 'text', text: whole }
}

/** No `javascript:`, no `data:`, nothing relative to this page. */
const isSafeLink = (href: string): boolean => /^(https?:\/\/|mailto:)/i.test(href)
