import { useEffect, useRef, useState } from 'preact/hooks'
import { get, open } from '../shared/api.ts'
import { readEvents } from '../shared/events.ts'
import { type Problem, problemOf } from '../shared/problem.ts'
import { flattened, type Span, type SpanNode } from './span.ts'

/** A request whose trace can be followed. */
export interface TraceSource {
  traceId: string
  /** Span of the request itself, the last to end but for what workers send late. */
  root?: { id: string; name: string }
}

export interface Trace {
  spans: Span[]
  /** More may come. */
  live: boolean
  /** Since one began to look, which for a request of this page is when it began. */
  elapsedMs: number
  problem?: Problem
}

/** Workers send their own spans a moment after they end. */
const LATE_MS = 1_500
const DRAW_MS = 60
/** The present moves on where nothing else happens. */
const TICK_MS = 250
/** The engine ends a view that stands for long; it is asked again. */
const AGAIN_MS = 1_000

/** The root span of a request, as its response tells it (W3C trace context). */
export function sourceOf(headers: Headers, name: string): TraceSource | undefined {
  const [, traceId, id] = /^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-/.exec(headers.get('traceparent') ?? '') ?? []
  return traceId === undefined || id === undefined ? undefined : { traceId, root: { id, name } }
}

/** The spans of a trace: those that have ended and, while the request runs, those that end. */
export function useTrace(source: TraceSource | undefined, running: boolean): Trace {
  const [trace, setTrace] = useState<Trace>({ spans: [], live: false, elapsedMs: 0 })
  const enough = useRef(new AbortController())
  useEffect(() => {
    setTrace({ spans: [], live: source !== undefined, elapsedMs: 0 })
    if (!source) return
    enough.current = new AbortController()
    const started = performance.now()
    const left = new AbortController()
    const spans = new Map<string, Span>()
    /** A span has come that is not drawn yet. */
    let fresh = false
    let timer = setTimeout(draw, TICK_MS)
    function draw(): void {
      clearTimeout(timer)
      timer = setTimeout(draw, TICK_MS)
      fresh = false
      setTrace({ spans: [...spans.values()], live: true, elapsedMs: performance.now() - started })
    }
    const take = (span: Span): void => {
      spans.set(span.span_id, span)
      if (fresh) return
      fresh = true
      clearTimeout(timer)
      timer = setTimeout(draw, DRAW_MS)
    }
    const read = async (): Promise<void> => {
      await follow(source.traceId, take, AbortSignal.any([left.signal, enough.current.signal]))
      // Without a live view, for example with too many readers, what has ended can still be read.
      const whole = source.root !== undefined && spans.has(source.root.id)
      if (!whole && !left.signal.aborted) await readTree(source.traceId, take, left.signal)
    }
    const settle = (end: { problem?: Problem }): void => {
      clearTimeout(timer)
      if (!left.signal.aborted) setTrace({ spans: [...spans.values()], live: false, elapsedMs: 0, ...end })
    }
    read().then(
      () => settle({}),
      (error: unknown) => settle({ problem: problemOf(error) }),
    )
    return () => {
      clearTimeout(timer)
      left.abort()
    }
  }, [source?.traceId])
  useEffect(() => {
    if (running) return
    const timer = setTimeout(() => enough.current.abort(), LATE_MS)
    return () => clearTimeout(timer)
  }, [source?.traceId, running])
  return trace
}

/** Takes spans as they end, those that have ended before first; resolves when nobody wants more. */
async function follow(traceId: string, take: (span: Span) => void, end: AbortSignal): Promise<void> {
  const path = `/v1/traces/live?trace_id=${traceId}&include_internal=true&stream=true`
  while (!end.aborted) {
    try {
      const response = await open('GET', path, undefined, { signal: end })
      for await (const { event, data } of readEvents(response)) {
        if (event === 'span') take((data as { span: Span }).span)
      }
    } catch {
      // Whatever it was, it is tried again, and at the end the trace is read without a live view.
    }
    if (!end.aborted) await new Promise((resolve) => setTimeout(resolve, AGAIN_MS))
  }
}

async function readTree(traceId: string, take: (span: Span) => void, signal: AbortSignal): Promise<void> {
  const { roots } = await get<{ roots: SpanNode[] }>(`/v1/traces/${traceId}`, { signal })
  for (const span of flattened(roots)) take(span)
}
