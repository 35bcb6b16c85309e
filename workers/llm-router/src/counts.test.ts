import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { countsOf, merged, usageOf } from './counts.ts'
import { costOf } from './price.ts'

/** Of an answer with content whose request and content would be estimated as 100 and 10 tokens. */
const read = (raw: unknown, output = 10) => usageOf(countsOf(raw), { input: () => 100, output })

describe('what a provider counts', () => {
  it.each<[string, object, object]>([
    [
      'OpenAI',
      { prompt_tokens: 40, completion_tokens: 9, prompt_tokens_details: { cached_tokens: 30 } },
      { input: 40, output: 9, total: 49, cached: 30 },
    ],
    [
      'Responses',
      {
        input_tokens: 40,
        output_tokens: 9,
        input_tokens_details: { cached_tokens: 30 },
        output_tokens_details: { reasoning_tokens: 7 },
      },
      { input: 40, output: 9, total: 49, cached: 30, reasoning: 7 },
    ],
    [
      'Anthropic, whose input leaves out the cache',
      { input_tokens: 10, output_tokens: 9, cache_read_input_tokens: 30, cache_creation_input_tokens: 5 },
      { input: 45, output: 9, total: 54, cached: 30, cacheWrite: 5 },
    ],
    [
      'Anthropic by another name, whose prompt holds the cache',
      { prompt_tokens: 45, completion_tokens: 9, cache_read_input_tokens: 30, cache_creation_input_tokens: 5 },
      { input: 45, output: 9, total: 54, cached: 30, cacheWrite: 5 },
    ],
    [
      'Gemini, which counts thoughts apart',
      { promptTokenCount: 40, candidatesTokenCount: 2, thoughtsTokenCount: 7, totalTokenCount: 49 },
      { input: 40, output: 9, total: 49, reasoning: 7 },
    ],
    [
      'DeepSeek',
      { prompt_tokens: 40, completion_tokens: 9, prompt_cache_hit_tokens: 30 },
      { input: 40, output: 9, total: 49, cached: 30 },
    ],
    ['Ollama', { prompt_eval_count: 40, eval_count: 9 }, { input: 40, output: 9, total: 49 }],
    ['Bedrock', { inputTokens: 40, outputTokens: 9, totalTokens: 49 }, { input: 40, output: 9, total: 49 }],
    [
      'xAI, whose output leaves out the reasoning',
      { prompt_tokens: 40, completion_tokens: 2, total_tokens: 49, completion_tokens_details: { reasoning_tokens: 7 } },
      { input: 40, output: 9, total: 49, reasoning: 7 },
    ],
    [
      'reasoning that is more than the output that should hold it',
      { prompt_tokens: 40, completion_tokens: 5, completion_tokens_details: { reasoning_tokens: 1_000 } },
      { input: 40, output: 1_005, total: 1_045, reasoning: 1_000 },
    ],
    [
      'a total that is more than its parts',
      { prompt_tokens: 10, completion_tokens: 5, total_tokens: 1_015 },
      { input: 10, output: 1_005, total: 1_015 },
    ],
    [
      'a total that holds reasoning beside the output, and more',
      {
        prompt_tokens: 10,
        completion_tokens: 5,
        total_tokens: 1_020,
        completion_tokens_details: { reasoning_tokens: 1_000 },
      },
      { input: 10, output: 1_010, total: 1_020, reasoning: 1_000 },
    ],
    ['text', { prompt_tokens: '40', completion_tokens: '9' }, { input: 40, output: 9, total: 49 }],
    ['fractions', { prompt_tokens: 39.2, completion_tokens: 8.5 }, { input: 40, output: 9, total: 49 }],
    ['a total and the input', { prompt_tokens: 40, total_tokens: 49 }, { input: 40, output: 9, total: 49 }],
    ['a total and the output', { completion_tokens: 9, total_tokens: 49 }, { input: 40, output: 9, total: 49 }],
    [
      'output 0 beside a total',
      { prompt_tokens: 40, completion_tokens: 0, total_tokens: 49 },
      { input: 40, output: 9, total: 49 },
    ],
  ])('is read alike: %s', (_, raw, usage) => {
    expect(read(raw)).toEqual(usage)
  })

  it.each<[string, unknown, object]>([
    ['nothing', undefined, { input: 100, output: 10 }],
    ['null', null, { input: 100, output: 10 }],
    ['an empty object', {}, { input: 100, output: 10 }],
    ['no object', 'twelve', { input: 100, output: 10 }],
    ['zeros', { prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 }, { input: 100, output: 10 }],
    ['null fields', { prompt_tokens: null, completion_tokens: null }, { input: 100, output: 10 }],
    ['only a total', { total_tokens: 49 }, { input: 100, output: 10 }],
    ['no output', { prompt_tokens: 40 }, { input: 40, output: 10 }],
    ['output 0 where there is some', { prompt_tokens: 40, completion_tokens: 0 }, { input: 40, output: 10 }],
    ['no input', { completion_tokens: 9 }, { input: 100, output: 9 }],
    ['negative counts', { prompt_tokens: -40, completion_tokens: -9 }, { input: 100, output: 10 }],
    ['words', { prompt_tokens: 'many', completion_tokens: true }, { input: 100, output: 10 }],
    ['more than there can be', { prompt_tokens: 40, completion_tokens: 1e300 }, { input: 40, output: 10 }],
    ['names that nobody knows', { tokens_in: 40, tokens_out: 9 }, { input: 100, output: 10 }],
  ])('is estimated and marked where it says %s', (_, raw, { input, output }: { input?: number; output?: number }) => {
    expect(read(raw)).toEqual({ input, output, total: input! + output!, estimated: true })
  })

  it('may be no output, where the answer holds nothing', () => {
    expect(read({ prompt_tokens: 40, completion_tokens: 0 }, 0)).toEqual({ input: 40, output: 0, total: 40 })
    expect(read({ promptTokenCount: 40, totalTokenCount: 40 }, 0)).toEqual({ input: 40, output: 0, total: 40 })
    expect(read(undefined, 0)).toMatchObject({ output: 0, estimated: true })
  })

  it('may come in pieces of which some are empty', () => {
    const pieces = [
      { input_tokens: 40, output_tokens: 1 },
      null,
      {},
      { input_tokens: 0, output_tokens: 9 },
      { output_tokens: null },
    ]
    const counts = pieces.map(countsOf).reduce(merged, {})
    expect(counts).toMatchObject({ input: 40, output: 9 })
  })

  const price = { input: 3, output: 15, cached: 0.3, cacheWrite: 3.75, source: 'test' }
  const names = [
    'prompt_tokens',
    'completion_tokens',
    'total_tokens',
    'input_tokens',
    'output_tokens',
    'cache_read_input_tokens',
    'cache_creation_input_tokens',
    'prompt_cache_hit_tokens',
    'promptTokenCount',
    'candidatesTokenCount',
    'thoughtsTokenCount',
    'totalTokenCount',
    'cachedContentTokenCount',
  ]
  const value = fc.oneof(
    fc.integer({ min: -5, max: 200 }),
    fc.double(),
    fc.constantFrom(null, '7', '-7', 'x', true, [], {}),
  )
  const details = fc.record({ cached_tokens: value, reasoning_tokens: value }, { requiredKeys: [] })
  const usage = fc
    .tuple(
      fc.dictionary(fc.constantFrom(...names), value),
      fc.record({ prompt_tokens_details: details, completion_tokens_details: details }, { requiredKeys: [] }),
    )
    .map(([counts, more]) => ({ ...counts, ...more }))

  it('is whole, adds up and never costs less than nothing, whatever it says', () => {
    fc.assert(
      fc.property(usage, fc.nat(50), (raw, output) => {
        const {
          cached = 0,
          cacheWrite = 0,
          reasoning = 0,
          ...read
        } = usageOf(countsOf(raw), { input: () => 100, output })
        for (const count of [read.input, read.output, read.total, cached, cacheWrite, reasoning]) {
          expect(Number.isSafeInteger(count) && count >= 0).toBe(true)
        }
        expect(read.input).toBeGreaterThan(0)
        if (output > 0) expect(read.output).toBeGreaterThan(0)
        expect(read.total).toBe(read.input + read.output)
        expect(cached + cacheWrite).toBeLessThanOrEqual(read.input)
        expect(reasoning).toBeLessThanOrEqual(read.output)
        const cost = costOf({ ...read, cached, cacheWrite, reasoning }, price, new Date())
        if (cost.microUsd !== null) expect(cost.microUsd).toBeGreaterThanOrEqual(0)
      }),
      { numRuns: 1_000 },
    )
  })
})

