import { isOfGuests } from '../../core/guest-share.ts'
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
/** Of the records of one realm, and of all together. */
const REALM_BYTES = 2 * 1024 * 1024
const ALL_BYTES = 16 * 1024 * 1024

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

/** What is kept of one realm, oldest first. */
interface Kept {
  entries: { bytes: number; record: LogRecord }[]
  bytes: number
}

/**
 * The latest log records that came over `engine::log::*`, in memory: each is visible in its realm, and displaces none of
 * another's. They go to the engine's own log as well, those of guests as far as their allowance reaches.
 */
export class Logs {
  private readonly host: ModuleHost
  private readonly redactor: Redactor
  private readonly maxRecords: number
  private readonly realms = new Map<string, Kept>()
  private bytes = 0

  constructor(parts: { host: ModuleHost; redactor: Redactor; maxRecords: number }) {
    this.host = parts.host
    this.redactor = parts.redactor
    this.maxRecords = parts.maxRecords
  }

  get size(): number {
    let size = 0
    for (const { entries } of this.realms.values()) size += entries.length
    return size
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
        const { realm } = call.context
        this.bytes -= this.realms.get(realm)?.bytes ?? 0
        this.realms.delete(realm)
        call.reply({ success: true })
      },
    )
  }

  private write(level: Level, input: Input, call: BuiltinCall): void {
    const now = nanos(this.host.ports.clock.precise())
    const given = { message: input.string('message'), data: input.optionalValue('data') }
    const { message: body, data } = this.redactor.log(given)
    const isMap = typeof data === 'object' && data !== null && !Array.isArray(data)
    const service = this.serviceOf(input, call)
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
      service_name: service,
    }
    const { realm } = call.context
    this.keep(record, JSON.stringify(record).length, realm)
    const { trace_id } = record
    const fields = { service, trace_id, ...(isGuests(call) ? { realm } : {}), data: record.attributes }
    if (isGuests(call)) this.host.guestLog.write(TO_LOG[level], fields, record.body)
    else this.host.ports.log[TO_LOG[level]](fields, record.body)
  }

  /** Whose record it is: an installed worker's as the engine knows it; a guest's name is not taken for anybody else's. */
  private serviceOf(input: Input, call: BuiltinCall): string {
    const given = (): string => this.redactor.text(input.optionalString('service_name') ?? 'unknown', 128)
    return call.caller.worker ?? (isGuests(call) ? guestService(given()) : given())
  }

  private keep(record: LogRecord, bytes: number, realm: string): void {
    const kept = this.realms.get(realm) ?? { entries: [], bytes: 0 }
    this.realms.set(realm, kept)
    kept.entries.push({ bytes, record })
    kept.bytes += bytes
    this.bytes += bytes
    let over = 0
    for (let left = kept.bytes; kept.entries.length - over > this.maxRecords || left > REALM_BYTES; over += 1) {
      left -= kept.entries[over]!.bytes
    }
    this.drop(kept, over)
    if (this.bytes <= ALL_BYTES) return
    // With many realms the one that holds most gives way, by half, so that it is not looked for at each record.
    const largest = [...this.realms.values()].reduce((most, each) => (each.bytes > most.bytes ? each : most))
    this.drop(largest, Math.ceil(largest.entries.length / 2))
  }

  private drop(kept: Kept, oldest: number): void {
    if (oldest === 0) return
    for (const { bytes } of kept.entries.splice(0, oldest)) {
      kept.bytes -= bytes
      this.bytes -= bytes
    }
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
    const found = (this.realms.get(call.context.realm)?.entries ?? [])
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

/** What an installed worker writes while it serves a guest is that worker's. */
function isGuests({ caller, context }: BuiltinCall): boolean {
  return caller.worker === undefined && isOfGuests(context)
}

/** The name of a service that a guest gave, told from those of others. */
export function guestService(name: string): string {
  return `guest/${name}`
}
