import type { Span } from '../../core/spans.ts'

/** A span in the protocol's shape. */
export interface SpanJson {
  trace_id: string
  span_id: string
  parent_span_id: string | null
  name: string
  start_time_unix_nano: number
  end_time_unix_nano: number
  status: Span['status']
  status_description?: string
  attributes: [string, string | number | boolean][]
  service_name: string
  events: never[]
  links: never[]
}

export interface SpanNode extends SpanJson {
  children: SpanNode[]
}

/** Below this the tree goes on flat: a chain of thousands of calls must not become a JSON text of that depth. */
const MAX_DEPTH = 200

export function spanJson(span: Span): SpanJson {
  return {
    trace_id: span.traceId,
    span_id: span.spanId,
    parent_span_id: span.parentSpanId ?? null,
    name: span.name,
    start_time_unix_nano: nanos(span.startMs),
    end_time_unix_nano: nanos(span.endMs),
    status: span.status,
    ...(span.statusMessage === undefined ? {} : { status_description: span.statusMessage }),
    attributes: Object.entries(span.attributes),
    service_name: span.service,
    events: [],
    links: [],
  }
}

/** Spans under those that caused them. A span whose parent is not known here is a root, and so is one of a circle. */
export function spanTree(spans: readonly Span[]): SpanNode[] {
  const nodes = new Map<string, SpanNode>()
  for (const span of spans) nodes.set(span.spanId, { ...spanJson(span), children: [] })
  const roots: SpanNode[] = []
  const placed = new Map<SpanNode, { depth: number; holder: SpanNode | undefined }>()
  const place = (node: SpanNode): void => {
    const chain: SpanNode[] = []
    let at: SpanNode | undefined = node
    while (at && !placed.has(at) && !chain.includes(at)) {
      chain.push(at)
      at = at.parent_span_id === null ? undefined : nodes.get(at.parent_span_id)
    }
    for (const next of chain.reverse()) attach(next)
  }
  const attach = (node: SpanNode): void => {
    const parent = node.parent_span_id === null ? undefined : nodes.get(node.parent_span_id)
    const above = parent && placed.get(parent)
    if (!parent || !above) {
      roots.push(node)
      placed.set(node, { depth: 0, holder: undefined })
      return
    }
    const deep = above.depth >= MAX_DEPTH
    const holder = deep ? (above.holder ?? parent) : parent
    holder.children.push(node)
    placed.set(node, { depth: deep ? above.depth : above.depth + 1, holder })
  }
  for (const node of nodes.values()) place(node)
  return roots
}

export function nanos(ms: number): number {
  // Microseconds are all that a clock reading holds; multiplied as whole numbers they stay exact.
  return Math.round(ms * 1_000) * 1_000
}
