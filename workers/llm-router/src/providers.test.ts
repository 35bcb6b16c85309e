import type { Message, StreamFrame } from '@agentos/contracts/llm-router'
import type { Script, SimulatorOptions } from '@agentos/testing'
import { afterEach, describe, expect, it } from 'vitest'
import { listModels } from './provider-client.ts'
import { Settings } from './settings.ts'
import { connectTo, FORMATS, failure } from './simulated-provider.fixture.ts'

const WEATHER = {
  id: 'weather::now',
  description: 'The weather of a city',
  inputSchema: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
}
const PIXEL = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=='

const user = (content: Message['content']): Message => ({ role: 'user', content })

/** One contract for all four formats: what passes here an agent cannot tell apart. */
describe.each(FORMATS)('$format', (simulated) => {
  const { format, model } = simulated
  const open: { close(): Promise<unknown> }[] = []
  afterEach(async () => {
    for (const closable of open.splice(0)) await closable.close()
  })

  async function connect(script: Script, options: SimulatorOptions = {}) {
    const connection = await connectTo(simulated, script, options)
    open.push(connection)
    return connection
  }

  it.each([false, true])('answers text with usage (streamed: %s)', async (stream) => {
    const usage = { input: 40, output: 9, cached: 30 }
    const { ask } = await connect({ text: 'Grüße aus Köln 🌍, all of it', usage })
    const answer = await ask({}, { stream })
    expect(answer.parts).toEqual([{ type: 'text', text: 'Grüße aus Köln 🌍, all of it' }])
    expect(answer.usage).toEqual({ input: 40, output: 9, total: 49, cached: 30 })
    expect(answer.stopReason).toBe('stop')
    if (stream) {
      expect(answer.frames.length).toBeGreaterThan(3)
      expect(answer.frames.map((frame) => (frame.type === 'text' ? frame.text : '')).join('')).toBe(
        'Grüße aus Köln 🌍, all of it',
      )
    }
  })

  it.each([false, true])('calls tools by their own ids and takes the results back (streamed: %s)', async (stream) => {
    const { ask, simulator } = await connect([
      {
        text: 'Let me look.',
        toolCalls: [
          { name: 'weather__now', arguments: { city: 'Köln' } },
          { name: 'weather__now', arguments: { city: 'Oslo' } },
        ],
      },
      { text: 'Rain in both.' },
    ])
    const first = await ask({ tools: [WEATHER] }, { stream })
    const calls = first.parts.filter((part) => part.type === 'toolCall')
    expect(calls).toMatchObject([
      { id: 'weather::now', arguments: { city: 'Köln' } },
      { id: 'weather::now', arguments: { city: 'Oslo' } },
    ])
    expect(calls[0]?.callId).not.toBe(calls[1]?.callId)
    expect(first.stopReason).toBe('tool_calls')
    if (stream) expect(first.frames.filter((frame) => frame.type === 'toolCall')).toEqual(calls)

    const results = calls.map(({ callId }, index) => ({
      type: 'toolResult' as const,
      callId,
      content: index === 0 ? '{"sky":"rain"}' : 'no such city',
      ...(index === 1 ? { isError: true } : {}),
    }))
    const second = await ask(
      {
        tools: [WEATHER],
        messages: [user('Weather?'), { role: 'assistant', content: first.parts }, { role: 'tool', content: results }],
      },
      { stream },
    )
    expect(second.parts).toEqual([{ type: 'text', text: 'Rain in both.' }])
    expect(simulator.refused).toEqual([])
    expect(JSON.stringify(simulator.requests[1]?.body)).toContain('no such city')
  })

  it.each([false, true])('gives each call of an answer an id of its own (streamed: %s)', async (stream) => {
    const { ask, simulator } = await connect([
      {
        toolCalls: [
          { id: 'c1', name: 'weather__now', arguments: { city: 'Köln' } },
          { id: 'c1', name: 'weather__now', arguments: { city: 'Oslo' } },
          { id: '', name: 'weather__now', arguments: { city: 'Rom' } },
        ],
      },
      { toolCalls: [{ id: 'c1', name: 'weather__now', arguments: { city: 'Bern' } }] },
      { text: 'Rain in all of them.' },
    ])
    const messages: Message[] = [user('Weather?')]
    for (const round of [1, 2]) {
      const { parts } = await ask({ tools: [WEATHER], messages }, { stream })
      const calls = parts.filter((part) => part.type === 'toolCall')
      expect(calls).toHaveLength(round === 1 ? 3 : 1)
      const content = calls.map(({ callId }) => ({
        type: 'toolResult' as const,
        callId,
        content: `rain for ${callId}`,
      }))
      messages.push({ role: 'assistant', content: parts }, { role: 'tool', content })
    }
    await ask({ tools: [WEATHER], messages }, { stream })
    expect(simulator.refused).toEqual([])
    const ids = messages.flatMap(({ content }) =>
      typeof content === 'string' ? [] : content.flatMap((part) => (part.type === 'toolCall' ? [part.callId] : [])),
    )
    expect(new Set(ids).size).toBe(4)
    expect(ids).not.toContain('')
  })

  it('takes a history in which calls share an id: each has the result that stands in its place', async () => {
    const { ask, simulator } = await connect({ text: 'fine' })
    const call = (city: string) => ({
      type: 'toolCall' as const,
      callId: 'c1',
      id: WEATHER.id,
      arguments: { city },
    })
    const result = (content: string) => ({ type: 'toolResult' as const, callId: 'c1', content })
    await ask({
      tools: [WEATHER],
      messages: [
        user('Weather?'),
        { role: 'assistant', content: [call('Köln'), call('Oslo')] },
        { role: 'tool', content: [result('rain')] },
        { role: 'tool', content: [result('snow')] },
        { role: 'assistant', content: [call('Rom')] },
        { role: 'tool', content: [result('sun')] },
      ],
    })
    expect(simulator.refused).toEqual([])
    const sent = JSON.stringify(simulator.requests[0]?.body)
    const order = ['Köln', 'Oslo', 'rain', 'snow', 'Rom', 'sun'].map((word) => sent.indexOf(word))
    expect(order).toEqual([...order].sort((a, b) => a - b))
    expect(order.every((at) => at > 0)).toBe(true)
  })

  it.each([false, true])('fails a call that names no function, and nothing else (streamed: %s)', async (stream) => {
    const { ask, simulator } = await connect([
      { text: 'Let me look.', toolCalls: [{ id: 'c1', name: '', arguments: { city: 'Köln' } }] },
      { text: 'Sorry.' },
    ])
    const { parts } = await ask({ tools: [WEATHER] }, { stream })
    expect(parts).toMatchObject([
      { type: 'text', text: 'Let me look.' },
      { type: 'toolCall', id: expect.stringMatching(/./), problem: { code: 'unknown_tool' } },
    ])
    const call = parts.find((part) => part.type === 'toolCall')!
    await ask({
      tools: [WEATHER],
      messages: [
        user('Weather?'),
        { role: 'assistant', content: parts },
        { role: 'tool', content: [{ type: 'toolResult', callId: call.callId, content: 'no', isError: true }] },
      ],
    })
    expect(simulator.refused).toEqual([])
  })

  it.each([false, true])('keeps what a model wrote as arguments, there and back (streamed: %s)', async (stream) => {
    const written = '{"id":12345678901234567890,"big":1e400,"rate":1.0,"small":-0,"fine":0.1,"city":"Köln"}'
    const { ask, simulator } = await connect([
      { toolCalls: [{ name: 'weather__now', arguments: written }] },
      { text: 'ok' },
    ])
    const { parts } = await ask({ tools: [WEATHER] }, { stream })
    const [call] = parts.filter((part) => part.type === 'toolCall')
    expect(call).toMatchObject({ argumentsText: written, arguments: { fine: 0.1, city: 'Köln' } })
    expect(call).not.toHaveProperty('problem')
    const content = [{ type: 'toolResult' as const, callId: call!.callId, content: 'rain' }]
    await ask({
      tools: [WEATHER],
      messages: [user('Weather?'), { role: 'assistant', content: parts }, { role: 'tool', content }],
    })
    expect(simulator.refused).toEqual([])
    const sent = simulator.requests[1]!.bodyText
    expect(sent.includes(written) || sent.includes(JSON.stringify(written))).toBe(true)
  })

  it('says nothing twice where arguments printed are what the model wrote', async () => {
    const { ask } = await connect({ toolCalls: [{ name: 'weather__now', arguments: '{"city":"Köln"}' }] })
    expect((await ask({ tools: [WEATHER] })).parts[0]).not.toHaveProperty('argumentsText')
  })

  it('takes a history of another provider: foreign call ids, foreign reasoning, tools that are no longer offered', async () => {
    const { ask, simulator } = await connect({ text: 'fine' })
    const callId = 'a call id with blanks, and much longer than any provider would take for one of its own'
    await ask({
      messages: [
        { role: 'system', content: 'Be brief.' },
        user('Weather?'),
        {
          role: 'assistant',
          content: [
            { type: 'reasoning', text: 'hm', signature: 'from elsewhere', origin: 'elsewhere' },
            { type: 'toolCall', callId, id: 'other::very::long', arguments: { city: 'Köln' } },
          ],
        },
        { role: 'tool', content: [{ type: 'toolResult', callId, content: 'rain' }] },
        user('And now?'),
      ],
    })
    expect(simulator.refused).toEqual([])
    expect(JSON.stringify(simulator.requests[0]?.body)).not.toContain('from elsewhere')
    expect(JSON.stringify(simulator.requests[0]?.body)).toContain('Be brief.')
  })

  it('reports a call of a tool that was not offered, and arguments that are no object', async () => {
    const { ask } = await connect({
      toolCalls: [
        { name: 'made__up', arguments: {} },
        { name: 'weather__now', arguments: '{"city": ' },
      ],
    })
    const { parts } = await ask({ tools: [WEATHER] }, { stream: true })
    expect(parts).toMatchObject([
      { id: 'made::up', problem: { code: 'unknown_tool' } },
      {
        id: 'weather::now',
        arguments: {},
        problem: { code: 'invalid_json', raw: expect.stringContaining('{"city": ') },
      },
    ])
  })

  it('sends images, in messages and in tool results', async () => {
    const { ask, simulator } = await connect({ text: 'a dot' })
    const image = { type: 'image' as const, mediaType: 'image/png', data: PIXEL }
    await ask({
      tools: [WEATHER],
      messages: [
        user([{ type: 'text', text: 'What is this?' }, image]),
        { role: 'assistant', content: [{ type: 'toolCall', callId: 'c1', id: WEATHER.id, arguments: {} }] },
        {
          role: 'tool',
          content: [{ type: 'toolResult', callId: 'c1', content: [{ type: 'text', text: 'see' }, image] }],
        },
      ],
    })
    expect(simulator.refused).toEqual([])
    expect(JSON.stringify(simulator.requests[0]?.body).split(PIXEL)).toHaveLength(3)
  })

  it('sends limits, sampling, stop, a forced tool and a wanted format as its API has them', async () => {
    const { ask, simulator } = await connect({ text: '{}' })
    const schema = {
      type: 'object',
      properties: { a: { type: 'number' } },
      required: ['a'],
      additionalProperties: false,
    }
    const stop = format === 'openai-responses' ? {} : { stop: ['END'] }
    const warm = format.startsWith('openai') ? {} : { temperature: 0.2 }
    await ask({ tools: [WEATHER], toolChoice: { id: WEATHER.id }, maxTokens: 64, ...warm, ...stop })
    await ask({ tools: [WEATHER], toolChoice: 'required', responseFormat: { type: 'json', schema } })
    await ask({ responseFormat: { type: 'json' } })
    expect(simulator.refused).toEqual([])
    expect(JSON.stringify(simulator.requests[0]?.body)).toContain(':64')
    expect(JSON.stringify(simulator.requests[1]?.body)).toContain('"additionalProperties":false')
  })

  it.each([false, true])(
    'keeps reasoning and sends back what the provider wants to see again (streamed: %s)',
    async (stream) => {
      const { ask, simulator } = await connect([
        {
          reasoning: 'First I look it up.',
          signature: 'proof',
          toolCalls: [{ name: 'weather__now', arguments: { city: 'Köln' } }],
          usage: { input: 20, output: 12, reasoning: 7 },
        },
        { text: 'Rain.' },
      ])
      const first = await ask({ tools: [WEATHER], reasoning: 'low' }, { stream })
      expect(first.parts).toMatchObject([
        { type: 'reasoning', text: 'First I look it up.' },
        { type: 'toolCall', id: WEATHER.id },
      ])
      // Anthropic does not count it apart.
      if (format !== 'anthropic') expect(first.usage).toMatchObject({ output: 12, reasoning: 7 })
      const call = first.parts.find((part) => part.type === 'toolCall')!
      await ask({
        tools: [WEATHER],
        reasoning: 'low',
        messages: [
          user('Weather?'),
          { role: 'assistant', content: first.parts },
          { role: 'tool', content: [{ type: 'toolResult', callId: call.callId, content: 'rain' }] },
        ],
      })
      expect(simulator.refused).toEqual([])
      const again = JSON.stringify(simulator.requests[1]?.body)
      if (format === 'openai-chat') expect(again).not.toContain('First I look it up.')
      else expect(again).toContain('proof')
    },
  )

  it.each<[string, unknown]>([
    ['no usage', null],
    ['an empty one', {}],
    ['zeros', { prompt_tokens: 0, completion_tokens: 0, input_tokens: 0, output_tokens: 0, candidatesTokenCount: 0 }],
    ['a total alone', { total_tokens: 9, totalTokenCount: 9 }],
    ['no output', { prompt_tokens: 9, input_tokens: 9, promptTokenCount: 9 }],
  ])('estimates what its provider does not count, and marks it: %s', async (_, countedAs) => {
    const text = 'words '.repeat(100).trim()
    const { ask } = await connect({ text, countedAs })
    for (const stream of [false, true]) {
      const { usage } = await ask({}, { stream })
      expect(usage).toMatchObject({ estimated: true, total: usage.input + usage.output })
      expect(usage.output).toBeGreaterThan(100)
      expect(usage.input).toBeGreaterThan(0)
    }
  })

  it('reads the counts of another API', async () => {
    const { ask } = await connect({ text: 'hello', countedAs: { inputTokens: 40, outputTokens: '9' } })
    for (const stream of [false, true]) {
      expect((await ask({}, { stream })).usage).toEqual({ input: 40, output: 9, total: 49 })
    }
  })

  it.each([
    ['length', 'length'],
    ['content_filter', 'content_filter'],
  ] as const)('says why an answer stopped: %s', async (stop, expected) => {
    const { ask } = await connect({ text: 'half a sen', stop })
    expect((await ask({})).stopReason).toBe(expected)
    expect((await ask({}, { stream: true })).stopReason).toBe(expected)
  })

  it.each([
    ['MAX_TOKENS', 'length'],
    ['insufficient_system_resource', 'interrupted'],
    ['abort', 'interrupted'],
    ['moon_phase', 'other'],
  ] as const)(
    'takes a reason to stop of another provider, and tells one that it does not know: %s',
    async (finish, expected) => {
      const { ask } = await connect({ text: 'half a sen', finish })
      for (const stream of [false, true]) {
        const { stopReason, stopDetail } = await ask({}, { stream })
        expect(stopReason).toBe(expected)
        expect(stopDetail).toBe(expected === 'length' ? undefined : finish)
      }
    },
  )

  describe.each([false, true])('an answer that was cut off (streamed: %s)', (stream) => {
    const whole = { name: 'weather__now', arguments: { city: 'Oslo' } }

    it.each([
      ['length', 'length', ''],
      ['length', 'length', '{"city": "Os'],
      ['insufficient_system_resource', 'interrupted', ''],
      ['content_filter', 'content_filter', {}],
    ] as const)('by %s holds no call whose arguments were not whole', async (finish, expected, args) => {
      const toolCalls = [whole, { name: 'weather__now', arguments: args }]
      const { ask } = await connect({ text: 'I look.', toolCalls, finish })
      const { parts, stopReason, frames } = await ask({ tools: [WEATHER] }, { stream })
      expect(stopReason).toBe(expected)
      expect(parts).toMatchObject([
        { type: 'text', text: 'I look.' },
        { type: 'toolCall', arguments: { city: 'Oslo' } },
      ])
      expect(frames.filter(({ type }) => type === 'toolCall')).toEqual(stream ? parts.slice(1) : [])
    })

    it('by nothing keeps a call without arguments', async () => {
      const toolCalls = [{ name: 'weather__now', arguments: '' }, whole]
      const { ask } = await connect({ toolCalls })
      const { parts, frames, stopReason } = await ask({ tools: [WEATHER] }, { stream })
      expect(parts).toMatchObject([{ arguments: {} }, { arguments: { city: 'Oslo' } }])
      expect(stopReason).toBe('tool_calls')
      expect(frames).toEqual(stream ? parts : [])
    })
  })

  it('does not speak of calls where there are none', async () => {
    const { ask } = await connect({ text: 'no call', finish: 'tool_calls' })
    expect((await ask({})).stopReason).toBe('stop')
  })

  it('types a wrong key and does not repeat it', async () => {
    const { ask } = await connect({ text: 'never' })
    const error = await failure(ask({}, { key: 'sk-wrong-key-1234567890' }))
    expect(error.code).toBe('upstream_auth')
    expect(JSON.stringify([error.message, error.details])).not.toMatch(/wrong-key|7890/)
    expect(error.details).toMatchObject({ provider: 'simulated', model, status: expect.any(Number) })
  })

  it('types an unknown model', async () => {
    const { ask } = await connect({ text: 'never' }, { models: ['another'] })
    expect((await failure(ask({}))).code).toBe('model_not_found')
  })

  it.each([false, true])('types 429 with the time to wait, 500 and overload (streamed: %s)', async (stream) => {
    const { ask } = await connect([
      { fault: { kind: 'status', status: 429, retryAfterSeconds: 7 } },
      { fault: { kind: 'status', status: 500 } },
      { fault: { kind: 'status', status: 529 } },
    ])
    const limited = await failure(ask({}, { stream }))
    expect(limited.code).toBe('rate_limited')
    expect(limited.details).toMatchObject({ status: 429, retryAfterMs: 7_000, message: 'simulated 429' })
    expect((await failure(ask({}, { stream }))).code).toBe('upstream_error')
    expect((await failure(ask({}, { stream }))).code).toBe('upstream_error')
  })

  it('tells a full context, an empty account and refused content apart', async () => {
    const { ask } = await connect([
      { fault: { kind: 'status', status: 400, message: 'prompt is too long: 210000 tokens > 200000 maximum' } },
      { fault: { kind: 'status', status: 400, message: 'Your credit balance is too low to access the API.' } },
      { fault: { kind: 'status', status: 400, type: 'content_policy_violation', message: 'no' } },
      { fault: { kind: 'status', status: 400, message: 'something else' } },
    ])
    expect((await failure(ask({}))).code).toBe('context_overflow')
    expect((await failure(ask({}))).code).toBe('upstream_quota')
    expect((await failure(ask({}))).code).toBe('content_filter')
    expect((await failure(ask({}))).code).toBe('upstream_rejected')
  })

  it.each(['half', 'reset', 'bad-json', 'long-line', 'stream-error'] as const)(
    'fails typed on a broken stream: %s',
    async (kind) => {
      const { ask, simulator } = await connect({ text: 'one two three four five six', fault: { kind } })
      const seen: StreamFrame[] = []
      expect((await failure(ask({}, { stream: true, seen }))).code).toBe('upstream_error')
      await expect.poll(() => simulator.answering).toBe(0)
    },
  )

  it.each(['half', 'reset', 'bad-json', 'long-line'] as const)('fails typed on a broken body: %s', async (kind) => {
    const { ask } = await connect({ text: 'one two three four five six', fault: { kind } })
    expect((await failure(ask({}))).code).toBe('upstream_error')
  })

  it('gives up on a provider that never answers, and on one that stands still', async () => {
    // Not one script for both: a request may be given up before the provider has counted it.
    const { ask, simulator } = await connect({ fault: { kind: 'hang' } })
    const hung = await failure(ask({}, { stream: true, timeouts: { firstByteMs: 50 } }))
    expect(hung).toMatchObject({ code: 'upstream_timeout', details: { kind: 'firstByte' } })
    simulator.play({ text: 'one two three', fault: { kind: 'stall' } })
    const stalled = await failure(ask({}, { stream: true, timeouts: { idleMs: 50 } }))
    expect(stalled).toMatchObject({ code: 'upstream_timeout', details: { kind: 'idle' } })
    await expect.poll(() => simulator.openSockets).toBe(0)
  })

  it('closes the socket when the call is cancelled', async () => {
    const { ask, simulator } = await connect({ text: 'one two three', fault: { kind: 'stall' } })
    const controller = new AbortController()
    const seen: StreamFrame[] = []
    const call = failure(ask({}, { stream: true, signal: controller.signal, seen }))
    await expect.poll(() => simulator.answering).toBe(1)
    controller.abort()
    expect((await call).code).toBe('cancelled')
    await expect.poll(() => simulator.openSockets).toBe(0)
  })

  it('lists the models of the provider', async () => {
    const { provider, transport } = await connect({}, { models: ['a-model', 'b-model'] })
    const { timeouts } = Settings.parse({})
    const listed = await listModels(transport, provider, 'test-key', new AbortController().signal, timeouts)
    expect(listed).toEqual(['a-model', 'b-model'])
    const error = await failure(listModels(transport, provider, 'wrong', new AbortController().signal, timeouts))
    expect(error.code).toBe('upstream_auth')
  })

  it.each([
    [
      'a tool result without its call',
      [user('hi'), { role: 'tool', content: [{ type: 'toolResult', callId: 'x', content: '' }] }],
    ],
    [
      'a call without its result',
      [
        user('hi'),
        { role: 'assistant', content: [{ type: 'toolCall', callId: 'x', id: 'a::b', arguments: {} }] },
        user('well?'),
      ],
    ],
    ['nothing to answer', [{ role: 'system', content: 'Be brief.' }]],
    [
      'a part that does not fit its role',
      [{ role: 'user', content: [{ type: 'toolCall', callId: 'x', id: 'a::b', arguments: {} }] }],
    ],
  ] as [string, Message[]][])('refuses %s before anything is sent', async (_, messages) => {
    const { ask, simulator } = await connect({ text: 'never' })
    expect((await failure(ask({ messages }))).code).toBe('invalid_input')
    expect(simulator.requests).toEqual([])
  })
})
