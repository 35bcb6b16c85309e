import { describe, expect, it } from 'vitest'
import { drawTrace, formatMicroUsd, type TraceSpan } from './trace-tree.ts'

const span = (name: string, startMs: number, endMs: number, more: Partial<TraceSpan> = {}): TraceSpan => ({
  trace_id: 't',
  span_id: name,
  name,
  start_time_unix_nano: `${1_700_000_000_000 + startMs}000000`,
  end_time_unix_nano: `${1_700_000_000_000 + endMs}000000`,
  status: 'ok',
  service_name: 'w',
  ...more,
})

describe('a trace', () => {
  it('is drawn in the order of time, with milliseconds, model, tokens and cost', () => {
    const model = span('llm::complete', 40, 240, {
      attributes: [
        ['model', 'small'],
        ['input_tokens', 120],
        ['output_tokens', 7],
        ['cost_micro_usd', 420],
      ],
    })
    const recall = span('memory::recall', 5, 9)
    const chat = span('agent::chat', 1, 250, {
      children: [
        model,
        recall,
        span('memory::session::append', 241, 249, { status: 'error', status_description: 'disk full' }),
      ],
    })
    const lines = drawTrace([span('POST /v1/chat', 0, 251, { children: [chat] })]).split('\n')
    expect(lines).toEqual([
      'POST /v1/chat                  w  251.0 ms',
      '└─ agent::chat                 w  249.0 ms',
      '   ├─ memory::recall           w    4.0 ms',
      '   ├─ llm::complete            w  200.0 ms  small  120 → 7 tokens  $0.00042',
      '   └─ memory::session::append  w    8.0 ms  disk full',
    ])
  })

  it.each([
    [0, '$0.00'],
    [12, '$0.000012'],
    [1_234_567, '$1.23'],
  ])('%i micro-dollars are %s', (micro, text) => {
    expect(formatMicroUsd(micro)).toBe(text)
  })
})
