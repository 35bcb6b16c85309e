import type { KnownSecrets } from '@agentos/protocol'
import type { Span } from '../../core/spans.ts'

const MAX = { name: 256, text: 1_024, message: 4_096, attributes: 64, depth: 6, items: 100 }
/** Last words of attribute names' segments under which clients record what was sent and answered. */
const PAYLOAD = /(?:^|[._])(?:payload|input|output|body|arguments|result|prompt|completion|content|messages)(?:\.|$)/i

export interface RedactorOptions {
  /** What is never written. */
  secrets: KnownSecrets
  recordPayloads: boolean
}

/**
 * Takes known secrets, and payloads where they are not wanted, out of what is recorded, and bounds its size. A secret is
 * taken out before a text is cut, so that no half of one stays.
 */
export class Redactor {
  private readonly options: RedactorOptions

  constructor(options: RedactorOptions) {
    this.options = options
  }

  span(span: Span): Span {
    const names: string[] = []
    const values: Span['attributes'][string][] = []
    for (const name in span.attributes) {
      const value = span.attributes[name]!
      if (names.length >= MAX.attributes) break
      if (typeof value === 'string' && !this.options.recordPayloads && PAYLOAD.test(name)) continue
      names.push(name)
      values.push(value)
    }
    const texts = values.filter((value) => typeof value === 'string')
    const bounds = [MAX.name, MAX.name, MAX.text, ...names.map(() => MAX.name)]
    const [name = '', service = '', message = '', ...rest] = this.texts(
      [span.name, span.service, span.statusMessage ?? '', ...names, ...texts],
      bounds,
    )
    const attributes: Span['attributes'] = {}
    let next = names.length
    values.forEach((value, index) => {
      attributes[rest[index] as string] = typeof value === 'string' ? (rest[next++] as string) : value
    })
    return {
      ...span,
      name,
      service,
      attributes,
      ...(span.statusMessage === undefined ? {} : { statusMessage: message }),
    }
  }

  text(text: string, max: number): string {
    return this.texts([text], [max])[0] as string
  }

  /** A record of a log: a secret that is split over its message and its fields is found, too. */
  log({ message, data }: { message: string; data: unknown }): { message: string; data: unknown } {
    const bounded = { message: this.ahead(message, MAX.message), data: this.bounded(data, MAX.depth) }
    const clean = this.options.secrets.value(bounded)
    return { message: cut(clean.message, MAX.message), data: shortened(clean.data) }
  }

  /** `max` is that of each text, in order; the others have the common one. */
  private texts(texts: readonly string[], max: readonly number[]): string[] {
    const ahead = texts.map((text, index) => this.ahead(text, max[index] ?? MAX.text))
    return this.options.secrets.texts(ahead).map((text, index) => cut(text, max[index] ?? MAX.text))
  }

  /** As much as a secret may take that begins within the bound. */
  private ahead(text: string, max: number): string {
    const most = max + this.options.secrets.longest
    return text.length > most ? text.slice(0, most) : text
  }

  /** Any JSON value, to a bounded depth and width. */
  private bounded(value: unknown, depth: number): unknown {
    if (typeof value === 'string') return this.ahead(value, MAX.text)
    if (typeof value !== 'object' || value === null) return value
    if (depth === 0) return '…'
    if (Array.isArray(value)) return value.slice(0, MAX.items).map((item) => this.bounded(item, depth - 1))
    const entries = Object.entries(value).slice(0, MAX.items)
    return Object.fromEntries(
      entries.map(([key, inner]) => [this.ahead(key, MAX.name), this.bounded(inner, depth - 1)]),
    )
  }
}

const cut = (text: string, max: number): string => (text.length > max ? `${text.slice(0, max - 1)}…` : text)

function shortened(value: unknown): unknown {
  if (typeof value === 'string') return cut(value, MAX.text)
  if (Array.isArray(value)) return value.map(shortened)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [cut(key, MAX.name), shortened(inner)]))
}
