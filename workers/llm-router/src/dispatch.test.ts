import type { StreamFrame } from '@agentos/contracts/llm-router'
import { AgentError } from '@agentos/sdk'
import { type Script, type Simulator, startAnthropicSimulator, startOpenAiSimulator } from '@agentos/testing'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Catalogue, type ModelChoice } from './catalogue.ts'
import { Dispatcher, type Observe } from './dispatch.ts'
import { Settings } from './settings.ts'
import { Transport } from './transport.ts'

const A: ModelChoice = { provider: 'first', model: 'm' }
const B: ModelChoice = { provider: 'second', model: 'claude' }
const C: ModelChoice = { provider: 'keyless', model: 'm' }

describe('dispatch', () => {
  let first: Simulator
  let second: Simulator
  let transport: Transport
  let now = 0
  /** How often money was held. */
  let held = 0

  beforeEach(async () => {
    first = await startOpenAiSimulator({ text: 'from the first' })
    second = await startAnthropicSimulator({ text: 'from the second' })
    transport = new Transport()
    now = 1_000
    held = 0
  })
  afterEach(async () => {
    await transport.close()
    await first.close()
    await second.close()
  })

  function dispatcher(more: object = {}): Dispatcher {
    const settings = Settings.parse({
      providers: {
        first: { baseUrl: first.url, maxConcurrent: 1 },
        second: { baseUrl: second.url, format: 'anthropic' },
        keyless: { baseUrl: first.url },
      },
      retries: { max: 2, baseMs: 1, maxWaitMs: 5_000 },
      ...more,
    })
    const environment = {
      defaultProvider: undefined,
      defaultModel: undefined,
      codexBaseUrl: undefined,
      localModels: 'off',
      bind: '127.0.0.1',
    }
    return new Dispatcher({
      catalogue: new Catalogue(settings, environment),
      settings,
      transport,
      keyFor: async ({ name }) => {
        if (name === 'keyless') throw new AgentError('not_configured', 'No key for keyless: set KEYLESS_API_KEY')
        return 'test-key'
      },
      budgets: {
        spend: async (_, work) => {
          held += 1
          return work(undefined)
        },
      },
      now: () => now,
    })
  }

  const plain: Observe = (_, ask) => ask()

  function ask(
    using: Dispatcher,
    choices: ModelChoice[] = [A],
    more: { frames?: StreamFrame[]; signal?: AbortSignal; remaining?: number; seed?: number } = {},
  ) {
    const { frames } = more
    return using.dispatch(
      choices,
      {
        input: { messages: [{ role: 'user', content: 'hi' }], ...(more.seed === undefined ? {} : { seed: more.seed }) },
        emit: frames && (async (frame) => void frames.push(frame)),
        signal: more.signal ?? new AbortController().signal,
        remainingMs: () => more.remaining,
        spender: { realm: 'r', agent: undefined, session: undefined, run: undefined, call: undefined },
      },
      plain,
    )
  }

  const failing = (status: number, times: number, then = 'at last'): Script => [
    ...Array.from({ length: times }, () => ({ fault: { kind: 'status' as const, status } })),
    { text: then },
  ]

  it.each([429, 500, 529])('tries again after %d and says how often', async (status) => {
    first.play(failing(status, 2))
    expect(await ask(dispatcher())).toMatchObject({
      provider: 'first',
      retries: 2,
      answer: { parts: [{ text: 'at last' }] },
    })
    expect(first.requests).toHaveLength(3)
  })

  it('gives up after the configured attempts', async () => {
    first.play(failing(500, 9))
    await expect(ask(dispatcher())).rejects.toMatchObject({ code: 'upstream_error', details: { status: 500 } })
    expect(first.requests).toHaveLength(3)
  })

  it.each([400, 401, 404])('does not repeat what cannot succeed: %d', async (status) => {
    first.play(failing(status, 9))
    await expect(ask(dispatcher())).rejects.toThrow(AgentError)
    expect(first.requests).toHaveLength(1)
  })

  it('does not wait longer than the call has, nor longer than the owner wants', async () => {
    first.play({ fault: { kind: 'status', status: 429, retryAfterSeconds: 3 } })
    await expect(ask(dispatcher(), [A], { remaining: 2_000 })).rejects.toMatchObject({ code: 'rate_limited' })
    first.play({ fault: { kind: 'status', status: 429, retryAfterSeconds: 60 } })
    await expect(ask(dispatcher(), [A])).rejects.toMatchObject({
      code: 'rate_limited',
      details: { retryAfterMs: 60_000 },
    })
    expect(first.requests).toHaveLength(1)
  })

  it('never tries again once a piece of the answer is out, neither here nor elsewhere', async () => {
    first.play({ text: 'one two three four five six', fault: { kind: 'half' } })
    const frames: StreamFrame[] = []
    await expect(ask(dispatcher(), [A, B], { frames })).rejects.toMatchObject({ code: 'upstream_error' })
    expect(frames.length).toBeGreaterThan(0)
    expect(first.requests).toHaveLength(1)
    expect(second.requests).toHaveLength(0)
  })

  it('passes over a fallback that has no words for the request, and refuses where the first has none', async () => {
    first.play(failing(500, 9))
    await expect(ask(dispatcher(), [A, B, C], { seed: 7 })).rejects.toMatchObject({
      code: 'upstream_error',
      details: { fallbacks: [{ provider: 'second', code: 'unsupported_feature' }, { provider: 'keyless' }] },
    })
    await expect(ask(dispatcher(), [B, A], { seed: 7 })).rejects.toMatchObject({ code: 'unsupported_feature' })
    expect(second.requests).toEqual([])
  })

  it('goes to the next of the chain, in order, and names the failures where all fail', async () => {
    first.play(failing(500, 9))
    const frames: StreamFrame[] = []
    const done = await ask(dispatcher({ retries: { max: 0 } }), [A, C, B], { frames })
    expect(done).toMatchObject({ provider: 'second', model: 'claude' })
    expect(frames.map((frame) => (frame.type === 'text' ? frame.text : '')).join('')).toBe('from the second')

    second.play(failing(529, 9))
    const error = await ask(dispatcher({ retries: { max: 0 } }), [A, C, B]).catch((reason) => reason)
    expect(error).toMatchObject({
      code: 'upstream_error',
      details: {
        provider: 'first',
        fallbacks: [
          { provider: 'keyless', code: 'not_configured' },
          { provider: 'second', code: 'upstream_error' },
        ],
      },
    })
  })

  it('does not take refused content elsewhere', async () => {
    first.play({ fault: { kind: 'status', status: 400, type: 'content_policy_violation' } })
    await expect(ask(dispatcher(), [A, B])).rejects.toMatchObject({ code: 'content_filter' })
    expect(second.requests).toHaveLength(0)
  })

  it('leaves a failing provider alone for a while, lets one request try, and closes again', async () => {
    const using = dispatcher({ retries: { max: 0 }, breaker: { failures: 2, openMs: 10_000 } })
    first.play(failing(500, 3))
    for (const _ of [1, 2]) await expect(ask(using)).rejects.toMatchObject({ details: { status: 500 } })
    expect(using.breakerState('first')).toBe('open')
    await expect(ask(using)).rejects.toMatchObject({
      code: 'upstream_error',
      details: { kind: 'breaker_open', retryAfterMs: 10_000 },
    })
    expect(first.requests).toHaveLength(2)
    expect(held).toBe(2)

    now += 10_000
    expect(using.breakerState('first')).toBe('half_open')
    await expect(ask(using)).rejects.toMatchObject({ details: { status: 500 } })
    expect(using.breakerState('first')).toBe('open')

    now += 10_000
    expect(await ask(using)).toMatchObject({ provider: 'first' })
    expect(using.breakerState('first')).toBe('closed')
  })

  it('does not take a wrong request for an ill provider', async () => {
    const using = dispatcher({ breaker: { failures: 1, openMs: 10_000 } })
    first.play(failing(400, 3))
    await expect(ask(using)).rejects.toThrow()
    expect(using.breakerState('first')).toBe('closed')
  })

  it('runs as many at once as allowed, queues the next, refuses more, and frees a place that was cancelled', async () => {
    first.play({ fault: { kind: 'hang' } })
    const using = dispatcher({ concurrency: { queue: 1 } })
    const controllers = [new AbortController(), new AbortController()]
    const calls = controllers.map(({ signal }) => ask(using, [A], { signal }).catch((error) => error))
    await expect.poll(() => first.answering).toBe(1)
    await expect(ask(using)).rejects.toMatchObject({
      code: 'overloaded',
      details: { retryAfterMs: expect.any(Number) },
    })
    // Money is held for the one that runs, not for the one that waits.
    expect(held).toBe(1)

    controllers[1]!.abort()
    expect(await calls[1]).toMatchObject({ code: 'cancelled' })
    const next = ask(using)
    first.play({ text: 'a place was free' })
    controllers[0]!.abort()
    expect(await calls[0]).toMatchObject({ code: 'cancelled' })
    expect(await next).toMatchObject({ answer: { parts: [{ text: 'a place was free' }] } })
  })

  it('stops waiting for another attempt when the call is cancelled', async () => {
    first.play({ fault: { kind: 'status', status: 429, retryAfterSeconds: 4 } })
    const controller = new AbortController()
    const call = ask(dispatcher(), [A], { signal: controller.signal }).catch((error) => error)
    await expect.poll(() => first.requests.length).toBe(1)
    controller.abort()
    expect(await call).toMatchObject({ code: 'cancelled' })
    expect(first.requests).toHaveLength(1)
  })
})
