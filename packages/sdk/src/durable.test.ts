import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import * as z from 'zod'
import { FakeEngine, type FakePeer } from '../test/fake-engine.ts'
import { defineFunction } from './contract.ts'
import { type DurableContext, durable } from './durable.ts'
import { openLog } from './log.ts'
import { isSuspended } from './suspended.ts'
import { defineWorker, serve, type WorkerHandle } from './worker.ts'

const run = defineFunction({
  id: 'test::run',
  summary: 'A run',
  input: () => z.object({}),
  output: () => z.unknown(),
  effects: 'external',
  durable: true,
})
const tool = defineFunction({
  id: 'test::tool',
  summary: 'A step',
  input: () => z.object({ n: z.number() }),
  output: () => z.number(),
  effects: 'read',
})

let engine: FakeEngine
let worker: WorkerHandle
let peer: FakePeer

beforeEach(async () => {
  engine = await FakeEngine.listen()
})
afterEach(async () => {
  await worker.stop(0)
  await engine.close()
})

type Handler = (ctx: DurableContext) => Promise<unknown>

/** Hands a run with this handler to a process; `end` is how the attempt ends. */
async function attempt(handler: Handler, context: object = {}): Promise<{ end: Promise<Record<string, unknown>> }> {
  const arrival = engine.nextPeer()
  const log = await openLog('test', 'silent')
  const definition = defineWorker({ name: 'test', functions: [durable(run, (_input, ctx) => handler(ctx))] })
  worker = await definition.connect({ url: engine.url, log })
  peer = await arrival
  peer.send({
    type: 'invokefunction',
    invocation_id: 'attempt-1',
    function_id: run.id,
    data: {},
    context: { run: 'run-1', attempt: 1, recorded: 0, ...context },
  })
  return { end: peer.frame('invocationresult', { invocation_id: 'attempt-1' }) }
}

/** The next step that the process asks for, and how to answer it. */
async function step(key: string) {
  const frame = await peer.frame('invokefunction', { step: key })
  const { invocation_id } = frame
  return {
    frame,
    answer: (result: unknown) => peer.send({ type: 'invocationresult', invocation_id, result }),
    fail: (code: string) => peer.send({ type: 'invocationresult', invocation_id, error: { code, message: code } }),
  }
}

describe('a durable handler', () => {
  it('numbers its steps in the order in which it asks for them, whatever comes back first', async () => {
    const { end } = await attempt(async (ctx) => {
      const first = ctx.call(tool, { n: 1 })
      const second = ctx.state.get('scope', 'key')
      return [await first, await second, await ctx.trigger({ function_id: 'other::fn' })]
    })
    const second = await step('2')
    expect(second.frame).toMatchObject({ function_id: 'state::get', parent: 'attempt-1' })
    second.answer('b')
    const first = await step('1')
    expect(first.frame).toMatchObject({ function_id: 'test::tool', data: { n: 1 } })
    first.answer('a')
    const third = await step('3')
    third.answer('c')
    expect(await end).toMatchObject({ result: ['a', 'b', 'c'] })
  })

  it('gives each branch of `all` numbers of its own, and fails with the first failure by place', async () => {
    const { end } = await attempt(async (ctx) => {
      await ctx.call(tool, { n: 0 })
      const sums = ctx.all([1, 2], async (item, branch) => {
        const one = await branch.call(tool, { n: item })
        return one + (await branch.call(tool, { n: item * 10 }))
      })
      return [await sums, await ctx.call(tool, { n: 9 })]
    })
    for (const [key, result] of [
      ['1', 0],
      ['2.1.1', 20],
      ['2.1.2', 21],
      ['2.0.1', 10],
      ['2.0.2', 11],
      ['3', 9],
    ] as const) {
      const asked = await step(key)
      asked.answer(result)
    }
    expect(await end).toMatchObject({ result: [[21, 41], 9] })
  })

  it('records the work of a step before it is used, and looks first where it may be recorded already', async () => {
    let worked = 0
    const handler: Handler = async (ctx) => {
      const [a, b] = [await ctx.step('a', () => ++worked), await ctx.step('b', () => ++worked)]
      return { a, b, attempt: ctx.attempt, run: ctx.run }
    }
    const { end } = await attempt(handler, { attempt: 2, recorded: 1 })
    const look = await step('1')
    expect(look.frame).toMatchObject({ function_id: 'engine::journal::look', data: { name: 'a' } })
    look.answer({ recorded: true, result: 41 })
    const record = await step('2')
    expect(record.frame).toMatchObject({ function_id: 'engine::journal::record', data: { name: 'b', result: 1 } })
    record.answer(1)
    expect(await end).toMatchObject({ result: { a: 41, b: 1, attempt: 2, run: 'run-1' } })
  })

  it('that follows a run does no work: it asks for each step, and what it tells is new to its reader', async () => {
    let worked = 0
    const handler: Handler = async (ctx) => {
      const told = [ctx.following, ctx.replaying]
      return { told, step: await ctx.step('a', () => ++worked), call: await ctx.call(tool, { n: 1 }) }
    }
    const { end } = await attempt(handler, { attempt: 1, recorded: Number.MAX_SAFE_INTEGER, follows: true })
    const look = await step('1')
    expect(look.frame).toMatchObject({ function_id: 'engine::journal::look', data: { name: 'a' } })
    look.answer({ recorded: true, result: 41 })
    const called = await step('2')
    called.answer(7)
    expect(await end).toMatchObject({ result: { told: [true, false], step: 41, call: 7 } })
    expect(worked).toBe(0)
  })

  it('journals the error of a step’s work like its result', async () => {
    const { end } = await attempt(async (ctx) =>
      ctx
        .step('breaks', () => {
          throw new Error('broke')
        })
        .catch((error: { code: string }) => `caught ${error.code}`),
    )
    const record = await step('1')
    expect(record.frame).toMatchObject({ data: { error: { code: 'invocation_failed', message: 'broke' } } })
    record.fail('invocation_failed')
    expect(await end).toMatchObject({ result: 'caught invocation_failed' })
  })

  it('refuses calls with the context of the run inside the work of a step: the next attempt would not make them', async () => {
    const { end } = await attempt((ctx) => ctx.step('nested', () => ctx.call(tool, { n: 1 })))
    const record = await step('1')
    expect(record.frame).toMatchObject({ data: { error: { code: 'conflict' } } })
    record.fail('conflict')
    expect(await end).toMatchObject({ error: { code: 'conflict' } })
  })

  it('leaves the time of a step to the engine: it never decides alone that one has failed', async () => {
    const { end } = await attempt((ctx) => ctx.call(tool, { n: 1 }, { deadlineMs: 1, timeoutMs: 1 } as object))
    const asked = await step('1')
    expect(asked.frame).toMatchObject({ deadline_ms: 1 })
    await afterItsTime()
    asked.answer(5)
    expect(await end).toMatchObject({ result: 5 })
  })

  it('asks for the cancellation of a step that it aborts, and hears from the journal what became of it', async () => {
    const controller = new AbortController()
    const { end } = await attempt((ctx) => ctx.call(tool, { n: 1 }, { signal: controller.signal }))
    const asked = await step('1')
    controller.abort()
    await peer.frame('cancelinvocation', { invocation_id: asked.frame.invocation_id })
    asked.answer('it was done already')
    expect(await end).toMatchObject({ result: 'it was done already' })
  })

  it('is handed to `durable`, and `durable` takes no other', async () => {
    worker = { name: 'none', stop: async () => {} }
    expect(() => serve(run, () => null)).toThrow('durable(contract, handler)')
    expect(() => durable(tool, () => 1)).toThrow('durable: true')
  })
})

