import type { Completion, StreamFrame } from '@agentos/contracts/llm-router'
import { beforeEach, describe, expect, it } from 'vitest'
import { type ModelCall, ModelCalls } from './model-calls.ts'

const INPUT = { messages: [{ role: 'user' as const, content: 'hi' }] }
const COMPLETION: Completion = {
  content: 'one two',
  provider: 'p',
  model: 'm',
  toolCalls: [],
  parts: [{ type: 'text', text: 'one two' }],
  usage: { input: 1, output: 2, total: 3 },
  cost: { microUsd: 3, priced: true },
  stopReason: 'stop',
}
const USAGE: StreamFrame = { type: 'usage', usage: COMPLETION.usage }
const text = (piece: string): StreamFrame => ({ type: 'text', text: piece })

describe('model calls under a key', () => {
  let calls: ModelCalls
  let now: number
  /** Requests to the provider, each to be answered by the test. */
  let asked: { call: ModelCall; answer: (completion: Completion) => void; fail: (error: Error) => void }[]
  beforeEach(() => {
    now = 0
    calls = new ModelCalls(() => now)
    asked = []
  })

  function ask({ key = 'k' as string | null, principal = 'a', stream = false, input = INPUT, remaining = 100 } = {}) {
    const controller = new AbortController()
    const frames: StreamFrame[] = []
    const ctx = {
      functionId: 'llm::complete',
      idempotencyKey: key ?? undefined,
      principal: { kind: 'agent' as const, id: principal },
      realm: 'r',
      signal: controller.signal,
      remainingMs: () => remaining,
    } as unknown as Parameters<ModelCalls['ask']>[0]
    const writer = { send: async (frame: unknown) => void frames.push(frame as StreamFrame) }
    const result = calls.ask(ctx, input, stream ? (writer as never) : undefined, (call) => {
      const { promise, resolve, reject } = Promise.withResolvers<Completion>()
      asked.push({ call, answer: resolve, fail: reject })
      call.signal.addEventListener('abort', () => reject(new Error('the request was ended')))
      return promise
    })
    result.catch(() => {})
    return { result, frames, abort: () => controller.abort(new Error('gone')), ctx }
  }

  it('join the one that is under way: one request, the same answer', async () => {
    const [first, second] = [ask(), ask()]
    expect(asked).toHaveLength(1)
    asked[0]!.answer(COMPLETION)
    expect(await first.result).toEqual(COMPLETION)
    expect(await second.result).toEqual(COMPLETION)
  })

  it('go on when the first caller is gone, and end with the last', async () => {
    const [first, second] = [ask({ remaining: 10 }), ask({ remaining: 70 })]
    const { call } = asked[0]!
    expect(call.remainingMs()).toBe(70)
    first.abort()
    await expect(first.result).rejects.toMatchObject({ code: 'cancelled' })
    expect(call.signal.aborted).toBe(false)
    expect(call.ctx).toBe(second.ctx)
    second.abort()
    await expect(second.result).rejects.toMatchObject({ code: 'cancelled' })
    expect(call.signal.aborted).toBe(true)
    // One that comes now asks anew: the other is being ended.
    const third = ask()
    expect(asked).toHaveLength(2)
    asked[1]!.answer(COMPLETION)
    expect(await third.result).toEqual(COMPLETION)
  })

  it('send who comes later all pieces from the first on', async () => {
    const first = ask({ stream: true })
    await asked[0]!.call.emit(text('one '))
    const second = ask({ stream: true })
    first.abort()
    await asked[0]!.call.emit(text('two'))
    asked[0]!.answer(COMPLETION)
    await second.result
    expect(second.frames).toEqual([text('one '), text('two'), USAGE])
    expect(first.frames).toEqual([text('one ')])
  })

  it('get the answer of one that is just over without another request, pieces too, for a minute', async () => {
    const first = ask()
    asked[0]!.answer(COMPLETION)
    await first.result
    const again = ask({ stream: true })
    expect(await again.result).toEqual(COMPLETION)
    expect(again.frames).toEqual([text('one two'), USAGE])
    now = 60_000
    ask()
    expect(asked).toHaveLength(2)
  })

  it('keep a bounded number of answers', async () => {
    for (let n = 0; n < 101; n += 1) {
      const { result } = ask({ key: `k${n}` })
      asked.at(-1)!.answer(COMPLETION)
      await result
    }
    ask({ key: 'k1' })
    expect(asked).toHaveLength(101)
    ask({ key: 'k0' })
    expect(asked).toHaveLength(102)
  })

  it('ask anew after a failure, which all who waited get', async () => {
    const both = [ask(), ask()]
    asked[0]!.fail(new Error('no'))
    for (const { result } of both) await expect(result).rejects.toThrow('no')
    ask()
    expect(asked).toHaveLength(2)
  })

  it('are those of one principal and one request', async () => {
    ask()
    ask({ principal: 'b' })
    expect(asked).toHaveLength(2)
    const other = { messages: [{ role: 'user' as const, content: 'something else' }] }
    await expect(ask({ input: other }).result).rejects.toMatchObject({ code: 'key_reused' })
    asked[0]!.answer(COMPLETION)
    await expect.poll(() => ask({ input: other }).result.catch((error) => error.code)).toBe('key_reused')
    expect(asked).toHaveLength(2)
  })

  it('without a key each ask for themselves', async () => {
    ask({ key: null })
    ask({ key: null })
    expect(asked).toHaveLength(2)
  })
})
