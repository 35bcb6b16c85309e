import type { Span } from '../../core/spans.ts'

const MAX = { name: 256, text: 1_024, attributes: 64, depth: 6, items: 100 }
const MASK = '[redacted]'
/** Shorter values would blank out ordinary words. */
const MIN_SECRET = 4
/** Last words of attribute names' segments under which clients record what was sent and answered. */
const PAYLOAD = /(?:^|[._])(?:payload|input|output|body|arguments|result|prompt|completion|content|messages)(?:\.|$)/i

export interface RedactorOptions {
  /** Values that are never written; the same list as long as nothing changed. */
  secrets: () => readonly string[]
  recordPayloads: boolean
}

/** Takes known secrets, and payloads where they are not wanted, out of what is recorded, and bounds its size. */
export class Redactor {
  private readonly options: RedactorOptions
  private known: readonly string[] = []
  private pattern: RegExp | undefined

  constructor(options: RedactorOptions) {
    this.options = options
  }

  span(span: Span): Span {
    const attributes: Span['attributes'] = {}
    let count = 0
    for (const name in span.attributes) {
      const value = span.attributes[name]!
      if (count >= MAX.attributes) break
      if (typeof value === 'string' && !this.options.recordPayloads && PAYLOAD.test(name)) continue
      attributes[this.text(name, MAX.name)] = typeof value === 'string' ? this.text(value) : value
      count += 1
    }
    const clean: Span = {
      ...span,
      name: this.text(span.name, MAX.name),
      service: this.text(span.service, MAX.name),
      attributes,
    }
    if (span.statusMessage !== undefined) clean.statusMessage = this.text(span.statusMessage)
    return clean
  }

  /** A secret is taken out before the text is cut, so that no half of one stays. */
  text(text: string, max: number = MAX.text): string {
    const pattern = this.secretPattern()
    const clean = pattern ? text.replace(pattern, MASK) : text
    return clean.length > max ? `${clean.slice(0, max - 1)}…` : clean
  }

  /** Any JSON value, to a bounded depth and width. */
  value(value: unknown, depth: number = MAX.depth): unknown {
    if (typeof value === 'string') return this.text(value)
    if (typeof value !== 'object' || value === null) return value
    if (depth === 0) return '…'
    if (Array.isArray(value)) return value.slice(0, MAX.items).map((item) => this.value(item, depth - 1))
    const entries = Object.entries(value).slice(0, MAX.items)
    return Object.fromEntries(entries.map(([key, inner]) => [this.text(key, MAX.name), this.value(inner, depth - 1)]))
  }

  private secretPattern(): RegExp | undefined {
    const secrets = this.options.secrets()
    if (secrets !== this.known) {
      this.known = secrets
      const parts = [...new Set(secrets.filter((secret) => secret.length >= MIN_SECRET))]
        // A longer secret that contains a shorter one goes whole.
        .sort((a, b) => b.length - a.length)
        .map((secret) => secret.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&'))
      this.pattern = parts.length === 0 ? undefined : new RegExp(parts.join('|'), 'g')
    }
    return this.pattern
  }
}
