import {
  type Simulator,
  type System,
  startAnthropicSimulator,
  startGeminiSimulator,
  startOpenAiResponsesSimulator,
  startOpenAiSimulator,
  startSystem,
} from '@agentos/testing'
import OpenAI from 'openai'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ALL_WORKERS, NO_GUEST_BUDGET, NO_LOCAL_MODELS } from './support/all-workers.ts'

/** A simulated provider of each wire format, and a model name that its API knows. */
const PROVIDERS = {
  'openai-chat': { start: startOpenAiSimulator, model: 'test-model' },
  'openai-responses': { start: startOpenAiResponsesSimulator, model: 'test-model' },
  anthropic: { start: startAnthropicSimulator, model: 'claude-test' },
  gemini: { start: startGeminiSimulator, model: 'gemini-2.5-flash' },
} as const
type FormatName = keyof typeof PROVIDERS
const FORMATS = Object.keys(PROVIDERS) as FormatName[]

const simulators = {} as Record<FormatName, Simulator>
let system: System
let client: OpenAI

beforeAll(async () => {
  for (const format of FORMATS) simulators[format] = await PROVIDERS[format].start({ text: 'ok' })
  const providers = Object.fromEntries(
    FORMATS.map((format) => [`sim-${format}`, { baseUrl: simulators[format].url, format, keyEnv: 'OPENAI_API_KEY' }]),
  )
  system = await startSystem({
    workers: ALL_WORKERS,
    env: NO_LOCAL_MODELS,
    workerEnv: { 'llm-router': { OPENAI_API_KEY: 'test-key' } },
    config: {
      workers: [
        NO_GUEST_BUDGET,
        {
          name: 'llm-router',
          config: { providers, retries: { max: 0 }, prices: { 'sim-openai-chat/test-model': { input: 1, output: 2 } } },
        },
      ],
    },
  })
  client = new OpenAI({ baseURL: `${system.httpUrl}/v1`, apiKey: 'guest', maxRetries: 0 })
})
afterAll(async () => {
  await system?.stop()
  await Promise.all(Object.values(simulators).map((simulator) => simulator.close()))
})

const modelOf = (format: FormatName): string => `sim-${format}/${PROVIDERS[format].model}`
const sent = (format: FormatName): string => JSON.stringify(simulators[format].requests.at(-1)?.body)
const tool = (name: string): OpenAI.ChatCompletionTool => ({
  type: 'function',
  function: { name, description: 'A function', parameters: { type: 'object', properties: {} } },
})

describe.each(FORMATS)('what a client brings back, to %s', (format) => {
  it.each(['{"city": "Os', '[]', 'null', '"Oslo"', '{}{}'])(
    'may be the arguments of a call that the model broke: %s',
    async (broken) => {
      simulators[format].play({ text: 'I see.' })
      const messages: OpenAI.ChatCompletionMessageParam[] = [
        { role: 'user', content: 'The weather?' },
        {
          role: 'assistant',
          content: null,
          tool_calls: [{ id: 'call_1', type: 'function', function: { name: 'weather', arguments: broken } }],
        },
        { role: 'tool', tool_call_id: 'call_1', content: 'Error: the arguments are no JSON object' },
      ]
      const request = { model: modelOf(format), messages, tools: [tool('weather')] }
      const { choices } = await client.chat.completions.create(request)
      expect(choices[0]?.message.content).toBe('I see.')
      // What the model wrote is told to it again, as far as the format has a place for it.
      expect(sent(format)).toContain(JSON.stringify(broken).slice(1, -1))
    },
  )

  it.each([
    ['mcp__fs__read', 'mcp__fs__read'],
    ['fs__read', 'mcp__fs__read'],
    ['mcp__fs__write', 'mcp__fs__write'],
  ])('has the names that it came with: the model says %s, the client hears %s', async (said, heard) => {
    simulators[format].play({ toolCalls: [{ id: 'call_1', name: said, arguments: {} }] })
    const messages = [{ role: 'user' as const, content: 'Read it' }]
    const request = { model: modelOf(format), messages, tools: [tool('mcp__fs__read')] }
    const whole = await client.chat.completions.create(request)
    expect(whole.choices[0]?.message.tool_calls).toMatchObject([{ function: { name: heard } }])
    expect(sent(format)).toContain('"mcp__fs__read"')
    const names: (string | undefined)[] = []
    for await (const { choices } of await client.chat.completions.create({ ...request, stream: true })) {
      for (const call of choices[0]?.delta.tool_calls ?? []) names.push(call.function?.name)
    }
    expect(names).toEqual([heard])
  })
})

