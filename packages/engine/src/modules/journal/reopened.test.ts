import { beforeEach, describe, expect, it } from 'vitest'
import { JournalWorld } from './journal.fixture.ts'
import { FINISHED, OPEN } from './partitions.ts'

let world: JournalWorld

beforeEach(() => {
  world = new JournalWorld()
})

const KEY = { idempotency_key: 'once' }
const start = () => world.begin(KEY)
const error = (call: string) => world.caller.code(call)
const result = (call: string) => world.caller.result(call)?.result
const stepResult = (step: string, functionId: string, data?: unknown) =>
  world.flow.result(world.ask(step, functionId, data))

/** A step whose call is answered with a failure. */
function fails(step: string, functionId: string, code: string, data?: unknown): void {
  world.ask(step, functionId, data)
  world.tool.fail(world.given(world.tool, functionId), code)
  world.settle()
}

/** Steps 1 and 2 are done, 3 fails with what may pass, and so does the run. */
function failed(): string {
  const call = start()
  world.does('1', 'tool::send', 'sent')
  world.does('2', 'tool::read', 'read')
  fails('3', 'tool::keyed', 'upstream_timeout')
  world.fail('upstream_timeout')
  return call
}

/** What the second call's attempt is told of the steps that are done. */
function replayed(): void {
  expect(stepResult('1', 'tool::send')?.result).toBe('sent')
  expect(stepResult('2', 'tool::read')?.result).toBe('read')
}

