import type { ErrorBody } from '@agentos/protocol'
import type { Ports, Timer } from '../../core/ports.ts'
import type { Span } from '../../core/spans.ts'
import { MemoryTraceStore } from '../../store/memory-trace-store.ts'
import {
  partOf,
  spanBytes,
  type TracePage,
  type TracePart,
  type TraceQuery,
  type TraceStore,
} from '../../store/trace-store.ts'
import type { Redactor } from './redaction.ts'
import type { Sampler } from './sampler.ts'

const FLUSH_MS = 200
const FLUSH_SPANS = 256
/** Spans that wait to be cleaned and kept: in bulk that costs less than between two calls, the second of which waits. */
const TAKE_SPANS = 64

/** Wants every span of its trace, whether or not it is sampled; all sampled ones where it names none. */
export interface SpanListener {
  traceId: string | undefined
  onSpan(span: Span): void
}

/** Takes finished spans in, cleans and samples them, keeps the latest in memory, and hands them to the disk in bulk. */
export class Recorder {
  private readonly ports: Pick<Ports, 'timers'>
  private readonly sampler: Sampler
  private readonly redactor: Redactor
  private readonly ring: MemoryTraceStore
  private readonly disk: TraceStore | undefined
  private readonly listeners = new Set<SpanListener>()
  private fresh: Span[] = []
  private pending: Span[] = []
  private timer: Timer | undefined

  constructor(parts: {
    ports: Pick<Ports, 'clock' | 'timers'>
    sampler: Sampler
    redactor: Redactor
    ringBytes: number
    disk: TraceStore | undefined
  }) {
    this.ports = parts.ports
    this.sampler = parts.sampler
    this.redactor = parts.redactor
    this.ring = new MemoryTraceStore({ clock: parts.ports.clock, bounds: { maxBytes: parts.ringBytes } })
    this.disk = parts.disk
  }

  record(span: Span): void {
    const kept = this.sampler.keep(span.traceId, span.status === 'error')
    if (!kept && !this.isWatched(span.traceId)) return
    this.fresh.push(span)
    if (this.listeners.size > 0 || this.fresh.length >= TAKE_SPANS) this.takeIn()
    else if (this.disk) this.flushLater()
  }

  get listening(): number {
    return this.listeners.size
  }

  listen(listener: SpanListener): () => void {
    this.takeIn()
    this.listeners.add(listener)
    return () => this.listeners.delete(listener)
  }

  /** From memory and disk, by start, each span once. */
  byTrace(traceId: string, maxBytes: number, done: (found: TracePart) => void): void {
    this.takeIn()
    this.ring.byTrace(traceId, maxBytes, (recent) => {
      if (!this.disk) return done(recent)
      this.flush()
      // Where the disk fails, what is in memory is still worth showing.
      this.disk.byTrace(traceId, maxBytes, (stored) => {
        const { taken, cut } = partOf(merged([stored.spans, recent.spans]), maxBytes, spanBytes)
        done({ spans: taken, cut: cut || stored.cut || recent.cut })
      })
    })
  }

  list(query: TraceQuery, done: (page: TracePage, error?: ErrorBody) => void): void {
    this.takeIn()
    if (!this.disk) return this.ring.list(query, done)
    this.flush()
    this.disk.list(query, (page, error) => {
      if (error) this.ring.list(query, done)
      else done(page)
    })
  }

  clear(realm: string, done: (error?: ErrorBody) => void): void {
    this.flush()
    this.ring.clear(realm, (error) => {
      if (error || !this.disk) done(error)
      else this.disk.clear(realm, done)
    })
  }

  flush(): void {
    this.takeIn()
    if (this.timer) this.ports.timers.clear(this.timer)
    this.timer = undefined
    if (this.pending.length === 0) return
    const spans = this.pending
    this.pending = []
    this.disk?.append(spans)
  }

  /** Cleans and keeps what was recorded; whoever reads or listens asks for it first. */
  private takeIn(): void {
    if (this.fresh.length === 0) return
    const spans = this.fresh.map((span) => this.redactor.span(span))
    this.fresh = []
    this.ring.append(spans)
    for (const span of spans) {
      for (const listener of this.listeners) {
        if (listener.traceId === undefined || listener.traceId === span.traceId) listener.onSpan(span)
      }
    }
    if (!this.disk) return
    this.pending.push(...spans)
    if (this.pending.length >= FLUSH_SPANS) this.flush()
    else this.flushLater()
  }

  private flushLater(): void {
    this.timer ??= this.ports.timers.set(FLUSH_MS, () => this.flush())
  }

  private isWatched(traceId: string): boolean {
    for (const listener of this.listeners) if (listener.traceId === traceId) return true
    return false
  }
}

function merged(lists: Span[][]): Span[] {
  const byId = new Map<string, Span>()
  for (const span of lists.flat()) if (!byId.has(span.spanId)) byId.set(span.spanId, span)
  return [...byId.values()].sort((a, b) => a.startMs - b.startMs)
}
