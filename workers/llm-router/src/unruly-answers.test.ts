import type { StreamFrame } from '@agentos/contracts/llm-router'
import type { SimulatedAnswer } from '@agentos/testing'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { connectTo, FORMATS, failure, type SimulatedProvider } from './simulated-provider.fixture.ts'

const WEATHER = { id: 'weather::now', description: '', inputSchema: { type: 'object' } }
const ANSWER: SimulatedAnswer = {
  text: 'Grüße aus Köln 🌍, all of it',
  toolCalls: [{ name: 'weather__now', arguments: { city: 'Köln' } }],
}
const OVERLOAD = 'data: {"type":"error","error":{"type":"overloaded_error","message":"simulated overload"}}\n\n'

const textOf = (frames: readonly StreamFrame[]) =>
  frames.map((frame) => (frame.type === 'text' ? frame.text : '')).join('')

/** The first half of a stream's events. */
const half = (body: string) => {
  const events = body.split('\n\n')
  return `${events.slice(0, Math.ceil(events.length / 2)).join('\n\n')}\n\n`
}

describe.each(FORMATS)('$format', (simulated) => {
  let provider: SimulatedProvider
  beforeEach(async () => {
    provider = await connectTo(simulated, ANSWER)
  })
  afterEach(() => provider.close())

  const ask = (answer: SimulatedAnswer, stream: boolean, seen: StreamFrame[] = []) => {
    provider.simulator.play(answer)
    return provider.ask({ tools: [WEATHER] }, { stream, seen })
  }

  it.each<[string, (body: string) => string]>([
    ['a byte order mark', (body) => `\uFEFF${body}`],
    ['lines that end with CR', (body) => body.replaceAll('\n', '\r')],
    ['lines that end with CR LF', (body) => body.replaceAll('\n', '\r\n')],
    ['events without data', (body) => `data:\n\n${body.replaceAll('\n\n', '\n\ndata: \n\ndata\n\n')}`],
    ['events that are null', (body) => `data: null\n\n${body.replaceAll('\n\n', '\n\ndata: null\n\n')}`],
    ['[DONE] with a blank behind it', (body) => `${body.replace('data: [DONE]\n\n', '')}data: [DONE] \n\n`],
    [
      'comments and fields of no meaning',
      (body) => body.replaceAll('\n\n', '\n\n: awake\nretry: soon\nfoo: bar\nid: 7\n'),
    ],
    ['no empty line at the end', (body) => body.trimEnd()],
  ])('reads a stream with %s', async (_, rewritten) => {
    const plain = await ask(ANSWER, true)
    const { frames, ...answer } = await ask({ ...ANSWER, rewritten }, true)
    expect(textOf(frames)).toBe(ANSWER.text)
    expect(answer.parts.map(({ type }) => type)).toEqual(['text', 'toolCall'])
    expect({ ...answer, parts: [] }).toEqual({ ...plain, parts: [], frames: undefined })
  })

  it.each([
    ['whole', true],
    ['streamed', false],
  ] as const)('reads an answer that is %s where the other form was asked for', async (form, stream) => {
    const asked = await ask(ANSWER, stream)
    const answer = await ask({ ...ANSWER, form }, stream)
    const withoutIds = (parts: object[]) => parts.map((part) => ({ ...part, callId: '' }))
    expect(withoutIds(answer.parts)).toEqual(withoutIds(asked.parts))
    expect(answer.stopReason).toBe('tool_calls')
    // A stream of this format brings its usage only where the request says so.
    if (simulated.format !== 'openai-chat' || form === 'whole') expect(answer.usage).toEqual(asked.usage)
    expect(textOf(answer.frames)).toBe(stream ? ANSWER.text : '')
    expect(answer.frames.filter(({ type }) => type === 'toolCall')).toHaveLength(stream ? 1 : 0)
  })

  it.each<[string, string]>([
    ['an error', OVERLOAD],
    ['what is no JSON', 'data: {"half of\n\n'],
    ['a line that is too long', `data: ${'x'.repeat(5_000_000)}`],
  ])('hands on the text that came in one piece with %s', async (_, behind) => {
    const words = Array.from({ length: 50 }, (_, n) => `word${n}`)
    const text = words.join(' ')
    const seen: StreamFrame[] = []
    const rewritten = (body: string) => half(body) + behind
    const error = await failure(ask({ text: `${text} ${text} ${text}`, rewritten }, true, seen))
    expect(error.code).toBe('upstream_error')
    for (const word of words) expect(textOf(seen)).toContain(word)
  })

  it.each<[string, unknown]>([
    ['an object', { error: { message: 'The model is loading', type: 'server_error' } }],
    ['text', { error: 'The model is loading' }],
    ['a list', [{ error: { code: 503, message: 'The model is loading', status: 'UNAVAILABLE' } }]],
    ['of another kind', { object: 'error', message: 'The model is loading', code: 50305 }],
    ['of a framework', { detail: 'The model is loading' }],
    ['a list under its name', { errors: [{ message: 'The model is loading' }] }],
    ['a list of words', { error: ['The model is loading'] }],
    ['a status of its own', { base_resp: { status_code: 1013, status_msg: 'The model is loading' } }],
    ['with its own code', { code: 'Loading', message: 'The model is loading', request_id: '7' }],
  ])('says what the provider says where an answer of status 200 is an error: %s', async (_, body) => {
    for (const stream of [false, true]) {
      const error = await failure(ask({ text: 'never', form: 'whole', rewritten: () => JSON.stringify(body) }, stream))
      expect(error.message).toContain('The model is loading')
      expect(error.code).toBe('upstream_error')
    }
  })

  it.each([
    ['as vLLM has it', 'data: {"object":"error","message":"CUDA out of memory","code":500}'],
    ['as an event of its own', 'event: error\ndata: {"message":"CUDA out of memory"}'],
    ['as text in an event of its own', 'event: error\ndata: CUDA out of memory'],
    ['in a list', 'data: {"errors":[{"message":"CUDA out of memory"}]}'],
    ['in a status', 'data: {"base_resp":{"status_code":1013,"status_msg":"CUDA out of memory"}}'],
  ])('says what the provider says behind the text of a stream: %s', async (_, line) => {
    const seen: StreamFrame[] = []
    const rewritten = (body: string) => `${half(body)}${line}\n\n`
    const error = await failure(ask({ text: 'one two three four five six', rewritten }, true, seen))
    expect(error.message).toContain('CUDA out of memory')
    expect(error.code).toBe('upstream_error')
    expect(textOf(seen)).toContain('one')
  })

  it.each<[string, object]>([
    ['rate_limited', { message: 'Slow down', type: 'rate_limit_error', code: 429 }],
    ['upstream_rejected', { message: 'No such field', type: 'invalid_request_error', code: null }],
    ['upstream_auth', { message: 'No such key', type: 'authentication_error', code: 401 }],
  ])('types an error of status 200: %s', async (code, error) => {
    const rewritten = () => JSON.stringify({ error })
    for (const stream of [false, true]) {
      expect((await failure(ask({ text: 'never', form: 'whole', rewritten }, stream))).code).toBe(code)
    }
  })

  it.each([
    'null',
    '"yes"',
    '5',
    '[]',
    '[null]',
    '{}',
    '<html>Sign in</html>',
    '{"choices":null,"content":null,"output":null,"candidates":null}',
    '{"choices":[null],"content":[null],"output":[null],"candidates":[null]}',
    '{"choices":[{"message":7}],"content":[7],"output":[{"type":"message","content":7}],"candidates":[{"content":{"parts":7}}]}',
  ])('fails typed where an answer is %s', async (body) => {
    for (const stream of [false, true]) {
      const error = await failure(ask({ text: 'never', form: 'whole', rewritten: () => body }, stream))
      expect(error.code).toBe('upstream_error')
    }
  })
})