describe('counts that come in pieces', () => {
  const started = { input_tokens: 150, cache_read_input_tokens: 100 }

  it.each<[string, object, object]>([
    ['without the cache', { input_tokens: 150, output_tokens: 9 }, { input: 250, cached: 100 }],
    ['with it', { input_tokens: 150, cache_read_input_tokens: 100, output_tokens: 9 }, { input: 250, cached: 100 }],
    [
      'with less of it',
      { input_tokens: 150, cache_read_input_tokens: 60, output_tokens: 9 },
      { input: 210, cached: 60 },
    ],
    ['with more input', { input_tokens: 180, output_tokens: 9 }, { input: 280, cached: 100 }],
    ['of the output alone', { output_tokens: 9 }, { input: 250, cached: 100 }],
  ])('hold the cache that an earlier one told: the last %s', (_, last, expected) => {
    const counts = merged(countsOf(started), countsOf(last))
    expect(usageOf(counts, { input: () => 0, output: 1 })).toMatchObject({ ...expected, output: 9 })
  })

  it('are one count where each holds all so far', () => {
    const counts = [40, 40].map((prompt_tokens) =>
      countsOf({ prompt_tokens, completion_tokens: 9, prompt_tokens_details: { cached_tokens: 30 } }),
    )
    expect(usageOf(merged(counts[0]!, counts[1]!), { input: () => 0, output: 1 })).toMatchObject({
      input: 40,
      cached: 30,
    })
  })
})
