import { decodeEntities } from './entities.ts'
import { htmlTokens } from './html-tokens.ts'

export interface PageText {
  title: string | null
  text: string
}

/** What is not there for a reader. */
const UNREAD = new Set([
  ...[
    'script',
    'style',
    'noscript',
    'template',
    'svg',
    'math',
    'iframe',
    'object',
    'canvas',
    'audio',
    'video',
    'select',
  ],
  ...['noembed', 'noframes', 'dialog', 'button', 'map'],
])
const VOID = new Set([
  'br',
  'hr',
  'img',
  'input',
  'meta',
  'link',
  'wbr',
  'source',
  'col',
  'area',
  'base',
  'embed',
  'track',
])
const PARAGRAPHS = new Set([
  ...['p', 'div', 'section', 'article', 'main', 'header', 'footer', 'aside', 'nav', 'ul', 'ol', 'dl', 'table', 'form'],
  ...['blockquote', 'pre', 'figure', 'figcaption', 'address', 'fieldset', 'details', 'summary', 'h1', 'h2', 'h3', 'h4'],
  ...['h5', 'h6', 'hr', 'body'],
])
const LINES = new Set(['br', 'li', 'tr', 'dt', 'dd', 'option', 'caption', 'thead', 'tbody'])

/** The readable text of a page, with headings, lists and links as in Markdown. Hidden elements are left out. */
export function htmlToText(html: string, base: URL): PageText {
  const reader = new Reader(base)
  for (const token of htmlTokens(html)) {
    if (token.kind === 'text') reader.text(token.text)
    else if (token.kind === 'open') reader.open(token.name, token.attributes)
    else reader.close(token.name)
  }
  return reader.result()
}

class Reader {
  /** What links are relative to. */
  private base: URL
  private hasBase = false
  private readonly parts: string[] = []
  private title: string | undefined
  private inTitle = false
  /** Of what is left out: the element, and how many of its name are open in it. */
  private unread: { name: string; depth: number } | undefined
  private preformatted = 0
  private link: { href: string; at: number } | undefined
  /** What separates the next text from the last: nothing, a space, a line, a paragraph. */
  private gap: '' | ' ' | '\n' | '\n\n' = ''

  constructor(base: URL) {
    this.base = base
  }

  open(name: string, attributes: Map<string, string>): void {
    if (this.unread) {
      if (name === this.unread.name) this.unread.depth += 1
      return
    }
    if (VOID.has(name)) {
      if (name === 'img') this.image(attributes.get('alt'))
      else if (name === 'base') this.moveBase(attributes.get('href'))
      this.separate(name)
      return
    }
    if (UNREAD.has(name) || isHidden(attributes)) {
      this.unread = { name, depth: 1 }
      return
    }
    this.separate(name)
    if (name === 'title') this.inTitle = this.title === undefined
    else if (name === 'pre') this.preformatted += 1
    else if (name === 'li') this.write('- ')
    else if (/^h[1-6]$/.test(name)) this.write(`${'#'.repeat(Number(name[1]))} `)
    else if (name === 'a') this.startLink(attributes.get('href'))
    else if ((name === 'td' || name === 'th') && this.gap === '') this.gap = ' '
  }

  close(name: string): void {
    if (this.unread) {
      if (name === this.unread.name) this.unread.depth -= 1
      if (this.unread.depth === 0) this.unread = undefined
      return
    }
    if (name === 'title') this.inTitle = false
    else if (name === 'pre') this.preformatted = Math.max(0, this.preformatted - 1)
    else if (name === 'a') this.endLink()
    else if (name === 'td' || name === 'th') this.write(' |')
    this.separate(name)
  }

  text(source: string): void {
    if (this.unread) return
    const text = decodeEntities(source)
    if (this.inTitle) {
      this.title = `${this.title ?? ''}${text}`.replaceAll(/\s+/g, ' ').trim().slice(0, 500)
      return
    }
    if (this.preformatted > 0) {
      if (text !== '') this.write(text)
      return
    }
    const words = text.replaceAll(/\s+/g, ' ')
    if (words.startsWith(' ') && this.gap === '') this.gap = ' '
    const trimmed = words.trim()
    if (trimmed === '') return
    this.write(trimmed)
    if (words.endsWith(' ')) this.gap = ' '
  }

  result(): PageText {
    const text = this.parts
      .join('')
      .replaceAll(/(?<![ \t])[ \t]+\n/g, '\n')
      .replaceAll(/\n{3,}/g, '\n\n')
      .trim()
    return { title: this.title || null, text }
  }

  private write(text: string): void {
    const last = this.parts.at(-1) ?? '\n'
    if (this.gap !== '' && !(this.gap === ' ' && /\s$/.test(last))) this.parts.push(this.gap)
    this.gap = ''
    this.parts.push(text)
  }

  private separate(name: string): void {
    if (PARAGRAPHS.has(name)) this.gap = '\n\n'
    else if (LINES.has(name) && this.gap !== '\n\n') this.gap = '\n'
  }

  private image(alt: string | undefined): void {
    if (alt?.trim()) this.write(`[image: ${alt.trim().slice(0, 200)}]`)
  }

  /** The first `<base>` with an address counts, even where that cannot be used. */
  private moveBase(href: string | undefined): void {
    if (href === undefined || this.hasBase) return
    this.hasBase = true
    const base = URL.canParse(href, this.base) ? new URL(href, this.base) : undefined
    if (base && /^https?:$/.test(base.protocol)) this.base = base
  }

  private startLink(href: string | undefined): void {
    const url = href !== undefined && URL.canParse(href, this.base) ? new URL(href, this.base) : undefined
    const leadsOut = url && /^https?:$/.test(url.protocol) && !href?.startsWith('#')
    this.link = leadsOut ? { href: url.href, at: this.parts.length } : undefined
  }

  private endLink(): void {
    const { link } = this
    this.link = undefined
    if (!link || this.parts.length <= link.at) return
    const label = this.parts.splice(link.at).join('')
    const [, before = '', words = ''] = /^(\s*)([\s\S]*)$/.exec(label) ?? []
    this.parts.push(before, words.trim() === '' ? '' : `[${words.trim()}](${link.href})`)
  }
}

function isHidden(attributes: Map<string, string>): boolean {
  if (attributes.has('hidden') || attributes.get('aria-hidden')?.toLowerCase() === 'true') return true
  return /(?:display\s*:\s*none|visibility\s*:\s*hidden)/i.test(attributes.get('style') ?? '')
}
