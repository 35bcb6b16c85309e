import type { ErrorBody } from '@agentos/protocol'
import type { Span } from '../core/spans.ts'

export type { Span }

/** Which spans of one realm to show. Times are epoch milliseconds. */
export interface TraceQuery {
  realm: string
  /** Realm of which the entrances that a trigger made are shown too, and nothing else. */
  firingsOf?: string
  traceIds?: string[]
  /** Only spans at which a trace enters the system. */
  rootsOnly: boolean
  includeInternal: boolean
  service?: string
  /** A part of the name, whatever its case. */
  name?: string
  status?: Span['status']
  minDurationMs?: number
  maxDurationMs?: number
  startMs?: number
  endMs?: number
  /** All of these pairs. */
  attributes?: [string, string][]
  sortBy: 'start_time' | 'duration' | 'name'
  descending: boolean
  offset: number
  limit: number
  maxBytes: number
}

export interface TracePage {
  spans: Span[]
  /** How many there are without `offset` and `limit`. */
  total: number
  /** Not all of the page: they are more than `maxBytes`. */
  cut: boolean
}

export type TracePart = Pick<TracePage, 'spans' | 'cut'>

/** The first of these, as many as fit; those behind them are not read. */
export function partOf<T>(
  items: Iterable<T>,
  maxBytes: number,
  bytesOf: (item: T) => number,
): { taken: T[]; cut: boolean } {
  const taken: T[] = []
  let bytes = 0
  for (const item of items) {
    bytes += bytesOf(item)
    if (taken.length > 0 && bytes > maxBytes) return { taken, cut: true }
    taken.push(item)
  }
  return { taken, cut: false }
}

/** What is kept; the oldest go first. */
export interface TraceBounds {
  maxSpans: number
  maxBytes: number
  maxAgeMs: number
}

export const DEFAULT_TRACE_BOUNDS: TraceBounds = {
  maxSpans: 100_000,
  maxBytes: 64 * 1024 * 1024,
  maxAgeMs: 7 * 24 * 3_600_000,
}

/**
 * Finished spans, append-mostly. It may lose the last moments before a crash: nothing is decided from traces.
 * A read sees every span that was appended before it.
 */
export interface TraceStore {
  append(spans: readonly Span[]): void
  /** `cut`: not all of them, as they are more than so many bytes. */
  byTrace(traceId: string, maxBytes: number, done: (found: TracePart, error?: ErrorBody) => void): void
  list(query: TraceQuery, done: (page: TracePage, error?: ErrorBody) => void): void
  /** Forgets the spans of a realm. */
  clear(realm: string, done: (error?: ErrorBody) => void): void
}

/** Where a trace enters: nothing above it, or only what lies outside of this system. */
export function isRoot(span: Span): boolean {
  return span.parentSpanId === undefined || span.kind === 'http'
}

/** Where a trigger began a trace: a schedule, since an event goes on with the trace of its cause. */
export function isFiring(span: Span): boolean {
  return span.kind === 'trigger' && span.parentSpanId === undefined
}

/** Spans of the engine's own functions, which lists leave out unless asked. */
export function isInternal(span: Span): boolean {
  const functionId = span.attributes.function_id
  if (span.attributes['iii.function.kind'] === 'internal') return true
  return typeof functionId === 'string' ? functionId.startsWith('engine::') : span.name.startsWith('engine::')
}

/** About what a span takes in memory or on disk. */
export function spanBytes(span: Span): number {
  let bytes = 200 + span.name.length + span.service.length + (span.statusMessage?.length ?? 0)
  for (const name in span.attributes) {
    const value = span.attributes[name]
    bytes += name.length + (typeof value === 'string' ? value.length : 8)
  }
  return bytes
}
