import type { ComponentChild } from 'preact'
import { useMemo } from 'preact/hooks'
import { type Block, type Inline, parseMarkdown } from './markdown.ts'

export function MarkdownText({ source }: { source: string }) {
  const blocks = useMemo(() => parseMarkdown(source), [source])
  return <div class="markdown">{blocks.map(drawBlock)}</div>
}

function drawBlock(block: Block, key: number): ComponentChild {
  switch (block.kind) {
    case 'paragraph':
      return <p key={key}>{block.inlines.map(drawInline)}</p>
    case 'quote':
      return <blockquote key={key}>{block.inlines.map(drawInline)}</blockquote>
    case 'heading': {
      // The page has its own first and second heading.
      const Heading = block.level <= 2 ? 'h3' : 'h4'
      return <Heading key={key}>{block.inlines.map(drawInline)}</Heading>
    }
    case 'code':
      return (
        <pre key={key}>
          <code>{block.text}</code>
        </pre>
      )
    case 'list': {
      const items = block.items.map((item, index) => <li key={index}>{item.map(drawInline)}</li>)
      return block.ordered ? (
        <ol key={key} start={block.start}>
          {items}
        </ol>
      ) : (
        <ul key={key}>{items}</ul>
      )
    }
    case 'rule':
      return <hr key={key} />
  }
}

function drawInline(inline: Inline, key: number): ComponentChild {
  switch (inline.kind) {
    case 'text':
      return inline.text
    case 'code':
      return <code key={key}>{inline.text}</code>
    case 'strong':
      return <strong key={key}>{inline.inlines.map(drawInline)}</strong>
    case 'emphasis':
      return <em key={key}>{inline.inlines.map(drawInline)}</em>
    case 'link':
      return (
        <a key={key} href={inline.href} target="_blank" rel="noopener noreferrer">
          {inline.inlines.map(drawInline)}
        </a>
      )
  }
}
