import {
  type RecordedRequest,
  type Script,
  type SimulatedAnswer,
  type Simulator,
  type System,
  startAnthropicSimulator,
  startGeminiSimulator,
  startOpenAiResponsesSimulator,
  startOpenAiSimulator,
  startSystem,
} from '@agentos/testing'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ALL_WORKERS, type ChatReply, NO_GUEST_BUDGET, NO_LOCAL_MODELS } from './support/all-workers.ts'

const FORMATS = [
  { format: 'openai-chat', start: startOpenAiSimulator },
  { format: 'openai-responses', start: startOpenAiResponsesSimulator },
  { format: 'anthropic', start: startAnthropicSimulator },
  { format: 'gemini', start: startGeminiSimulator },
] as const

const simulators = new Map<string, Simulator>()
let system: System

beforeAll(async () => {
  for (const { format, start } of FORMATS) simulators.set(format, await start({ text: 'hello' }))
  const providers = Object.fromEntries(
    FORMATS.map(({ format }) => [
      `sim-${format}`,
      { baseUrl: simulators.get(format)!.url, format, keyEnv: 'OPENAI_API_KEY' },
    ]),
  )
  system = await startSystem({
    workers: ALL_WORKERS,
    env: NO_LOCAL_MODELS,
    workerEnv: { 'llm-router': { OPENAI_API_KEY: 'test-key' } },
    config: { workers: [NO_GUEST_BUDGET, { name: 'llm-router', config: { providers, retries: { baseMs: 10 } } }] },
  })
})
afterAll(async () => {
  await system?.stop()
  for (const simulator of simulators.values()) await simulator.close()
})

describe.each(FORMATS)('the chat loop over $format', ({ format }) => {
  const simulator = (): Simulator => simulators.get(format)!
  const play = (script: Script): void => simulator().play(script)
  const chat = (message: string, more: object = {}) =>
    system.api<ChatReply>('POST', '/v1/chat', { message, model: `sim-${format}/test-model`, ...more })

  it('does not run a call that was cut off, and says how the answer stopped', async () => {
    play({ text: 'Let me look', toolCalls: [{ name: 'memory__recall', arguments: '' }], stop: 'length' })
    const { body } = await chat('What is the ship called?')
    expect(body).toMatchObject({ content: 'Let me look', stopReason: 'length', iterations: 0, toolCalls: [] })
    expect(simulator().requests).toHaveLength(1)
  })

  it('runs the functions that the model asks for, two rounds, and answers with the totals', async () => {
    play([
      {
        toolCalls: [{ name: 'memory__store', arguments: { content: `The ${format} ship is called Nautilus` } }],
        usage: { input: 10, output: 5 },
      },
      {
        toolCalls: [{ name: 'memory__search', arguments: { query: `${format} ship` } }],
        usage: { input: 20, output: 5 },
      },
      { text: 'It is the Nautilus.', usage: { input: 30, output: 5 } },
    ])
    const { status, body } = await chat('What is the ship called?')
    expect(status, JSON.stringify(body)).toBe(200)
    expect(body.content).toBe('It is the Nautilus.')
    expect(body.iterations).toBe(2)
    expect(body.toolCalls.map(({ id, ok }) => [id, ok])).toEqual([
      ['memory::store', true],
      ['memory::search', true],
    ])
    expect(body.usage).toMatchObject({ input: 60, output: 15, total: 75 })
    expect(body.cost).toEqual({ microUsd: null, priced: false })
    expect(simulator().refused).toEqual([])
    // The model saw the result of its search.
    expect(JSON.stringify(simulator().requests.at(-1)!.body)).toContain('Nautilus')
  })

  it('sends the conversation so far, in order, with the system prompt apart', async () => {
    play([{ text: 'first' }, { text: 'second' }])
    const first = await chat('one', { systemPrompt: 'You are a sailor.' })
    await chat('two', { systemPrompt: 'You are a sailor.', sessionId: first.body.sessionId })
    const sent = JSON.stringify(simulator().requests.at(-1)!.body)
    expect(sent).toContain('You are a sailor.')
    const order = ['"one"', '"first"', '"two"'].map((text) => sent.indexOf(text))
    expect(order.every((at) => at >= 0)).toBe(true)
    expect([...order].sort((a, b) => a - b)).toEqual(order)
    expect(simulator().refused).toEqual([])
  })

  it('streams tokens as they arrive', async () => {
    play({ text: 'one two three', delayMs: 20 })
    const response = await fetch(`${system.httpUrl}/v1/chat`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ message: 'count', model: `sim-${format}/test-model`, stream: true }),
    })
    const text = await response.text()
    const deltas = [...text.matchAll(/^data: (\{"type":"text".*\})$/gm)].map((match) => JSON.parse(match[1]!).text)
    expect(deltas.length).toBeGreaterThan(1)
    expect(deltas.join('')).toBe('one two three')
  })

  it('goes on with a session in which one answer called twice under one id', async () => {
    const recall = (query: string) => ({ id: 'c1', name: 'memory__search', arguments: { query } })
    play([{ toolCalls: [recall('one'), recall('two')] }, { text: 'Nothing.' }, { text: 'Still here.' }])
    const first = await chat('look twice')
    expect(first.status, JSON.stringify(first.body)).toBe(200)
    expect(first.body.toolCalls.map(({ ok }) => ok)).toEqual([true, true])
    const second = await chat('and now?', { sessionId: first.body.sessionId })
    expect(second.body.content).toBe('Still here.')
    expect(simulator().refused).toEqual([])
  })

  it('tells the model of a refused call instead of running it', async () => {
    play(
      (request: RecordedRequest): SimulatedAnswer =>
        request.index === 0 ? { toolCalls: [{ name: 'memory__search', arguments: { query: 7 } }] } : { text: 'I see.' },
    )
    const { body } = await chat('search for seven')
    expect(body.toolCalls).toMatchObject([{ id: 'memory::search', ok: false, error: { code: 'invalid_input' } }])
    expect(body.content).toBe('I see.')
  })

  it('tries again after a 429, and gives a typed error for a provider that stays down', async () => {
    play([{ fault: { kind: 'status', status: 429, retryAfterSeconds: 0 } }, { text: 'now it works' }])
    expect((await chat('hi')).body.content).toBe('now it works')
    play({ fault: { kind: 'status', status: 500 } })
    const down = await system.api<{ code: string }>('POST', '/v1/chat', {
      message: 'hi',
      model: `sim-${format}/test-model`,
    })
    expect([502, 503]).toContain(down.status)
    expect(['upstream_error', 'overloaded']).toContain(down.body.code)
  })
})

