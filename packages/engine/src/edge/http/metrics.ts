import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import type { GuestShare } from '../../core/guest-share.ts'
import type { Span } from '../../core/spans.ts'
import type { HttpCore } from './core-view.ts'
import { type SystemFacts, SystemFigures } from './system-figures.ts'

/** Calls that wait to be counted: in bulk that costs less than between two calls, the second of which waits. */
const TAKE_CALLS = 256

export interface EdgeGauges {
  inFlight(): number
  streams(): number
  connections(): number
  channels(): number
}

/** Milliseconds of a bus call to minutes of an agent's run, in seconds. */
const DURATION_BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300]

/** Figures for Prometheus. Labels are bounded: never an id that a client chose. */
export class EdgeMetrics {
  private readonly registry = new Registry()
  private readonly system: SystemFigures
  private readonly calls: Counter<'outcome' | 'kind'>
  private readonly callSeconds: Histogram<'kind'>
  private fresh: { kind: 'call' | 'trigger'; outcome: 'ok' | 'error'; seconds: number }[] = []
  private readonly requests: Counter<'method' | 'route' | 'status'>
  private readonly requestSeconds: Histogram<'route'>

  constructor(core: HttpCore, edge: EdgeGauges, facts: SystemFacts, guests: GuestShare['use']) {
    const registers = [this.registry]
    this.system = new SystemFigures(this.registry, core, facts)
    collectDefaultMetrics({ register: this.registry })
    this.calls = new Counter({
      name: 'agentos_calls_total',
      help: 'Calls that were answered, by kind and outcome',
      labelNames: ['kind', 'outcome'],
      registers,
    })
    this.callSeconds = new Histogram({
      name: 'agentos_call_duration_seconds',
      help: 'Time from the acceptance of a call to its answer',
      labelNames: ['kind'],
      buckets: DURATION_BUCKETS,
      registers,
    })
    this.requests = new Counter({
      name: 'agentos_http_requests_total',
      help: 'HTTP requests, by method, route and status',
      labelNames: ['method', 'route', 'status'],
      registers,
    })
    this.requestSeconds = new Histogram({
      name: 'agentos_http_request_duration_seconds',
      help: 'Time from the head of a request to the end of its answer',
      labelNames: ['route'],
      buckets: DURATION_BUCKETS,
      registers,
    })
    const gauge = (name: string, help: string, read: () => number): void => {
      new Gauge({
        name,
        help,
        registers,
        collect() {
          this.set(read())
        },
      })
    }
    gauge('agentos_calls_in_flight', 'Calls that are not answered yet', () => core.counts().inFlight)
    gauge('agentos_calls_waiting', 'Calls that wait for a free or starting worker', () => core.counts().waiting)
    new Counter({
      name: 'agentos_late_results_total',
      help: 'Results that came after their call had ended, and were dropped',
      registers,
      collect() {
        this.reset()
        this.inc(core.counts().lateResults)
      },
    })
    gauge('agentos_worker_connections', 'Sockets of workers and clients', () => core.counts().connections)
    gauge('agentos_http_in_flight', 'HTTP requests in service, streams apart', edge.inFlight)
    gauge('agentos_http_streams', 'HTTP streams that are open', edge.streams)
    gauge('agentos_http_connections', 'HTTP connections that are open', edge.connections)
    const ofGuests = (
      name: string,
      help: string,
      read: (use: ReturnType<GuestShare['use']>[number]) => number,
    ): void => {
      new Gauge({
        name,
        help,
        labelNames: ['bound'],
        registers,
        collect() {
          for (const use of guests()) this.set({ bound: use.bound }, read(use))
        },
      })
    }
    ofGuests(
      'agentos_guests_held',
      'What all guests together hold, by the bound that it counts against',
      (use) => use.held,
    )
    ofGuests('agentos_guests_limit', 'Bounds of all guests together, as config.yaml sets them', (use) => use.limit)
    gauge('agentos_channels', 'Channels in the table', edge.channels)
  }

  get contentType(): string {
    return this.registry.contentType
  }

  text(): Promise<string> {
    this.takeIn()
    return this.registry.metrics()
  }

  span(span: Span): void {
    this.system.span(span)
    if (span.kind !== 'call' && span.kind !== 'trigger') return
    const seconds = Math.max(0, span.endMs - span.startMs) / 1_000
    this.fresh.push({ kind: span.kind, outcome: span.status === 'error' ? 'error' : 'ok', seconds })
    if (this.fresh.length >= TAKE_CALLS) this.takeIn()
  }

  private takeIn(): void {
    for (const { kind, outcome, seconds } of this.fresh) {
      this.calls.inc({ kind, outcome })
      this.callSeconds.observe({ kind }, seconds)
    }
    this.fresh = []
  }

  request(method: string, route: string, status: number, durationMs: number): void {
    this.requests.inc({ method, route, status: String(status) })
    this.requestSeconds.observe({ route }, durationMs / 1_000)
  }
}
