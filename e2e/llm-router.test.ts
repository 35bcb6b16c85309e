import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import * as llm from '@agentos/contracts/llm-router'
import type { IIIClient } from '@agentos/sdk'
import {
  type Simulator,
  type System,
  startAnthropicSimulator,
  startOpenAiSimulator,
  startSystem,
} from '@agentos/testing'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

const hello = { messages: [{ role: 'user' as const, content: 'Say READY' }] }

// The usage of one provider adds up over the tests: one tried again would count twice.
describe('the model router on a running engine', { retry: 0 }, () => {
  let anthropic: Simulator
  let local: Simulator
  let system: System
  let guest: IIIClient
  let owner: IIIClient

  beforeAll(async () => {
    anthropic = await startAnthropicSimulator(
      { text: 'READY', usage: { input: 17, output: 5 } },
      { key: 'sk-ant-secret' },
    )
    local = await startOpenAiSimulator({ text: 'from this host' }, { keyless: true, models: ['tiny:1b'] })
    system = await startSystem({
      workers: ['llm-router'],
      config: {
        workers: [
          {
            name: 'llm-router',
            config: {
              providers: { anthropic: { baseUrl: anthropic.url } },
              fallback: ['box/tiny:1b'],
              retries: { baseMs: 1 },
            },
          },
        ],
      },
      workerEnv: { 'llm-router': { AGENTOS_LOCAL_MODELS: `box=${local.url}` } },
    })
    guest = system.client()
    owner = system.client({ owner: true, headers: { 'X-AgentOS-Realm': 'guest' } })
  })
  afterAll(async () => {
    await system?.stop()
    await anthropic.close()
    await local.close()
  })

  it('resolves without any key, and finds the server on this host', async () => {
    expect(await guest.call(llm.route, { model: 'haiku' })).toMatchObject({ provider: 'anthropic', complexity: 0 })
    await expect
      .poll(() => guest.call(llm.route, { messages: [], model: null }))
      .toMatchObject({ provider: 'box', model: 'tiny:1b' })
    const { providers } = await guest.call(llm.providers, {})
    expect(providers.length).toBeGreaterThanOrEqual(11)
    expect(providers.find(({ name }) => name === 'box')).toMatchObject({ available: true, models: ['tiny:1b'] })
    expect(providers.find(({ name }) => name === 'anthropic')).toMatchObject({
      configured: false,
      env_key: 'ANTHROPIC_API_KEY',
    })
    const { body } = await system.api<{ aliases: Record<string, unknown> }>('GET', '/v1/llm/aliases')
    expect(body.aliases.haiku).toMatchObject({ provider: 'anthropic' })
    expect((await system.api('GET', '/v1/llm/models?provider=openai')).status).toBe(200)
  })

  it('fails fast where a key is missing, and says which', async () => {
    const call = guest.call(llm.complete, { ...hello, model: 'openai/gpt-4o' })
    // The fallback answers instead; without it the error is the caller's.
    expect(await call).toMatchObject({ provider: 'box', content: 'from this host' })
    await expect(guest.call(llm.test, { provider: 'openai' })).rejects.toMatchObject({ code: 'forbidden' })
    expect(await owner.call(llm.test, { provider: 'openai' })).toMatchObject({
      ok: false,
      error: { code: 'not_configured', message: expect.stringContaining('OPENAI_API_KEY') },
    })
  })

  it('takes a key from the owner only, keeps it for itself, and uses it at once', async () => {
    const path = '/v1/llm/providers/anthropic/key'
    const refused = await system.api('PUT', path, { key: 'x' })
    expect([401, 403]).toContain(refused.status)
    expect((await system.api('PUT', path, { key: 'sk-ant-secret' }, { owner: true })).body).toMatchObject({
      configured: true,
    })
    const file = join(system.dataDir, 'secrets.json')
    expect((await stat(file)).mode & 0o777).toBe(0o600)
    expect(JSON.parse(await readFile(file, 'utf8'))).toEqual({ ANTHROPIC_API_KEY: 'sk-ant-secret' })

    const answer = await guest.call(llm.complete, { ...hello, model: 'haiku', max_tokens: 32, systemPrompt: 'Obey.' })
    expect(answer).toMatchObject({
      content: 'READY',
      provider: 'anthropic',
      usage: { input: 17, output: 5, total: 22 },
      cost: { microUsd: 42, priced: true },
      stopReason: 'stop',
    })
    expect(anthropic.requests.at(-1)?.body).toMatchObject({ max_tokens: 32, system: 'Obey.' })
    expect(system.logs()).not.toContain('sk-ant-secret')
  })

  it('streams deltas on the given channel and answers the whole at its end', async () => {
    anthropic.play({ text: 'one two three', usage: { input: 10, output: 3 } })
    const { writerRef, reader } = await guest.createChannel()
    const frames: llm.StreamFrame[] = []
    reader.onMessage((text) => frames.push(JSON.parse(text)))
    const answer = await guest.call(llm.stream, {
      ...hello,
      model: 'haiku',
      stream: { ...writerRef, direction: 'write' },
    })
    expect(answer.content).toBe('one two three')
    await expect.poll(() => frames.at(-1)).toMatchObject({ type: 'usage', usage: { total: 13 } })
    expect(frames.flatMap((frame) => (frame.type === 'text' ? [frame.text] : []))).toEqual(['one', ' two', ' three'])
  })

  it('goes to the fallback where the provider is down, and counts the one that answered', async () => {
    anthropic.play({ fault: { kind: 'status', status: 529 } })
    expect(await guest.call(llm.complete, { ...hello, model: 'haiku' })).toMatchObject({
      provider: 'box',
      cost: { microUsd: 0, priced: true },
    })
    expect(anthropic.requests).toHaveLength(3)
  })

  it('answers typed errors over the bus with what the provider said', async () => {
    anthropic.play({ fault: { kind: 'status', status: 400, message: 'prompt is too long: 9 > 8' } })
    await expect(guest.call(llm.complete, { ...hello, model: 'haiku' })).rejects.toMatchObject({
      code: 'context_overflow',
      details: { provider: 'anthropic', status: 400, message: 'prompt is too long: 9 > 8' },
    })
    await expect(
      guest.trigger({ function_id: 'llm::complete', payload: { ...hello, functions: [] } }),
    ).rejects.toMatchObject({
      code: 'invalid_input',
    })
    await expect(guest.trigger({ function_id: 'llm::route', payload: { model: 5 } })).rejects.toMatchObject({
      code: 'invalid_input',
    })
  })

  it('records each model call as a span with its tokens and cost', async () => {
    anthropic.play({ text: 'READY', usage: { input: 1_000, output: 10, cached: 500 } })
    await guest.call(llm.complete, { ...hello, model: 'haiku', sessionId: 's-1', agentId: 'a-1' })
    const modelSpan = async () => {
      const payload = { name: 'model anthropic/claude-haiku-4-5-20251001', search_all_spans: true }
      const { spans } = await owner.trigger<{ spans: { attributes: [string, unknown][] }[] }>({
        function_id: 'engine::traces::list',
        payload,
      })
      const all = spans.map(({ attributes }) => Object.fromEntries(attributes))
      return all.find((attributes) => attributes.input_tokens === 1_000)
    }
    await expect
      .poll(modelSpan)
      .toMatchObject({ provider: 'anthropic', output_tokens: 10, cached: 500, cost_micro_usd: 600, retries: 0 })
  })

  it('keeps usage over a kill of router and engine, by agent and session too', async () => {
    const before = (await guest.call(llm.usage, {})).stats
    const row = before.find(({ provider }) => provider === 'anthropic')
    expect(row).toMatchObject({
      requests: 3,
      input_tokens: 1_027,
      output_tokens: 18,
      cached_tokens: 500,
      unpriced_requests: 0,
    })
    // Counts are on disk with the next write that its caller waits for.
    await owner.trigger({ function_id: 'state::set', payload: { scope: 'later', key: 'k', value: 1 } })
    await system.workers['llm-router']!.kill()
    await system.engine.kill()
    await system.engine.start()
    await system.workers['llm-router']!.start()
    await system.ready()
    expect((await system.client().call(llm.usage, {})).stats).toEqual(before)
    const { body } = await system.api<{ stats: object[] }>('GET', '/v1/llm/usage?by=session')
    expect(body.stats).toMatchObject([{ session: 's-1', input_tokens: 1_000, realm: 'realm-guest' }])
    expect((await system.client().call(llm.usage, { agentId: 'a-1' })).stats).toHaveLength(1)
    const scope = { function_id: 'state::list', payload: { scope: 'llm-usage' } }
    await expect(system.client().trigger(scope)).rejects.toMatchObject({ code: 'forbidden' })
  })

  it('closes the socket of the provider when the caller cancels', async () => {
    anthropic.play({ text: 'one two three', fault: { kind: 'stall' } })
    const controller = new AbortController()
    const call = system
      .client()
      .call(llm.complete, { ...hello, model: 'haiku' }, { signal: controller.signal })
      .catch((error) => error)
    await expect.poll(() => anthropic.answering).toBe(1)
    controller.abort()
    expect(await call).toMatchObject({ code: 'cancelled' })
    await expect.poll(() => anthropic.answering).toBe(0)
  })
})