describe('faults of a provider', () => {
  const model = 'sim-openai-chat/faulty-model'
  const simulator = (): Simulator => simulators.get('openai-chat')!

  it('a cancelled chat closes the socket of the provider', async () => {
    simulator().play({ text: 'a long answer that never ends', fault: { kind: 'stall' } })
    const abort = new AbortController()
    const request = fetch(`${system.httpUrl}/v1/chat`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ message: 'go on', model, stream: true }),
      signal: abort.signal,
    })
    const response = await request.catch(() => undefined)
    await expect.poll(() => simulator().answering).toBe(1)
    const runId = await firstEvent(response!)
    const { body } = await system.api<{ cancelled: boolean }>('POST', `/v1/chat/${runId}/cancel`, {})
    expect(body.cancelled).toBe(true)
    await expect.poll(() => simulator().answering).toBe(0)
    abort.abort()
  })

  it('half a stream is an error, never half an answer', async () => {
    simulator().play({ text: 'this answer breaks off in the middle', fault: { kind: 'half' } })
    const { status, body } = await system.api<{ code: string }>('POST', '/v1/chat', { message: 'hi', model })
    expect(status).toBeGreaterThanOrEqual(500)
    expect(body.code).toMatch(/^upstream_|overloaded/)
  })
})

/** The run id of a streamed chat, from its first event; the stream stays open. */
async function firstEvent(response: Response): Promise<string> {
  const reader = response.body!.getReader()
  let text = ''
  while (!text.includes('\n\n')) {
    const { value, done } = await reader.read()
    if (done) break
    text += new TextDecoder().decode(value)
  }
  return JSON.parse(/^data: (.*)$/m.exec(text)![1]!).runId
}