describe.each(FORMATS)('what a model of %s writes', (format) => {
  const exact = '{"id":12345678901234567890,"big":1e400,"rate":1.0}'
  const broken = `{"text": "${'long '.repeat(1_000)}`
  // Two of the formats carry an object, in which there is no such thing as a blank.
  const loose: [string, string][] = format.startsWith('openai')
    ? [
        ['blanks', '{ "city" : "Oslo" }'],
        ['half an object', broken],
      ]
    : []

  it.each([['long numbers', exact], ['a key that schemas drop', '{"__proto__":{"x":1}}'], ...loose])(
    'reaches the client as it stands, and comes back so: %s',
    async (_, written) => {
      simulators[format].play([{ toolCalls: [{ id: 'call_1', name: 'weather', arguments: written }] }])
      const messages: OpenAI.ChatCompletionMessageParam[] = [{ role: 'user', content: 'The weather?' }]
      const request = { model: modelOf(format), messages, tools: [tool('weather')] }
      const whole = await client.chat.completions.create(request)
      const [call] = whole.choices[0]!.message.tool_calls!
      expect(call).toMatchObject({ function: { arguments: written } })
      let streamed = ''
      for await (const { choices } of await client.chat.completions.create({ ...request, stream: true })) {
        for (const piece of choices[0]?.delta.tool_calls ?? []) streamed += piece.function?.arguments ?? ''
      }
      expect(streamed).toBe(written)

      simulators[format].play({ text: 'ok' })
      const result = { role: 'tool' as const, tool_call_id: call!.id, content: 'rain' }
      await client.chat.completions.create({ ...request, messages: [...messages, whole.choices[0]!.message, result] })
      const { bodyText } = simulators[format].requests.at(-1)!
      expect(bodyText.includes(written) || bodyText.includes(JSON.stringify(written))).toBe(true)
    },
  )
})

describe("what fails, in OpenAI's words", () => {
  const hello = (model: string) => ({ model, messages: [{ role: 'user' as const, content: 'hi' }] })
  const post = async (body: string | undefined, contentType: string | undefined, path = '/v1/chat/completions') => {
    const headers = contentType === undefined ? {} : { 'content-type': contentType }
    const response = await fetch(`${system.httpUrl}${path}`, {
      method: 'POST',
      headers,
      ...(body === undefined ? {} : { body }),
    })
    return { status: response.status, ...((await response.json()) as { error: { message: string; code: string } }) }
  }

  it.each(['/v1/chat/completions', '/v1/chat/completions/stream'])(
    'says at %s what is wrong with a body',
    async (path) => {
      const broken = await post('{"model": "x", ', 'application/json', path)
      expect(broken).toMatchObject({ status: 400, error: { code: 'invalid_input' } })
      expect(broken.error.message).toContain('not valid JSON')
      for (const [body, type] of [
        [undefined, undefined],
        ['', 'application/json'],
        ['{"model": "demo/rules"}', 'text/plain'],
        ['null', 'application/json'],
      ]) {
        const refused = await post(body, type, path)
        expect(refused).toMatchObject({ status: 400, error: { code: 'invalid_input' } })
        expect(refused.error.message).toContain('application/json')
      }
    },
  )

  it('says who is not let in, and what is not there', async () => {
    const stranger = new OpenAI({ baseURL: `${system.httpUrl}/v1`, apiKey: 'sk-wrong', maxRetries: 2 })
    await expect(stranger.chat.completions.create(hello('demo/rules'))).rejects.toMatchObject({
      constructor: OpenAI.AuthenticationError,
      code: 'invalid_api_key',
    })
    await expect(stranger.models.list()).rejects.toBeInstanceOf(OpenAI.AuthenticationError)
    await expect(client.embeddings.create({ model: 'x', input: 'y' })).rejects.toMatchObject({
      constructor: OpenAI.NotFoundError,
      code: 'not_found',
      type: 'invalid_request_error',
    })
    await expect(client.chat.completions.create(hello('nobodys-model'))).rejects.toMatchObject({
      status: 404,
      code: 'model_not_found',
      param: 'model',
    })
  })

  it.each([
    ['budget_exceeded', 402, 'test-model', { limitMicroUsd: 0 }],
    ['price_unknown', 422, 'unpriced', { limitMicroUsd: 1_000_000 }],
  ])('is not repeated by the client where that is of no use: %s', async (code, status, model, limit) => {
    const owner = { owner: true, realm: 'guest' }
    const { body: budget } = await system.api<{ id: string }>('POST', '/v1/budgets', limit, owner)
    try {
      for (const stream of [false, true]) {
        let requests = 0
        const patient = new OpenAI({
          baseURL: `${system.httpUrl}/v1`,
          apiKey: 'guest',
          maxRetries: 2,
          fetch: (...request) => {
            requests += 1
            return fetch(...request)
          },
        })
        const call = patient.chat.completions.create({ ...hello(`sim-openai-chat/${model}`), stream })
        await expect(call).rejects.toMatchObject({ status, code, error: { message: expect.any(String) } })
        expect(requests).toBe(1)
      }
    } finally {
      await system.api('DELETE', `/v1/budgets/${budget.id}`, undefined, owner)
    }
  })
})
