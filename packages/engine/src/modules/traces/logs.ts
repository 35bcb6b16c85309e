import type { BuiltinCall, ModuleHost } from '../../core/module.ts'
import type { Log } from '../../core/ports.ts'
import type { Input } from '../input.ts'
import { ANY, arrayOf, integer, NUMBER, object, STRING } from '../json-schema.ts'
import { serve } from '../serve.ts'
import type { Redactor } from './redaction.ts'
import { nanos } from './span-json.ts'

/** OpenTelemetry's severity numbers. */
const SEVERITY = { trace: 1, debug: 5, info: 9, warn: 13, error: 17 } as const
type Level = keyof typeof SEVERITY

const TO_LOG: Record<Level, keyof Log> = { trace: 'debug', debug: 'debug', info: 'info', warn: 'warn', error: 'error' }
const MAX_BYTES = 2 * 1024 * 1024

interface LogRecord {
  timestamp_unix_nano: number
  observed_timestamp_unix_nano: number
  severity_number: number
  severity_text: string
  body: string
  attributes: Record<string, unknown>
  trace_id: string | null
  span_id: string | null
  resource: Record<string, unknown>
  service_name: string
}

/** The latest log records that came over `engine::log::*`, in memory, each visible in its realm. */
export class Logs {
  private readonly host: ModuleHost
  private readonly redactor: Redactor
  private readonly maxRecords: number
  private entries: { realm: string; bytes: number; record: LogRecord }[] = []
  private bytes = 0

  constructor(parts: { host: ModuleHost; redactor: Redactor; maxRecords: number }) {
    this.host = parts.host
    this.redactor = parts.redactor
    this.maxRecords = parts.maxRecords
  }

  get size(): number {
    return this.entries.length
  }

  serve(): void {
    const { host } = this
    for (const level of Object.keys(SEVERITY) as Level[]) {
      serve(
        host,
        {
          id: `engine::log::${level}`,
          summary: `Write a log record of level ${level}`,
          effects: 'write',
          idempotent: true,
          request_format: object({
            message: STRING,
            'data?': ANY,
            'trace_id?': STRING,
            'span_id?': STRING,
            'service_name?': STRING,
          }),
        },
        (input, call) => {
          this.write(level, input, call)
          call.reply()
        },
      )
    }
    serve(
      host,
      {
        id: 'engine::logs::list',
        summary: 'Recent log records of this realm, oldest first',
        effects: 'read',
        idempotent: true,
        request_format: object({
          'start_time?': NUMBER,
          'end_time?': NUMBER,
          'trace_id?': STRING,
          'span_id?': STRING,
          'severity_min?': integer(0, 24),
          'severity_text?': STRING,
          'offset?': integer(0),
          'limit?': integer(1, 1_000),
        }),
        response_format: object({ logs: arrayOf(ANY), total: integer(0), timestamp: integer(0) }),
      },
      (input, call) => call.reply(this.list(input, call)),
    )
    serve(
      host,
      {
        id: 'engine::logs::clear',
        summary: 'Forget the log records of this realm',
        effects: 'write',
        idempotent: true,
        access: 'owner',
        request_format: object({}),
      },
      (_input, call) => {
        this.entries = this.entries.filter((entry) => entry.realm !== call.context.realm)
        this.bytes = this.entries.reduce((sum, entry) => sum + entry.bytes, 0)
        call.reply({ success: true })
      },
    )
  }

  private write(level: Level, input: Input, call: BuiltinCall): void {
    const now = nanos(this.host.ports.clock.precise())
    const given = { message: input.string('message'), data: input.optionalValue('data') }
    const { message: body, data } = this.redactor.log(given)
    const isMap = typeof data === 'object' && data !== null && !Array.isArray(data)
    const record: LogRecord = {
      timestamp_unix_nano: now,
      observed_timestamp_unix_nano: now,
      severity_number: SEVERITY[level],
      severity_text: level.toUpperCase(),
      body,
      attributes: isMap ? (data as Record<string, unknown>) : data === undefined ? {} : { data },
      trace_id: input.optionalString('trace_id') ?? call.context.traceId,
      span_id: input.optionalString('span_id') ?? call.context.parentSpanId ?? null,
      resource: {},
      service_name: call.caller.worker ?? this.redactor.text(input.optionalString('service_name') ?? 'unknown', 128),
    }
    this.keep(record, call.context.realm)
    const { service_name: service, trace_id } = record
    this.host.ports.log[TO_LOG[level]]({ service, trace_id, data: record.attributes }, record.body)
  }

  private keep(record: LogRecord, realm: string): void {
    const bytes = JSON.stringify(record).length
    this.entries.push({ realm, bytes, record })
    this.bytes += bytes
    let drop = 0
    while (this.entries.length - drop > this.maxRecords || this.bytes > MAX_BYTES) {
      this.bytes -= this.entries[drop]!.bytes
      drop += 1
    }
    if (drop > 0) this.entries.splice(0, drop)
  }

  private list(input: Input, call: BuiltinCall): object {
    const start = input.optionalNumber('start_time')
    const end = input.optionalNumber('end_time')
    const traceId = input.optionalString('trace_id')
    const spanId = input.optionalString('span_id')
    const least = input.optionalNumber('severity_min')
    const text = input.optionalString('severity_text')?.toUpperCase()
    const offset = input.optionalInteger('offset', { min: 0, max: Number.MAX_SAFE_INTEGER }) ?? 0
    const limit = input.optionalInteger('limit', { min: 1, max: 1_000 }) ?? 100
    const found = this.entries
      .filter((entry) => entry.realm === call.context.realm)
      .map((entry) => entry.record)
      .filter(
        (record) =>
          (start === undefined || record.timestamp_unix_nano >= start * 1e6) &&
          (end === undefined || record.timestamp_unix_nano <= end * 1e6) &&
          (traceId === undefined || record.trace_id === traceId) &&
          (spanId === undefined || record.span_id === spanId) &&
          (least === undefined || record.severity_number >= least) &&
          (text === undefined || record.severity_text === text),
      )
    return {
      logs: found.slice(offset, offset + limit),
      total: found.length,
      timestamp: this.host.ports.clock.now(),
    }
  }
}
