import { type HttpBinding, KnownSecrets } from '@agentos/protocol'
import { type CallContext, realmsShown } from '../../core/context.ts'
import type { BuiltinCall, EngineModule, ModuleHost } from '../../core/module.ts'
import type { TraceQuery, TraceStore } from '../../store/trace-store.ts'
import { ANSWER_BYTES, answerTooLarge } from '../answer-size.ts'
import type { Input } from '../input.ts'
import { ANY, arrayOf, BOOLEAN, integer, NUMBER, object, oneOf, STRING } from '../json-schema.ts'
import { guarded, serve } from '../serve.ts'
import { baggageOf } from './baggage.ts'
import { CallMetrics } from './call-metrics.ts'
import { Logs } from './logs.ts'
import { type OtlpSource, spansOfOtlp } from './otlp.ts'
import { Recorder } from './recorder.ts'
import { Redactor } from './redaction.ts'
import { Sampler } from './sampler.ts'
import { spanJson, spanTree } from './span-json.ts'
import { type OpenWriter, watch } from './watch.ts'

/** Settings under `agentos.traces` in config.yaml. */
export interface TraceSettings {
  /** Share of traces that are recorded, 0 to 1. @default 1 */
  sampling: number
  /** Spans recorded a second; under more load a smaller share of the traces is kept. @default 2000 */
  spansPerSecond: number
  /** Bytes of the latest spans that are kept in memory. @default 4 MiB */
  ringBytes: number
  /** Keep what clients record of inputs and outputs. @default false */
  recordPayloads: boolean
  /** Log records that are kept in memory. @default 1000 */
  logRecords: number
}

export const DEFAULT_TRACE_SETTINGS: TraceSettings = {
  sampling: 1,
  spansPerSecond: 2_000,
  ringBytes: 4 * 1024 * 1024,
  recordPayloads: false,
  logRecords: 1_000,
}

export interface TracesModuleOptions {
  /** Version of the engine, for `engine::health::check`. */
  version: string
  /** Takes the writing end of a channel; without it there is no live view. */
  openWriter?: OpenWriter
  /** Spans on disk; without it only the latest in memory are kept. */
  disk?: TraceStore
  settings?: Partial<TraceSettings>
  /** Bytes of an answer with spans; past it `payload_too_large`. @default 8 MiB */
  maxAnswerBytes?: number
  /** What is never written. */
  secrets?: KnownSecrets
  /** Connections since the start, and now. */
  workers?: () => { spawns: number; deaths: number; active: number }
}

export interface TracesModule extends EngineModule {
  /** Takes the body of a telemetry frame in (ExportTraceServiceRequest as JSON); returns how many spans were in it. */
  ingestOtlp(request: unknown, source: OtlpSource): number
}

const SPAN = object({ trace_id: STRING, span_id: STRING, name: STRING })
const MAX_LISTED = 1_000
const MAX_TREE = 10_000

/** Traces, logs and call metrics; each caller sees those of its realm, the owner what schedules of workers began too. */
export function createTracesModule(options: TracesModuleOptions): TracesModule {
  const settings = { ...DEFAULT_TRACE_SETTINGS, ...options.settings }
  const metrics = new CallMetrics()
  let host: ModuleHost | undefined
  let recorder: Recorder | undefined
  return {
    name: 'traces',
    start(given: ModuleHost): void {
      host = given
      const { clock } = given.ports
      const redactor = new Redactor({
        secrets: options.secrets ?? new KnownSecrets(),
        recordPayloads: settings.recordPayloads,
      })
      const sampler = new Sampler(clock, { ratio: settings.sampling, perSecond: settings.spansPerSecond })
      const started = new Recorder({
        ports: given.ports,
        sampler,
        redactor,
        ringBytes: settings.ringBytes,
        disk: options.disk,
      })
      recorder = started
      given.spans.subscribe((span) => {
        metrics.observe(span)
        started.record(span)
      })
      const logs = new Logs({ host: given, redactor, maxRecords: settings.logRecords })
      logs.serve()
      serveTraces(given, started, options.maxAnswerBytes ?? ANSWER_BYTES)
      if (options.openWriter) serveWatch(given, started, options.openWriter)
      serveBaggage(given)
      serveHealth(given, options, { sampler, logs, metrics })
    },
    stop(): void {
      recorder?.flush()
    },
    ingestOtlp(request, source): number {
      const spans = spansOfOtlp(request, source)
      const kept = host && source.guest ? spans.slice(0, host.guestLog.takeSpans(spans.length)) : spans
      for (const span of kept) host?.spans.record(span)
      return kept.length
    },
  }
}

