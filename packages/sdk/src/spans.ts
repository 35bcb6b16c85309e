import { randomBytes } from 'node:crypto'
import type { SpanHandle } from './context.ts'
import { knownSecrets } from './known-secrets.ts'

type Attribute = string | number | boolean

/** The part of a W3C `traceparent` that matters here. */
export interface TraceParent {
  /** 32 hex digits. */
  traceId: string
  /** 16 hex digits. */
  spanId: string
}

export function parseTraceparent(text: string | undefined): TraceParent | undefined {
  const match = text === undefined ? null : /^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}/.exec(text)
  return match ? { traceId: match[1]!, spanId: match[2]! } : undefined
}

export function formatTraceparent({ traceId, spanId }: TraceParent): string {
  return `00-${traceId}-${spanId}-01`
}

/** A span that is being measured. */
export class OpenSpan implements SpanHandle, TraceParent {
  readonly traceId: string
  readonly spanId = randomBytes(8).toString('hex')
  private readonly parentSpanId: string
  private readonly name: string
  private readonly attributes = new Map<string, Attribute>()
  private readonly startNs = nowNs()

  constructor(name: string, parent: TraceParent) {
    this.name = name
    this.traceId = parent.traceId
    this.parentSpanId = parent.spanId
  }

  set(name: string, value: Attribute): void {
    this.attributes.set(name, value)
  }

  /** The finished span in OTLP's JSON encoding. */
  end(error?: unknown): object {
    const message = error instanceof Error ? error.message : String(error)
    return knownSecrets.value({
      traceId: this.traceId,
      spanId: this.spanId,
      parentSpanId: this.parentSpanId,
      name: this.name,
      kind: 1,
      startTimeUnixNano: String(this.startNs),
      endTimeUnixNano: String(nowNs()),
      attributes: [...this.attributes].map(([key, value]) => ({ key, value: otlpValue(value) })),
      status: error === undefined ? { code: 1 } : { code: 2, message },
    })
  }
}

const FLUSH_AFTER_MS = 50
const MOST_SPANS = 2_000

/** Collects finished spans and sends them a few at a time; past the bound they are dropped, never queued without end. */
export class SpanBatch {
  private readonly service: string
  private readonly send: (frame: Buffer) => void
  private spans: object[] = []
  private timer: NodeJS.Timeout | undefined

  constructor(service: string, send: (frame: Buffer) => void) {
    this.service = service
    this.send = send
  }

  add(span: object): void {
    if (this.spans.length >= MOST_SPANS) return
    this.spans.push(span)
    this.timer ??= setTimeout(() => this.flush(), FLUSH_AFTER_MS).unref()
  }

  flush(): void {
    clearTimeout(this.timer)
    this.timer = undefined
    if (this.spans.length === 0) return
    const request = {
      resourceSpans: [
        {
          resource: { attributes: [{ key: 'service.name', value: { stringValue: this.service } }] },
          scopeSpans: [{ scope: { name: '@agentos/sdk' }, spans: this.spans }],
        },
      ],
    }
    this.spans = []
    this.send(Buffer.from(`OTLP${JSON.stringify(request)}`))
  }
}

function otlpValue(value: Attribute): object {
  if (typeof value === 'string') return { stringValue: value }
  if (typeof value === 'boolean') return { boolValue: value }
  return Number.isInteger(value) ? { intValue: String(value) } : { doubleValue: value }
}

/** Wall clock with the resolution of the monotonic one; spans of one process never run backwards. */
function nowNs(): bigint {
  return BigInt(Math.round((performance.timeOrigin + performance.now()) * 1e6))
}