describe('a suspended attempt', () => {
  it('unwinds, and answers its callers with what `onSuspend` says', async () => {
    const seen: unknown[] = []
    const { end } = await attempt(async (ctx) => {
      ctx.onSuspend(() => ({ pending: ctx.run }))
      try {
        return await ctx.wait('answer', { expiresMs: 1_000, question: 'May I?', expiredCode: 'approval_expired' })
      } catch (error) {
        seen.push(isSuspended(error))
        throw error
      }
    })
    const asked = await step('1')
    const data = { name: 'answer', expiresMs: 1_000, question: 'May I?', expiredCode: 'approval_expired' }
    expect(asked.frame).toMatchObject({ function_id: 'engine::journal::wait', data })
    asked.fail('run_suspended')
    expect(await end).toMatchObject({ error: { code: 'run_suspended', details: { answer: { pending: 'run-1' } } } })
    expect(seen).toEqual([true])
  })

  it('is one whatever the handler makes of it, and asks for no further step', async () => {
    const { end } = await attempt(async (ctx) => {
      await ctx.wait('answer').catch(() => {})
      await ctx.call(tool, { n: 1 }).catch(() => {})
      return 'as if nothing had happened'
    })
    const asked = await step('1')
    asked.fail('run_suspended')
    const ended = await end
    expect(ended).toMatchObject({ error: { code: 'run_suspended' } })
    expect(ended).not.toHaveProperty('result')
    expect(peer.frames.filter((frame) => frame.step === '2')).toEqual([])
  })

  it('stops all branches', async () => {
    const { end } = await attempt((ctx) =>
      ctx.all([1, 2], async (item, branch) => {
        if (item === 1) return branch.wait('answer')
        await branch.call(tool, { n: item })
        return branch.call(tool, { n: item })
      }),
    )
    const beside = await step('1.1.1')
    const waits = await step('1.0.1')
    waits.fail('run_suspended')
    beside.fail('run_suspended')
    expect(await end).toMatchObject({ error: { code: 'run_suspended' } })
    expect(peer.frames.filter((frame) => frame.step === '1.1.2')).toEqual([])
  })
})

/** Longer than the local timers of the call, if there were any. */
async function afterItsTime(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 20))
  expect(peer.frames.filter(({ type }) => type === 'cancelinvocation')).toEqual([])
}