function get(path: string, stream = false): HttpBinding[] {
  return [{ method: 'GET', path, status: 200, raw: false, stream }]
}

function serveTraces(host: ModuleHost, recorder: Recorder, maxBytes: number): void {
  serve(
    host,
    {
      id: 'engine::traces::list',
      summary:
        'Traces of this realm by the span at which each enters, or all spans; to the owner also what schedules began',
      effects: 'read',
      idempotent: true,
      http: get('/v1/traces'),
      request_format: object({
        'trace_id?': STRING,
        'trace_ids?': arrayOf(STRING),
        'offset?': integer(0),
        'limit?': integer(1, MAX_LISTED),
        'service_name?': STRING,
        'name?': STRING,
        'status?': oneOf('ok', 'error', 'unset'),
        'min_duration_ms?': NUMBER,
        'max_duration_ms?': NUMBER,
        'start_time?': NUMBER,
        'end_time?': NUMBER,
        'sort_by?': oneOf('start_time', 'duration', 'name'),
        'sort_order?': oneOf('asc', 'desc'),
        'attributes?': arrayOf(arrayOf(STRING)),
        'trigger?': STRING,
        'include_internal?': BOOLEAN,
        'search_all_spans?': BOOLEAN,
      }),
      response_format: object({ spans: arrayOf(SPAN), total: integer(0), offset: integer(0), limit: integer(1) }),
    },
    (input, call) => {
      const query = queryOf(input, call.context, maxBytes)
      recorder.list(query, ({ spans, total, cut }, error) =>
        guarded(host, call, () => {
          if (error) return call.fail(error.code, error.message, error.details)
          // Who pages by offset goes on behind its own limit: a page that ended early would cost it spans.
          if (cut) {
            const instead = `ask for fewer: engine::traces::list {offset, limit}, with a limit up to ${spans.length}`
            throw answerTooLarge('These spans', maxBytes, instead)
          }
          call.reply({ spans: spans.map(spanJson), total, offset: query.offset, limit: query.limit })
        }),
      )
    },
  )
  serve(
    host,
    {
      id: 'engine::traces::tree',
      summary: 'One trace as a tree of its spans',
      effects: 'read',
      idempotent: true,
      http: get('/v1/traces/:trace_id'),
      request_format: object({ trace_id: STRING }),
      response_format: object({ roots: arrayOf(SPAN) }),
    },
    (input, call) =>
      recorder.byTrace(input.string('trace_id').toLowerCase(), maxBytes, ({ spans, cut }) =>
        guarded(host, call, () => {
          if (cut) {
            const instead = 'page through engine::traces::list {trace_id, search_all_spans: true, offset, limit}'
            throw answerTooLarge('All spans of this trace', maxBytes, instead)
          }
          const realms = realmsShown(call.context)
          const visible = spans.filter((span) => realms.includes(span.realm))
          call.reply({ roots: spanTree(visible.slice(0, MAX_TREE)) })
        }),
      ),
  )
  serve(
    host,
    {
      id: 'engine::traces::clear',
      summary: 'Forget the traces of this realm',
      effects: 'write',
      idempotent: true,
      access: 'owner',
      request_format: object({}),
    },
    (_input, call) =>
      recorder.clear(call.context.realm, (error) =>
        error ? call.fail(error.code, error.message, error.details) : call.reply({ success: true }),
      ),
  )
}

function serveWatch(host: ModuleHost, recorder: Recorder, openWriter: OpenWriter): void {
  serve(
    host,
    {
      id: 'engine::traces::watch',
      summary: 'Spans of this realm as they end, of one trace or of all',
      effects: 'read',
      http: get('/v1/traces/live', true),
      request_format: object({ 'trace_id?': STRING, 'include_internal?': BOOLEAN, stream: ANY }),
    },
    (input, call) => watch(host, recorder, openWriter, input, call),
  )
}

