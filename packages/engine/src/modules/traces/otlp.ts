import type { Span } from '../../core/spans.ts'
import { guestService } from './logs.ts'

/** Spans of one request; the rest is dropped. */
const MAX_SPANS = 2_000
const MAX_ATTRIBUTES = 64

type Json = Record<string, unknown>

/** Where an OTLP request came from, as the engine knows it. */
export interface OtlpSource {
  /** Installed worker of the connection; its spans bear this name whatever they say, and say which realm they served. */
  service?: string
  realm: string
  /** Nobody known: its name is not taken for anybody else's. */
  guest?: boolean
}

/**
 * Spans of an ExportTraceServiceRequest in OTLP/JSON (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding).
 * What is malformed is left out; events and links are not kept.
 */
export function spansOfOtlp(request: unknown, source: OtlpSource): Span[] {
  const spans: Span[] = []
  for (const resourceSpans of objects(field(request, 'resourceSpans'))) {
    const resource = attributesOf(field(resourceSpans.resource, 'attributes'))
    const given = String(resource['service.name'] ?? 'unknown')
    const service = source.service ?? (source.guest ? guestService(given) : given)
    for (const scopeSpans of objects(resourceSpans.scopeSpans)) {
      for (const raw of objects(scopeSpans.spans)) {
        if (spans.length >= MAX_SPANS) return spans
        const span = spanOf(raw, service, source)
        if (span) spans.push(span)
      }
    }
  }
  return spans
}

function spanOf(raw: Json, service: string, source: OtlpSource): Span | undefined {
  const traceId = hexId(raw.traceId, 32)
  const spanId = hexId(raw.spanId, 16)
  const startMs = millis(raw.startTimeUnixNano)
  const endMs = millis(raw.endTimeUnixNano)
  if (!traceId || !spanId || startMs === undefined || endMs === undefined || typeof raw.name !== 'string') {
    return undefined
  }
  const parentSpanId = hexId(raw.parentSpanId, 16)
  const code = field(raw.status, 'code')
  const message = field(raw.status, 'message')
  const attributes = attributesOf(raw.attributes)
  const served = source.service === undefined ? undefined : attributes.realm
  return {
    traceId,
    spanId,
    ...(parentSpanId ? { parentSpanId } : {}),
    name: raw.name,
    kind: 'worker',
    startMs,
    endMs: Math.max(startMs, endMs),
    status:
      code === 2 || code === 'STATUS_CODE_ERROR' ? 'error' : code === 1 || code === 'STATUS_CODE_OK' ? 'ok' : 'unset',
    ...(typeof message === 'string' && message !== '' ? { statusMessage: message } : {}),
    service,
    ...(source.service === undefined ? {} : { worker: source.service }),
    realm: typeof served === 'string' ? served : source.realm,
    attributes,
  }
}

function attributesOf(list: unknown): Span['attributes'] {
  const attributes: Span['attributes'] = {}
  for (const { key, value } of objects(list).slice(0, MAX_ATTRIBUTES)) {
    const plain = plainValue(value)
    if (typeof key === 'string' && plain !== undefined) attributes[key] = plain
  }
  return attributes
}

/** An AnyValue; lists and maps as their JSON text. */
function plainValue(value: unknown): string | number | boolean | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const [kind, inner] = Object.entries(value)[0] ?? []
  if (kind === 'intValue' || kind === 'doubleValue') return Number.isFinite(Number(inner)) ? Number(inner) : undefined
  if (typeof inner === 'string' || typeof inner === 'boolean') return inner
  return kind === 'arrayValue' || kind === 'kvlistValue' ? JSON.stringify(inner) : undefined
}

function millis(nanos: unknown): number | undefined {
  if (typeof nanos !== 'string' && typeof nanos !== 'number') return undefined
  const ms = Number(nanos) / 1e6
  return Number.isFinite(ms) && ms > 0 ? ms : undefined
}

function hexId(value: unknown, digits: number): string | undefined {
  if (typeof value !== 'string' || value.length !== digits || !/^[0-9a-f]+$/i.test(value)) return undefined
  return /^0+$/.test(value) ? undefined : value.toLowerCase()
}

function field(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Json)[name] : undefined
}

function objects(list: unknown): Json[] {
  return Array.isArray(list) ? list.filter((item): item is Json => typeof item === 'object' && item !== null) : []
}
