import type { RichText, Span } from './rich-text.ts'

/** What one sees as one character: a letter with its marks, emoji that are joined. */
const CHARACTERS = new Intl.Segmenter(undefined, { granularity: 'grapheme' })

/**
 * Cuts a text into pieces of at most `limit` UTF-16 units (which is never more than as many characters): between
 * paragraphs where that leaves at least half, else between lines, else between words, never within a character. A span
 * that a cut goes through is closed and opened again. Blank space at a cut is dropped.
 */
export function splitText(rich: RichText, limit: number): RichText[] {
  const pieces: RichText[] = []
  let start = skipBlank(rich.text, 0)
  while (start < rich.text.length) {
    const end = rich.text.length - start <= limit ? rich.text.length : cutAt(rich.text, start, limit)
    const piece = part(rich, start, end)
    if (piece.text !== '') pieces.push(piece)
    start = end < rich.text.length ? skipLines(rich.text, end) : end
  }
  return pieces
}

function cutAt(text: string, start: number, limit: number): number {
  const window = text.slice(start, start + limit + 1)
  for (const separator of ['\n\n', '\n', ' ']) {
    const found = window.lastIndexOf(separator, limit)
    if (found >= limit / 2) return start + found
  }
  const within = CHARACTERS.segment(window).containing(limit)?.index ?? limit
  if (within >= limit / 2) return start + within
  // A character of so many marks is cut, but not between the halves of one outside of the basic plane.
  const end = start + limit
  const code = text.charCodeAt(end)
  const splitsPair = code >= 0xdc00 && code <= 0xdfff
  return splitsPair ? end - 1 : end
}

function part({ text, spans }: RichText, start: number, end: number): RichText {
  const length = text.slice(start, end).trimEnd().length
  const clipped = spans
    .map(
      (span): Span => ({
        ...span,
        start: Math.max(span.start - start, 0),
        end: Math.min(span.end - start, length),
      }),
    )
    .filter((span) => span.end > span.start)
  return { text: text.slice(start, start + length), spans: clipped }
}

function skipLines(text: string, at: number): number {
  let next = at
  while (text[next] === '\n' || (text[next] === ' ' && next === at)) next += 1
  return next
}

function skipBlank(text: string, at: number): number {
  let next = at
  while (next < text.length && text[next] === '\n') next += 1
  return next
}