function serveBaggage(host: ModuleHost): void {
  const all = (call: BuiltinCall) => baggageOf(call.context.baggage)
  serve(
    host,
    {
      id: 'engine::baggage::get',
      summary: 'One entry of the baggage that this call carries',
      effects: 'read',
      request_format: object({ key: STRING }),
    },
    (input, call) => call.reply({ value: all(call).get(input.string('key')) ?? null }),
  )
  serve(
    host,
    {
      id: 'engine::baggage::get_all',
      summary: 'The baggage that this call carries',
      effects: 'read',
      request_format: object({}),
    },
    (_input, call) => call.reply({ baggage: Object.fromEntries(all(call)) }),
  )
  serve(
    host,
    {
      id: 'engine::baggage::set',
      summary: 'Says how to set baggage: a call cannot change that of its caller',
      effects: 'read',
      request_format: object({ key: STRING, value: STRING }),
    },
    (input, call) => {
      input.string('key')
      input.string('value')
      call.reply({ success: true, note: 'Baggage belongs to the caller: send it in the `baggage` field of its calls' })
    },
  )
}

function serveHealth(
  host: ModuleHost,
  options: TracesModuleOptions,
  parts: { sampler: Sampler; logs: Logs; metrics: CallMetrics },
): void {
  const { clock } = host.ports
  serve(
    host,
    {
      id: 'engine::health::check',
      summary: 'Whether the engine records what it does',
      effects: 'read',
      idempotent: true,
      request_format: object({}),
    },
    (_input, call) => {
      const healthy = (details: object) => ({ status: 'healthy', details })
      call.reply({
        status: 'healthy',
        components: {
          otel: healthy({ ingest: 'OTLP/JSON' }),
          metrics: healthy({ invocations: parts.metrics.summary().invocations.total }),
          logs: healthy({ records: parts.logs.size }),
          spans: healthy({ disk: options.disk !== undefined, not_sampled: parts.sampler.dropped }),
        },
        timestamp: clock.now(),
        version: options.version,
      })
    },
  )
  serve(
    host,
    {
      id: 'engine::metrics::list',
      summary: 'Calls since the start, and how long the latest took',
      effects: 'read',
      idempotent: true,
      access: 'owner',
      request_format: object({}),
    },
    (_input, call) => {
      const { invocations, performance } = parts.metrics.summary()
      const workers = options.workers?.() ?? { spawns: 0, deaths: 0, active: 0 }
      call.reply({ engine_metrics: { invocations, workers, performance }, sdk_metrics: [], timestamp: clock.now() })
    },
  )
}

function queryOf(input: Input, context: CallContext, maxBytes: number): TraceQuery {
  const [realm, firingsOf] = realmsShown(context) as [string, string?]
  const traceId = input.optionalString('trace_id')
  const traceIds = input.optionalList('trace_ids')?.map(String) ?? (traceId === undefined ? undefined : [traceId])
  const given = {
    traceIds: traceIds?.slice(0, MAX_LISTED).map((id) => id.toLowerCase()),
    service: input.optionalString('service_name'),
    name: input.optionalString('name'),
    status: input.optionalOneOf('status', ['ok', 'error', 'unset']),
    minDurationMs: input.optionalNumber('min_duration_ms'),
    maxDurationMs: input.optionalNumber('max_duration_ms'),
    startMs: input.optionalNumber('start_time'),
    endMs: input.optionalNumber('end_time'),
    attributes: attributesOf(input),
  }
  return {
    realm,
    ...(firingsOf === undefined ? {} : { firingsOf }),
    rootsOnly: !(input.optionalBoolean('search_all_spans') ?? false),
    includeInternal: input.optionalBoolean('include_internal') ?? false,
    sortBy: input.optionalOneOf('sort_by', ['start_time', 'duration', 'name']) ?? 'start_time',
    descending: input.optionalOneOf('sort_order', ['asc', 'desc']) === 'desc',
    offset: input.optionalInteger('offset', { min: 0, max: Number.MAX_SAFE_INTEGER }) ?? 0,
    limit: input.optionalInteger('limit', { min: 1, max: MAX_LISTED }) ?? 100,
    maxBytes,
    ...(Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as Partial<TraceQuery>),
  }
}

function attributesOf(input: Input): [string, string][] {
  const trigger = input.optionalString('trigger')
  return [...(pairs(input) ?? []), ...(trigger === undefined ? [] : [['trigger', trigger] as [string, string]])]
}

function pairs(input: Input): [string, string][] | undefined {
  return input.optionalList('attributes')?.map((pair) => {
    if (Array.isArray(pair) && pair.length === 2) return [String(pair[0]), String(pair[1])]
    throw input.mismatch('`attributes` has to be a list of [name, value]')
  })
}
