import { visibleText } from '@agentos/sdk'

/** What a stretch of text looks like. `code` is inline, `pre` a block. */
export type Style = 'bold' | 'italic' | 'strike' | 'code' | 'pre' | 'quote' | 'link'

/** From `start` up to, not including, `end`, in UTF-16 units. Spans nest or stand apart; they never cross. */
export interface Span {
  style: Style
  start: number
  end: number
  /** Of a link. */
  url?: string
  /** Of a block of code, where it was named. */
  language?: string
}

/**
 * A text and what it looks like, in no service's markup: each channel writes it in its own. It is made by `readMarkdown` and
 * `plain` alone, which make visible what would act, hide or turn it round, whoever wrote it.
 */
export interface RichText {
  text: string
  /** By start, the outer before the inner. */
  spans: Span[]
}

export function plain(text: string): RichText {
  return { text: visibleText(text), spans: [] }
}

/** The spans as a tree: what a writer of markup with start and end tags walks. */
export interface SpanNode extends Span {
  children: SpanNode[]
}

export function spanTree({ spans }: RichText): SpanNode[] {
  const roots: SpanNode[] = []
  const open: SpanNode[] = []
  for (const span of spans) {
    const node: SpanNode = { ...span, children: [] }
    while (open.length > 0 && open.at(-1)!.end <= node.start) open.pop()
    const siblings = open.at(-1)?.children ?? roots
    siblings.push(node)
    open.push(node)
  }
  return roots
}

/** The text with its spans written by `tag`, what stands between them by `plainText`. */
export function render(
  rich: RichText,
  plainText: (text: string) => string,
  tag: (span: Span, inner: string) => string,
): string {
  const walk = (nodes: SpanNode[], from: number, to: number): string => {
    let out = ''
    let at = from
    for (const node of nodes) {
      out += plainText(rich.text.slice(at, node.start))
      out += tag(node, walk(node.children, node.start, node.end))
      at = node.end
    }
    return out + plainText(rich.text.slice(at, to))
  }
  return walk(spanTree(rich), 0, rich.text.length)
}