describe('a run under a key that failed with what may pass', () => {
  it('goes on at the next call: what is recorded stands, what failed is called again with the key that it had', async () => {
    expect(error(failed())).toBe('upstream_timeout')
    const { runId } = world
    const key = world.given(world.tool, 'tool::keyed').context!.idempotency_key
    expect(await world.query('engine::runs::get', { runId })).toMatchObject({ status: 'failed' })
    const second = start()
    expect(world.given(world.flow).context).toMatchObject({ run: runId, attempt: 2 })
    expect(await world.query('engine::runs::get', { runId })).toMatchObject({ status: 'running' })
    replayed()
    expect(world.does('3', 'tool::keyed', 'three')).toBe('three')
    expect(world.given(world.tool, 'tool::keyed').context).toMatchObject({ idempotency_key: key, repeated: true })
    world.finish('end')
    expect(result(second)).toBe('end')
    expect(result(start())).toBe('end')
    expect([world.calls('tool::send'), world.calls('tool::read'), world.calls('tool::keyed')]).toEqual([1, 1, 2])
    const run = await world.query('engine::runs::get', { runId })
    expect(run).toMatchObject({ status: 'done', result: 'end', steps: 3 })
    expect(run).not.toHaveProperty('error')
    expect(run.journal).toMatchObject([{ status: 'done' }, { status: 'done' }, { status: 'done', result: 'three' }])
  })

  it('fails again where it does not pass, and goes on at the call after that', () => {
    failed()
    const second = start()
    replayed()
    fails('3', 'tool::keyed', 'rate_limited')
    world.fail('rate_limited')
    expect(error(second)).toBe('rate_limited')
    const third = start()
    replayed()
    world.does('3', 'tool::keyed', 'three')
    world.finish('end')
    expect(result(third)).toBe('end')
  })

  it('stays failed where only a change would help', () => {
    const first = start()
    world.does('1', 'tool::send', 'sent')
    world.fail('forbidden')
    expect([error(first), error(start()), error(start())]).toEqual(['forbidden', 'forbidden', 'forbidden'])
    expect(world.flow.served).toHaveLength(1)
  })

  it('has one attempt for two calls at once, and refuses another input', () => {
    failed()
    const ids = [1, 2].map(() => world.caller.call('flow::run', { data: { n: 1 }, ...KEY }))
    const other = world.caller.call('flow::run', { data: { n: 2 }, ...KEY })
    world.settle()
    expect(error(other)).toBe('key_reused')
    expect(world.flow.served).toHaveLength(2)
    world.finish('end')
    expect(ids.map(result)).toEqual(['end', 'end'])
  })

  it('runs its handler again where the failure was its own, with all that is recorded', () => {
    start()
    world.does('1', 'tool::send', 'sent')
    world.fail('session_busy')
    const second = start()
    expect(stepResult('1', 'tool::send')?.result).toBe('sent')
    world.finish('end')
    expect(result(second)).toBe('end')
    expect(world.calls('tool::send')).toBe(1)
  })

  it('does the work of a step again that failed in its own process', () => {
    const look = () => stepResult('1', 'engine::journal::look', { name: 'prepare' })?.result
    const record = (data: object) => stepResult('1', 'engine::journal::record', { name: 'prepare', ...data })
    start()
    record({ error: { code: 'worker_unavailable', message: 'memory is away' } })
    world.fail('worker_unavailable', 'memory is away')
    start()
    expect(look()).toEqual({ recorded: false })
    expect(record({ result: 'prepared' })?.result).toBe('prepared')
    expect(look()).toEqual({ recorded: true, result: 'prepared' })
  })

  it('is in doubt where the call that failed may have had its effect, until a person decides', async () => {
    start()
    const { runId } = world
    fails('1', 'tool::send', 'upstream_timeout')
    world.fail('upstream_timeout')
    const second = start()
    expect(stepResult('1', 'tool::send')?.error).toMatchObject({
      code: 'run_suspended',
      details: { reason: 'in_doubt' },
    })
    world.unwind('it waits')
    expect(result(second)).toBe('it waits')
    expect(world.calls('tool::send')).toBe(1)
    await world.query('engine::runs::resume', { runId, answer: 'done', result: 'by hand' })
    expect(stepResult('1', 'tool::send')?.result).toBe('by hand')
    world.finish('end')
    expect(result(start())).toBe('end')
  })

  it('sends what never reached its function, once', () => {
    start()
    world.tool.close()
    const ask = world.ask('1', 'tool::send')
    world.time.advance(120_000)
    world.settle()
    expect(world.flow.code(ask)).toBe('worker_unavailable')
    world.fail('worker_unavailable')
    world.tool = world.toolProcess()
    const second = start()
    expect(world.does('1', 'tool::send', 'sent')).toBe('sent')
    world.finish('end')
    expect(result(second)).toBe('end')
    expect(world.calls('tool::send')).toBe(1)
  })

  it('calls every branch again that failed, and none that did not', () => {
    start()
    world.does('1.0.1', 'tool::send', 'sent')
    fails('1.1.1', 'tool::keyed', 'rate_limited', { n: 1 })
    fails('1.2.1', 'tool::keyed', 'upstream_error', { n: 2 })
    world.fail('rate_limited')
    start()
    expect(stepResult('1.0.1', 'tool::send')?.result).toBe('sent')
    expect(world.does('1.1.1', 'tool::keyed', 'b', { n: 1 })).toBe('b')
    expect(world.does('1.2.1', 'tool::keyed', 'c', { n: 2 })).toBe('c')
    expect(world.calls('tool::send')).toBe(1)
  })

  it('leaves a failure alone that its handler had gone on after', () => {
    start()
    fails('1', 'tool::keyed', 'rate_limited', { n: 1 })
    fails('2', 'tool::keyed', 'upstream_error', { n: 2 })
    world.fail('upstream_error')
    start()
    expect(world.flow.code(world.ask('1', 'tool::keyed', { n: 1 }))).toBe('rate_limited')
    expect(world.does('2', 'tool::keyed', 'two', { n: 2 })).toBe('two')
    expect(world.calls('tool::keyed')).toBe(3)
  })

  it('does not do again what its handler did because of the failure, and what it does instead has a key of its own', () => {
    start()
    fails('1', 'tool::keyed', 'rate_limited', { n: 1 })
    world.does('2', 'tool::send', 'tidied')
    world.does('3', 'tool::keyed', 'told', { failed: true })
    const { idempotency_key } = world.given(world.tool, 'tool::keyed').context!
    world.fail('rate_limited')
    start()
    world.does('1', 'tool::keyed', 'one', { n: 1 })
    expect(stepResult('2', 'tool::send')?.result).toBe('tidied')
    expect(world.does('3', 'tool::keyed', 'three', { failed: false })).toBe('three')
    const key = world.given(world.tool, 'tool::keyed').context!.idempotency_key
    expect(key).not.toBe(idempotency_key)
    // Another process, another engine: the same journal.
    world.ask('4', 'tool::keyed', { n: 4 })
    world.restart()
    world.connect()
    expect(stepResult('1', 'tool::keyed', { n: 1 })?.result).toBe('one')
    expect(stepResult('2', 'tool::send')?.result).toBe('tidied')
    expect(stepResult('3', 'tool::keyed', { failed: false })?.result).toBe('three')
    expect(world.does('4', 'tool::keyed', 'four', { n: 4 })).toBe('four')
  })

  it.each([OPEN, FINISHED, 'journal-key/', 'journal/'])(
    'is the same where the engine is killed behind a row of %s',
    (name) => {
      failed()
      const { runId } = world
      world.caller.call('flow::run', { data: { n: 1 }, ...KEY })
      // The head is the last row of its batch.
      world.dieAfter(({ partition, key }) => partition.startsWith(name) && (name !== 'journal/' || key === 'head'))
      world.connect()
      const third = start()
      expect(world.runId).toBe(runId)
      replayed()
      world.does('3', 'tool::keyed', 'three')
      world.finish('end')
      expect(result(third)).toBe('end')
    },
  )

  it('is told to a reader with a stream as it goes on', () => {
    const stream = { channel_id: 'c', access_key: 'k', direction: 'write' }
    const withStream = () => {
      const id = world.caller.call('flow::run', { data: { n: 1, stream }, ...KEY })
      world.settle()
      return id
    }
    withStream()
    fails('1', 'tool::keyed', 'rate_limited')
    world.fail('rate_limited')
    const second = withStream()
    const [attempt, follower] = world.flow.served.slice(1)
    expect([attempt, follower].map((frame) => frame!.context!.follows)).toEqual([undefined, true])
    const told = world.ask('1', 'tool::keyed', {}, { attempt: follower as never })
    expect(world.flow.result(told)).toBeUndefined()
    world.ask('1', 'tool::keyed', {}, { attempt: attempt as never })
    world.tool.answer(world.given(world.tool, 'tool::keyed'), 'one')
    world.settle()
    expect(world.flow.result(told)?.result).toBe('one')
    world.flow.answer(attempt!, 'end')
    world.flow.answer(follower!, null)
    world.settle()
    expect(result(second)).toBe('end')
  })

  it('is one story to who reads its events: its end is the last one', () => {
    failed()
    const { runId } = world
    start()
    world.does('3', 'tool::keyed', 'three')
    world.finish('end')
    const stream = { channel_id: 'c', access_key: 'k', direction: 'write' }
    const read = world.caller.call('engine::runs::events', { data: { runId, stream } })
    world.settle()
    expect(result(read)).toMatchObject({ status: 'done' })
    const types = world.told.map(({ type }) => type)
    expect(types.filter((type) => type === 'finished' || type === 'reopened')).toEqual(['reopened', 'finished'])
    expect(world.told.at(-1)).toMatchObject({ type: 'finished', result: 'end' })
  })

  it('is not begun again where the disk refuses, and goes on at a later call', () => {
    failed()
    const put = world.store.write.bind(world.store)
    for (const [round, name] of [OPEN, 'journal/'].entries()) {
      world.store.write = (batch, done, options) =>
        batch[0]!.partition.startsWith(name)
          ? done({ ok: false, error: { code: 'store_unavailable', message: 'disk full' } })
          : put(batch, done, options)
      expect(error(start()), `round ${round}`).toBe('store_unavailable')
    }
    world.store.write = put
    expect(world.flow.served).toHaveLength(1)
    const later = start()
    world.finish('end')
    expect(result(later)).toBe('end')
  })

  it('replays as it ended', async () => {
    failed()
    const { runId } = world
    start()
    world.does('3', 'tool::keyed', 'three')
    world.finish('end')
    const replay = world.caller.call('engine::runs::replay', { data: { runId } })
    world.settle()
    replayed()
    expect(stepResult('3', 'tool::keyed')?.result).toBe('three')
    world.finish('end')
    expect(result(replay)).toMatchObject({ ok: true, divergences: [], resultEqual: true })
  })
})
