/** A finished span as the engine answers it (protocol, 4.8). */
export interface Span {
  trace_id: string
  span_id: string
  parent_span_id: string | null
  name: string
  start_time_unix_nano: number
  end_time_unix_nano: number
  status: 'ok' | 'error' | 'unset'
  status_description?: string
  attributes: [string, string | number | boolean][]
  service_name: string
}

export interface SpanNode extends Span {
  children: SpanNode[]
}

export function flattened(roots: SpanNode[]): Span[] {
  const spans: Span[] = []
  const rest = [...roots]
  for (let node = rest.pop(); node; node = rest.pop()) {
    const { children, ...span } = node
    spans.push(span)
    rest.push(...children)
  }
  return spans
}

/** What a model call used, where a span tells it. */
export interface ModelFacts {
  model?: string
  input?: number
  output?: number
  microUsd?: number
}

/** The router's own names first, then those of OpenTelemetry's conventions, as workers of others use them. */
const NAMES = {
  provider: ['provider', 'gen_ai.provider.name', 'gen_ai.system'],
  model: ['model', 'gen_ai.response.model', 'gen_ai.request.model'],
  input: ['input_tokens', 'gen_ai.usage.input_tokens'],
  output: ['output_tokens', 'gen_ai.usage.output_tokens'],
  microUsd: ['cost_micro_usd'],
}

export function modelFacts(span: Span): ModelFacts | undefined {
  const attributes = new Map(span.attributes)
  const first = (names: string[]) => names.map((name) => attributes.get(name)).find((value) => value !== undefined)
  const count = (names: string[]) => {
    const value = first(names)
    return value === undefined || !Number.isFinite(Number(value)) ? undefined : Number(value)
  }
  const [provider, model] = [first(NAMES.provider), first(NAMES.model)]
  const facts = {
    model: model === undefined ? undefined : provider === undefined ? String(model) : `${provider}/${model}`,
    input: count(NAMES.input),
    output: count(NAMES.output),
    microUsd: count(NAMES.microUsd),
  }
  const known = Object.entries(facts).filter(([, value]) => value !== undefined)
  return facts.model === undefined && facts.input === undefined ? undefined : Object.fromEntries(known)
}
