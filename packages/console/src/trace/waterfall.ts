import { type ModelFacts, modelFacts, type Span } from './span.ts'

export interface WaterfallRow {
  id: string
  depth: number
  name: string
  service: string
  /** Milliseconds after the beginning of the trace. */
  offsetMs: number
  durationMs: number
  /** It has not ended: all that is known of it are its children. */
  open: boolean
  failure?: string
  facts?: ModelFacts
  attributes: Span['attributes']
}

export interface Waterfall {
  rows: WaterfallRow[]
  durationMs: number
  /** Sums over the model calls. */
  totals: { input: number; output: number; microUsd: number; calls: number; unpriced: number }
}

export interface WaterfallOptions {
  /** Root of the trace, known before it ends. */
  root?: { id: string; name: string }
  /** Spans that are missing are still running; once false, they were not recorded, and nobody stands for them. */
  live?: boolean
  /** How long the request runs already; what is open reaches to here. */
  elapsedMs?: number
}

interface Node {
  id: string
  parent: string | null
  start: number
  end: number
  span?: Span
  children: Node[]
}

/**
 * Spans in any order as indented rows. A span is recorded when it ends, children before parents: while the trace is
 * live, a parent that is missing is drawn as open, over the time of its children.
 */
export function layOut(
  spans: readonly Span[],
  { root, live = false, elapsedMs = 0 }: WaterfallOptions = {},
): Waterfall {
  const nodes = new Map<string, Node>()
  for (const span of spans) {
    const { span_id: id, parent_span_id: parent, start_time_unix_nano: start, end_time_unix_nano: end } = span
    nodes.set(id, { id, parent, start: start / 1e6, end: end / 1e6, span, children: [] })
  }
  if (live) addOpen(nodes, root?.id)
  const roots: Node[] = []
  for (const node of nodes.values()) {
    const parent = node.parent === null ? undefined : nodes.get(node.parent)
    if (parent && !isAbove(node, parent, nodes)) parent.children.push(node)
    else roots.push(node)
  }
  const begin = Math.min(...roots.map((node) => node.start))
  for (const node of roots) stretch(node, begin + elapsedMs)
  const end = Math.max(...[...nodes.values()].map((node) => node.end))
  const rows: WaterfallRow[] = []
  const draw = (siblings: Node[], depth: number): void => {
    for (const node of siblings.sort((a, b) => a.start - b.start || b.end - a.end)) {
      rows.push(rowOf(node, depth, begin, root))
      draw(node.children, depth + 1)
    }
  }
  draw(roots, 0)
  return { rows, durationMs: nodes.size === 0 ? 0 : end - begin, totals: totalsOf(rows) }
}

/** Stands in for parents that are not here; what hangs in the air hangs under the root. */
function addOpen(nodes: Map<string, Node>, root: string | undefined): void {
  for (const { parent, start, end } of [...nodes.values()]) {
    if (parent === null || nodes.has(parent)) continue
    nodes.set(parent, { id: parent, parent: parent === root ? null : (root ?? null), start, end, children: [] })
  }
  if (root !== undefined && nodes.size > 0 && !nodes.has(root)) {
    const first = Math.min(...[...nodes.values()].map((node) => node.start))
    nodes.set(root, { id: root, parent: null, start: first, end: first, children: [] })
  }
}

/** A circle of parents must not hide its spans. */
function isAbove(node: Node, start: Node, nodes: Map<string, Node>): boolean {
  const seen = new Set<Node>()
  for (let at: Node | undefined = start; at && !seen.has(at); at = nodes.get(at.parent ?? '')) {
    if (at === node) return true
    seen.add(at)
  }
  return false
}

/** What is open reaches over all its children, and to the present. */
function stretch(node: Node, now: number): void {
  if (!node.span) node.end = Math.max(node.end, now)
  for (const child of node.children) {
    stretch(child, now)
    if (node.span) continue
    node.start = Math.min(node.start, child.start)
    node.end = Math.max(node.end, child.end)
  }
}

function rowOf(node: Node, depth: number, begin: number, root: WaterfallOptions['root']): WaterfallRow {
  const { id, start, end, span } = node
  const facts = span && modelFacts(span)
  return {
    id,
    depth,
    name: span?.name ?? (id === root?.id ? root.name : 'in progress'),
    service: span?.service_name ?? '',
    offsetMs: start - begin,
    durationMs: end - start,
    open: span === undefined,
    ...(span?.status === 'error' ? { failure: span.status_description ?? 'failed' } : {}),
    ...(facts ? { facts } : {}),
    attributes: span?.attributes ?? [],
  }
}

function totalsOf(rows: WaterfallRow[]): Waterfall['totals'] {
  const totals = { input: 0, output: 0, microUsd: 0, calls: 0, unpriced: 0 }
  for (const { facts } of rows) {
    if (facts?.input === undefined && facts?.output === undefined) continue
    totals.calls += 1
    totals.input += facts.input ?? 0
    totals.output += facts.output ?? 0
    totals.microUsd += facts.microUsd ?? 0
    if (facts.microUsd === undefined) totals.unpriced += 1
  }
  return totals
}
