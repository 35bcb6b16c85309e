/** A finished piece of work under a W3C trace id. Times are epoch milliseconds, with fractions. */
export interface Span {
  traceId: string
  spanId: string
  parentSpanId?: string
  name: string
  kind: 'call' | 'trigger' | 'http' | 'worker'
  startMs: number
  endMs: number
  status: 'ok' | 'error' | 'unset'
  statusMessage?: string
  service: string
  /** Installed worker whose credential the span came with; `service` may be what anybody calls themselves. Not stored. */
  worker?: string
  realm: string
  attributes: Record<string, string | number | boolean>
}

/** Where spans go: the traces module subscribes; the core, the edges and `/otel` record. */
export class SpanFeed {
  private readonly listeners: ((span: Span) => void)[] = []

  subscribe(listener: (span: Span) => void): void {
    this.listeners.push(listener)
  }

  record(span: Span): void {
    for (const listener of this.listeners) listener(span)
  }
}
