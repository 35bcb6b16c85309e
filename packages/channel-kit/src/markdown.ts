import { visibleText } from '@agentos/sdk'
import type { RichText, Span, Style } from './rich-text.ts'

/** Inline marks, the longer before the shorter that it begins with. */
const MARKS: { mark: string; style: Style; inWord: boolean }[] = [
  { mark: '**', style: 'bold', inWord: true },
  { mark: '__', style: 'bold', inWord: false },
  { mark: '~~', style: 'strike', inWord: true },
  { mark: '*', style: 'italic', inWord: true },
  { mark: '_', style: 'italic', inWord: false },
]
const FENCE = /^ {0,3}(```+(?!`)|~~~+(?!~))(?=[^`]*$)\s*([\w+#.-]*)/
const HEADING = /^ {0,3}#{1,6}(?=\s)(.*)$/
const QUOTE = /^ {0,3}>\s?(.*)$/
const BULLET = /^(\s*)[-*+]\s+(.*)$/
const LINK = /^\[((?:[^[\]\\\n]|\\.)+)\]\((https?:\/\/(?:[^\s()]|\([^\s()]*\))+)\)/
/** Marks inside of marks; deeper ones stand as they are. */
const MAX_DEPTH = 6
/** How far the end of a mark is looked for, and at how many places, so that a line of a million stars costs no time. */
const REACH = 4_000
const MAX_PLACES = 40

/**
 * Reads the Markdown that models write: emphasis, code, links, headings (as bold lines), quotes and lists (as bullets).
 * What is not closed stands as it was written, so that half of an answer can be read too. Everything else is text, and all of it is made visible before it is read.
 */
export function readMarkdown(markdown: string): RichText {
  const writer = new Writer()
  const lines = visibleText(markdown).split('\n')
  let index = 0
  while (index < lines.length) {
    if (index > 0) writer.write('\n')
    index = readBlock(lines, index, writer)
  }
  return writer.finish()
}

/** Reads the block that begins at a line, and tells where the next one does. */
function readBlock(lines: string[], index: number, writer: Writer): number {
  const line = lines[index]!
  const fence = FENCE.exec(line)
  if (fence) return readFence(lines, index, writer, fence[1]!, fence[2]!)
  const quote = QUOTE.exec(line)
  if (quote) return readQuote(lines, index, writer)
  const heading = HEADING.exec(line)
  if (heading) writer.span('bold', () => readInline(headingText(heading[1]!), writer, 1))
  else {
    const bullet = BULLET.exec(line)
    if (bullet) writer.write(`${bullet[1]}• `)
    readInline(bullet ? bullet[2]! : line, writer, 0)
  }
  return index + 1
}

/** Without the number signs that may close it. */
function headingText(line: string): string {
  return line.replace(/(?<!#)#+$/, '').trim()
}

/** A fence that nothing closes reaches to the end: an answer that still comes in looks like its final form. */
function readFence(lines: string[], index: number, writer: Writer, mark: string, language: string): number {
  const closing = new RegExp(`^ {0,3}${mark[0]}{${mark.length},}\\s*$`)
  let end = index + 1
  while (end < lines.length && !closing.test(lines[end]!)) end += 1
  const code = lines.slice(index + 1, end).join('\n')
  writer.span('pre', () => writer.write(code), language === '' ? {} : { language })
  return end + 1
}

function readQuote(lines: string[], index: number, writer: Writer): number {
  let end = index
  while (end < lines.length && QUOTE.test(lines[end]!)) end += 1
  writer.span('quote', () => {
    for (const [at, line] of lines.slice(index, end).entries()) {
      if (at > 0) writer.write('\n')
      readInline(QUOTE.exec(line)![1]!, writer, 1)
    }
  })
  return end
}

function readInline(text: string, writer: Writer, depth: number): void {
  let at = 0
  while (at < text.length) {
    const next = readMark(text, at, writer, depth)
    if (next > at) at = next
    else {
      writer.write(text[at]!)
      at += 1
    }
  }
}

/** Reads what begins here as markup; the same place where it is none. */
function readMark(text: string, at: number, writer: Writer, depth: number): number {
  const character = text[at]!
  if (character === '\\' && /[\\`*_{}[\]()#+\-.!~>|]/.test(text[at + 1] ?? '')) {
    writer.write(text[at + 1]!)
    return at + 2
  }
  if (character === '`') return readCode(text, at, writer)
  if (depth >= MAX_DEPTH) return at
  if (character === '[') return readLink(text, at, writer, depth)
  for (const { mark, style, inWord } of MARKS) {
    if (!text.startsWith(mark, at)) continue
    const end = closingMark(text, at, mark, inWord)
    if (end < 0) continue
    writer.span(style, () => readInline(text.slice(at + mark.length, end), writer, depth + 1))
    return end + mark.length
  }
  return at
}

function readCode(text: string, at: number, writer: Writer): number {
  const mark = /^`+/.exec(text.slice(at))![0]
  const end = text.indexOf(mark, at + mark.length)
  const code = end < 0 ? '' : text.slice(at + mark.length, end)
  if (code.trim() === '') {
    writer.write(mark)
    return at + mark.length
  }
  writer.span('code', () => writer.write(mark.length > 1 ? code.trim() : code))
  return end + mark.length
}

function readLink(text: string, at: number, writer: Writer, depth: number): number {
  const link = LINK.exec(text.slice(at, at + REACH))
  if (!link) return at
  writer.span('link', () => readInline(link[1]!, writer, depth + 1), { url: link[2]! })
  return at + link[0].length
}

/** Where the emphasis that opens here closes: next to a letter on the inside, as Markdown wants it; else -1. */
function closingMark(text: string, at: number, mark: string, inWord: boolean): number {
  const inside = at + mark.length
  if (isBlank(text[inside]) || text[inside] === mark[0]) return -1
  if (!inWord && isWord(text[at - 1])) return -1
  let end = text.indexOf(mark, inside)
  for (
    let place = 0;
    place < MAX_PLACES && end >= 0 && end - at < REACH;
    place += 1, end = text.indexOf(mark, end + 1)
  ) {
    if (isBlank(text[end - 1])) continue
    // A single mark is not half of a double one.
    if (mark.length === 1 && (text[end + 1] === mark || text[end - 1] === mark)) continue
    if (!inWord && isWord(text[end + mark.length])) continue
    return end
  }
  return -1
}

function isBlank(character: string | undefined): boolean {
  return character === undefined || /\s/.test(character)
}

function isWord(character: string | undefined): boolean {
  return character !== undefined && /[\p{L}\p{N}_]/u.test(character)
}

class Writer {
  private text = ''
  private readonly spans: Span[] = []

  write(text: string): void {
    this.text += text
  }

  span(style: Style, write: () => void, more: { url?: string; language?: string } = {}): void {
    const span: Span = { style, start: this.text.length, end: this.text.length, ...more }
    this.spans.push(span)
    write()
    span.end = this.text.length
  }

  finish(): RichText {
    return { text: this.text, spans: this.spans.filter(({ start, end }) => end > start) }
  }
}
