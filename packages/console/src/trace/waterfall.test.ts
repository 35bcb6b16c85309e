import { describe, expect, it } from 'vitest'
import type { Span } from './span.ts'
import { layOut } from './waterfall.ts'

const BEGIN = 1_795_366_448_000

function span(id: string, parent: string | null, from: number, to: number, more: Partial<Span> = {}): Span {
  return {
    trace_id: 't',
    span_id: id,
    parent_span_id: parent,
    name: id,
    start_time_unix_nano: (BEGIN + from) * 1e6,
    end_time_unix_nano: (BEGIN + to) * 1e6,
    status: 'ok',
    attributes: [],
    service_name: 'test',
    ...more,
  }
}

const drawn = (spans: Span[], options?: Parameters<typeof layOut>[1]) =>
  layOut(spans, options).rows.map(
    ({ depth, name, offsetMs, durationMs, open }) =>
      `${'  '.repeat(depth)}${name} ${Math.round(offsetMs)}+${Math.round(durationMs)}${open ? ' …' : ''}`,
  )

describe('a finished trace', () => {
  it('is indented by cause and ordered by time, whatever order the spans come in', () => {
    const spans = [
      span('model', 'agent', 10, 90),
      span('http', null, 0, 100),
      span('recall', 'agent', 4, 9),
      span('agent', 'http', 2, 98),
    ]
    expect(drawn(spans)).toEqual(['http 0+100', '  agent 2+96', '    recall 4+5', '    model 10+80'])
    expect(layOut(spans).durationMs).toBeCloseTo(100, 2)
  })

  it('shows a span whose parent was not recorded at the edge', () => {
    expect(drawn([span('a', 'gone', 0, 10), span('b', 'a', 1, 2)])).toEqual(['a 0+10', '  b 1+1'])
  })

  it('shows every span of a circle once', () => {
    expect(drawn([span('a', 'b', 0, 3), span('b', 'a', 1, 2), span('c', 'c', 2, 3)])).toHaveLength(3)
  })

  it('is empty without spans', () => {
    expect(layOut([])).toMatchObject({ rows: [], durationMs: 0 })
    expect(layOut([], { live: true, root: { id: 'r', name: 'x' } }).rows).toEqual([])
  })
})

describe('a live trace', () => {
  it('draws what has not ended as open over its children', () => {
    const root = { id: 'http', name: 'POST /v1/chat' }
    expect(drawn([span('recall', 'agent', 4, 9), span('session', 'agent', 2, 3)], { live: true, root })).toEqual([
      'POST /v1/chat 0+7 …',
      '  in progress 0+7 …',
      '    session 0+1',
      '    recall 2+5',
    ])
  })

  it('draws what is open up to the present', () => {
    const root = { id: 'http', name: 'POST /v1/chat' }
    const spans = [span('http', null, 0, 21), span('late', 'gone', 4, 9)]
    expect(drawn([spans[1]!], { live: true, root, elapsedMs: 500 })).toEqual([
      'POST /v1/chat 0+500 …',
      '  in progress 0+500 …',
      '    late 0+5',
    ])
    expect(drawn([spans[0]!], { live: true, root, elapsedMs: 500 })).toEqual(['http 0+21'])
  })

  it('replaces what was open when it ends', () => {
    const root = { id: 'http', name: 'POST /v1/chat' }
    const spans = [span('recall', 'agent', 4, 9), span('agent', 'http', 2, 20)]
    expect(drawn(spans, { live: true, root })).toEqual(['POST /v1/chat 0+18 …', '  agent 0+18', '    recall 2+5'])
    expect(drawn([...spans, span('http', null, 0, 21)], { live: true, root })[0]).toBe('http 0+21')
  })
})

describe('what model calls used', () => {
  const model = (id: string, attributes: Span['attributes']) => span(id, null, 0, 1, { attributes })

  it('is told at the span and summed up', () => {
    const { rows, totals } = layOut([
      model('one', [
        ['provider', 'openai'],
        ['model', 'gpt-x'],
        ['input_tokens', 100],
        ['output_tokens', 20],
        ['cost_micro_usd', 350],
      ]),
      model('two', [
        ['gen_ai.response.model', 'other'],
        ['gen_ai.usage.input_tokens', '5'],
        ['gen_ai.usage.output_tokens', '6'],
      ]),
      model('none', [['function_id', 'memory::recall']]),
    ])
    expect(rows.map(({ facts }) => facts)).toEqual([
      { model: 'openai/gpt-x', input: 100, output: 20, microUsd: 350 },
      { model: 'other', input: 5, output: 6 },
      undefined,
    ])
    expect(totals).toEqual({ input: 105, output: 26, microUsd: 350, calls: 2, unpriced: 1 })
  })

  it('says why a span failed', () => {
    const failing = span('x', null, 0, 1, { status: 'error', status_description: 'not_found: no such agent' })
    expect(layOut([failing]).rows[0]!.failure).toBe('not_found: no such agent')
  })
})