describe('a list that holds null', () => {
  const CALL = { id: '1', type: 'function', function: { name: 'weather__now', arguments: '{"city":"Oslo"}' } }
  const BLOCK = { type: 'tool_use', id: '1', name: 'weather__now', input: { city: 'Oslo' } }
  const ITEM = { type: 'function_call', call_id: '1', name: 'weather__now', arguments: '{"city":"Oslo"}' }
  const PART = { functionCall: { name: 'weather__now', args: { city: 'Oslo' } } }
  const events = (...list: object[]) => list.map((event) => `data: ${JSON.stringify(event)}\n\n`).join('')
  const BODIES: Record<string, { whole: object; streamed: string }> = {
    'openai-chat': {
      whole: { choices: [{ message: { content: [null], tool_calls: [null, CALL] }, finish_reason: 'tool_calls' }] },
      streamed: events({
        choices: [{ delta: { content: [null], tool_calls: [null, CALL] }, finish_reason: 'tool_calls' }],
      }),
    },
    'openai-responses': {
      whole: { status: 'completed', output: [null, { type: 'message', content: [null] }, ITEM] },
      streamed: events(
        { type: 'response.output_item.done', item: null },
        { type: 'response.output_item.done', item: { type: 'message', content: [null] } },
        { type: 'response.output_item.done', item: { type: 'reasoning', summary: [null] } },
        { type: 'response.output_item.done', item: ITEM },
        { type: 'response.completed', response: { status: 'completed' } },
      ),
    },
    anthropic: {
      whole: { content: [null, BLOCK], stop_reason: 'tool_use' },
      streamed: events(
        { type: 'content_block_start', index: 0, content_block: null },
        { type: 'content_block_delta', index: 0, delta: null },
        { type: 'content_block_stop', index: 0 },
        { type: 'content_block_start', index: 1, content_block: BLOCK },
        { type: 'content_block_stop', index: 1 },
        { type: 'message_delta', delta: { stop_reason: 'tool_use' } },
        { type: 'message_stop' },
      ),
    },
    gemini: {
      whole: { candidates: [{ content: { parts: [null, PART] }, finishReason: 'STOP' }] },
      streamed: events({ candidates: [{ content: { parts: [null, PART] }, finishReason: 'STOP' }] }),
    },
  }

  it.each(FORMATS)('loses that alone: $format', async (simulated) => {
    const provider = await connectTo(simulated, ANSWER)
    const { whole, streamed } = BODIES[simulated.format]!
    try {
      for (const [form, body] of [
        ['whole', JSON.stringify(whole)],
        ['streamed', streamed],
      ] as const) {
        provider.simulator.play({ text: 'never', form, rewritten: () => body })
        const { parts } = await provider.ask({ tools: [WEATHER] }, { stream: form === 'streamed' })
        const calls = parts.filter((part) => part.type === 'toolCall' && !part.problem)
        expect(calls).toMatchObject([{ id: 'weather::now', arguments: { city: 'Oslo' } }])
      }
    } finally {
      await provider.close()
    }
  })
})

it.each(FORMATS)('keeps the numbers of arguments that come as an object: $format', async (simulated) => {
  const provider = await connectTo(simulated, ANSWER)
  const toolCalls = [{ name: 'weather__now', arguments: '{"id": 7}' }]
  // Where arguments are text, they are made the object that some servers send.
  const rewritten = (body: string) =>
    body.replaceAll(/"arguments":"\{\\"id\\":\s?7\}"|"(?:args|input)":\{"id":7\}/g, (found) =>
      found.replace(/:.*/, ':{"id":12345678901234567890}'),
    )
  try {
    for (const stream of [false, true]) {
      provider.simulator.play({ toolCalls, rewritten })
      const { parts } = await provider.ask({ tools: [WEATHER] }, { stream })
      if (stream && ['openai-chat', 'anthropic'].includes(simulated.format)) continue
      expect(parts).toMatchObject([{ argumentsText: '{"id":12345678901234567890}' }])
    }
  } finally {
    await provider.close()
  }
})
