import type { ErrorBody } from '@agentos/protocol'
import type { Clock } from '../core/ports.ts'
import {
  DEFAULT_TRACE_BOUNDS,
  isFiring,
  isInternal,
  isRoot,
  partOf,
  type Span,
  spanBytes,
  type TraceBounds,
  type TracePage,
  type TracePart,
  type TraceQuery,
  type TraceStore,
} from './trace-store.ts'

/** The latest spans in memory, within bounds; answers at once. */
export class MemoryTraceStore implements TraceStore {
  private readonly clock: Clock
  private readonly bounds: TraceBounds
  private entries: { span: Span; bytes: number }[] = []
  /** Entries before this one are dropped and wait to be cut off. */
  private first = 0
  private bytes = 0

  constructor(options: { clock: Clock; bounds?: Partial<TraceBounds> }) {
    this.clock = options.clock
    this.bounds = { ...DEFAULT_TRACE_BOUNDS, ...options.bounds }
  }

  append(spans: readonly Span[]): void {
    for (const span of spans) {
      const bytes = spanBytes(span)
      this.entries.push({ span, bytes })
      this.bytes += bytes
    }
    this.trim()
  }

  byTrace(traceId: string, maxBytes: number, done: (found: TracePart, error?: ErrorBody) => void): void {
    const found = this.spans().filter((span) => span.traceId === traceId)
    const { taken, cut } = partOf(found, maxBytes, spanBytes)
    done({ spans: taken, cut })
  }

  list(query: TraceQuery, done: (page: TracePage, error?: ErrorBody) => void): void {
    const found = this.spans().filter((span) => matches(span, query))
    found.sort(order(query))
    const page = found.slice(query.offset, query.offset + query.limit)
    const { taken, cut } = partOf(page, query.maxBytes, spanBytes)
    done({ spans: taken, total: found.length, cut })
  }

  clear(realm: string, done: (error?: ErrorBody) => void): void {
    const kept = this.spans().filter((span) => span.realm !== realm)
    this.entries = []
    this.first = 0
    this.bytes = 0
    this.append(kept)
    done()
  }

  private spans(): Span[] {
    this.trim()
    return this.entries.slice(this.first).map((entry) => entry.span)
  }

  private trim(): void {
    const { maxSpans, maxBytes, maxAgeMs } = this.bounds
    const oldest = this.clock.now() - maxAgeMs
    for (let entry = this.entries[this.first]; entry; entry = this.entries[this.first]) {
      const full = this.entries.length - this.first > maxSpans || this.bytes > maxBytes
      if (!full && entry.span.endMs >= oldest) break
      this.bytes -= entry.bytes
      this.first += 1
    }
    if (this.first > this.entries.length / 2) {
      this.entries = this.entries.slice(this.first)
      this.first = 0
    }
  }
}

function matches(span: Span, query: TraceQuery): boolean {
  const duration = span.endMs - span.startMs
  return (
    (span.realm === query.realm || (span.realm === query.firingsOf && isFiring(span))) &&
    (!query.traceIds || query.traceIds.includes(span.traceId)) &&
    (!query.rootsOnly || isRoot(span)) &&
    (query.includeInternal || !isInternal(span)) &&
    (query.service === undefined || span.service === query.service) &&
    (query.name === undefined || span.name.toLowerCase().includes(query.name.toLowerCase())) &&
    (query.status === undefined || span.status === query.status) &&
    duration >= (query.minDurationMs ?? 0) &&
    duration <= (query.maxDurationMs ?? Number.POSITIVE_INFINITY) &&
    span.startMs >= (query.startMs ?? 0) &&
    span.startMs <= (query.endMs ?? Number.POSITIVE_INFINITY) &&
    (query.attributes ?? []).every(([name, value]) => String(span.attributes[name]) === value)
  )
}

function order(query: TraceQuery): (a: Span, b: Span) => number {
  const sign = query.descending ? -1 : 1
  if (query.sortBy === 'name') return (a, b) => sign * (a.name < b.name ? -1 : a.name > b.name ? 1 : 0)
  if (query.sortBy === 'duration') return (a, b) => sign * (a.endMs - a.startMs - (b.endMs - b.startMs))
  return (a, b) => sign * (a.startMs - b.startMs)
}
