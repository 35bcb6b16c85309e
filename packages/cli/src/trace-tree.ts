import { visibleLine } from '@agentos/protocol'
import { padTo, type paint, visibleLength } from './output.ts'

/** A span as `GET /v1/traces/:id` answers it (protocol, 4.8). Times are epoch nanoseconds, as numbers or text. */
export interface TraceSpan {
  trace_id: string
  span_id: string
  name: string
  start_time_unix_nano: string | number
  end_time_unix_nano: string | number
  status: 'ok' | 'error' | 'unset'
  status_description?: string
  service_name?: string
  attributes?: [string, unknown][] | Record<string, unknown>
  children?: TraceSpan[]
}

const plain: typeof paint = (_style, text) => text

/** One line a span: its name under its parent's, who did it, how long it took, what it cost. */
export function drawTrace(roots: TraceSpan[], colour: typeof paint = plain): string {
  const lines = roots.flatMap((root) => draw(root, '', '', colour))
  const width = Math.max(...lines.map(({ name }) => visibleLength(name)))
  const service = Math.max(...lines.map(({ by }) => visibleLength(by)))
  const time = Math.max(...lines.map(({ ms }) => ms.length))
  return lines
    .map(({ name, by, ms, rest }) =>
      `${padTo(name, width)}  ${padTo(by, service)}  ${ms.padStart(time)}  ${rest}`.trimEnd(),
    )
    .join('\n')
}

interface Line {
  name: string
  by: string
  ms: string
  rest: string
}

function draw(span: TraceSpan, lead: string, childLead: string, colour: typeof paint): Line[] {
  const children = [...(span.children ?? [])].sort((a, b) => Number(startOf(a) - startOf(b)))
  const failed = span.status === 'error'
  const [name, why] = [visibleLine(span.name), visibleLine(span.status_description ?? 'error')]
  const facts = [visibleLine(modelFacts(span)), failed ? colour('red', why) : ''].filter(Boolean)
  const own: Line = {
    name: colour('dim', lead) + (failed ? colour('red', name) : name),
    by: colour('dim', visibleLine(span.service_name ?? '')),
    ms: `${durationMs(span).toFixed(1)} ms`,
    rest: facts.join('  '),
  }
  return [
    own,
    ...children.flatMap((child, index) => {
      const last = index === children.length - 1
      return draw(child, `${childLead}${last ? '└─ ' : '├─ '}`, `${childLead}${last ? '   ' : '│  '}`, colour)
    }),
  ]
}

const startOf = (span: TraceSpan): bigint => BigInt(span.start_time_unix_nano)

export const durationMs = (span: TraceSpan): number => Number(BigInt(span.end_time_unix_nano) - startOf(span)) / 1e6

/** Model, tokens and cost where a span has them: by our names, or by OpenTelemetry's for generative AI. */
function modelFacts(span: TraceSpan): string {
  const attributes = attributesOf(span)
  const named = (ours: string, theirs: string) => attributes.get(ours) ?? attributes.get(theirs)
  const model = named('model', 'gen_ai.response.model')
  const input = number(named('input_tokens', 'gen_ai.usage.input_tokens'))
  const output = number(named('output_tokens', 'gen_ai.usage.output_tokens'))
  const cost = number(attributes.get('cost_micro_usd'))
  return [
    model === undefined || span.name.endsWith(String(model)) ? '' : String(model),
    input === undefined && output === undefined ? '' : `${input ?? 0} → ${output ?? 0} tokens`,
    cost === undefined ? '' : formatMicroUsd(cost),
  ]
    .filter(Boolean)
    .join('  ')
}

/** In whichever of the two forms they come. */
export function attributesOf(span: TraceSpan): Map<string, unknown> {
  const { attributes = [] } = span
  return new Map(Array.isArray(attributes) ? attributes : Object.entries(attributes))
}

const number = (value: unknown): number | undefined =>
  value === undefined || value === null || value === '' || Number.isNaN(Number(value)) ? undefined : Number(value)

/** Integer micro-dollars as dollars, with as many digits as it takes to see them. */
export function formatMicroUsd(micro: number): string {
  const dollars = micro / 1e6
  return `$${dollars === 0 || dollars >= 0.01 ? dollars.toFixed(2) : dollars.toFixed(6).replace(/0+$/, '')}`
}
