import { type RichText, render, type Span } from '@agentos/channel-kit'

/** The HTML style of the Bot API. */
export function toHtml(rich: RichText): string {
  return render(rich, escapeHtml, tag)
}

function tag(span: Span, inner: string): string {
  switch (span.style) {
    case 'bold':
      return `<b>${inner}</b>`
    case 'italic':
      return `<i>${inner}</i>`
    case 'strike':
      return `<s>${inner}</s>`
    case 'code':
      return `<code>${inner}</code>`
    case 'pre': {
      const { language } = span
      const code = language === undefined ? inner : `<code class="language-${escapeHtml(language)}">${inner}</code>`
      return `<pre>${code}</pre>`
    }
    case 'quote':
      return `<blockquote>${inner}</blockquote>`
    case 'link':
      return `<a href="${escapeHtml(span.url ?? '')}">${inner}</a>`
  }
}

function escapeHtml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')
}
