import { beforeEach, describe, expect, it } from 'vitest'
import { JournalWorld } from './journal.fixture.ts'

let world: JournalWorld
/** The attempt that runs. */
let attempt: ReturnType<JournalWorld['given']>

const stream = (n: number) => ({ channel_id: `c${n}`, access_key: `k${n}`, direction: 'write' })
const begin = (n: number, more: object = {}) =>
  world.begin({ idempotency_key: 'k', data: { n: 1, stream: stream(n) }, ...more })
/** A step of the run itself. */
const ask = (step: string, fn: string, data: object = {}) => world.ask(step, fn, data, { attempt })
const answer = (fn: string, result: unknown) => {
  world.tool.answer(world.given(world.tool, fn) as never, result)
  world.settle()
}
const result = (id: string) => world.flow.result(id)?.result
const finish = (value: unknown) => {
  world.flow.answer(attempt as never, value)
  world.settle()
}

beforeEach(() => {
  world = new JournalWorld()
  begin(1)
  attempt = world.given(world.flow)
  ask('1', 'tool::send', { to: 'ada' })
  answer('tool::send', 'sent')
})

describe('a caller that joins a run with a stream', () => {
  it('has the handler to itself, whose steps are answered as they are recorded, and executes none', () => {
    const joined = begin(2)
    expect(world.given(world.flow)).toMatchObject({
      data: { n: 1, stream: stream(2) },
      context: { run: attempt.context!.run, follows: true, recorded: Number.MAX_SAFE_INTEGER },
    })
    expect(result(world.ask('1', 'tool::send', { to: 'ada' }))).toBe('sent')
    const later = world.ask('2', 'tool::read')
    const look = world.ask('3', 'engine::journal::look', { name: 'roll' })
    expect([world.calls('tool::send'), world.calls('tool::read')]).toEqual([1, 0])
    ask('2', 'tool::read')
    answer('tool::read', 'read')
    expect(result(later)).toBe('read')
    expect(result(look)).toBeUndefined()
    ask('3', 'engine::journal::record', { name: 'roll', result: 6 })
    expect(result(look)).toEqual({ recorded: true, result: 6 })
    expect([world.calls('tool::send'), world.calls('tool::read')]).toEqual([1, 1])
    finish('end')
    expect(world.caller.result(joined), 'the end comes after what is told').toBeUndefined()
    world.finish('whatever it makes of it')
    expect(world.caller.result(joined)?.result).toBe('end')
  })

  it('is told of a run that is over, by another engine too', () => {
    finish('end')
    for (let n = 2; n < 4; n++) {
      const joined = begin(n)
      expect(world.given(world.flow).context).toMatchObject({ follows: true })
      expect(result(world.ask('1', 'tool::send', { to: 'ada' }))).toBe('sent')
      expect(world.flow.code(world.ask('2', 'tool::read')), 'it came to no such step').toBe('run_suspended')
      expect(world.caller.result(joined)).toBeUndefined()
      world.finish('whatever')
      expect(world.caller.result(joined)?.result).toBe('end')
      world.restart()
      world.connect()
    }
    expect(world.calls('tool::read')).toBe(0)
  })

  it('is answered as the first where the run comes to stand still', () => {
    const joined = begin(2)
    const step = world.ask('2', 'engine::journal::wait', { name: 'answer' })
    ask('2', 'engine::journal::wait', { name: 'answer' })
    expect(world.flow.code(step)).toBe('run_suspended')
    const error = { code: 'run_suspended', message: 'suspended', details: { answer: 'waits' } }
    const follower = world.given(world.flow)
    for (const { invocation_id } of [attempt, follower]) {
      world.flow.tell({ type: 'invocationresult', invocation_id, error })
      world.settle()
    }
    expect(world.caller.result(joined)?.result).toBe('waits')
  })

  it('hears the end where its handler asks for something else, dies, or says nothing more', () => {
    const other = begin(2)
    expect(world.flow.code(world.ask('1', 'tool::send', { to: 'eve' })), 'other code').toBe('run_suspended')
    const silent = begin(3)
    const dying = world.flowProcess()
    world.settle()
    // The process that is less busy is given the next.
    const dead = begin(4)
    expect(world.given(dying).context).toMatchObject({ follows: true })
    dying.close()
    finish('end')
    expect(world.caller.result(dead)?.result).toBe('end')
    expect([other, silent].map((id) => world.caller.result(id))).toEqual([undefined, undefined])
    world.time.advance(6_000)
    for (const id of [other, silent]) expect(world.caller.result(id)?.result).toBe('end')
  })

  it('ends its handler when it leaves, and not the run', () => {
    begin(2)
    const follower = world.given(world.flow)
    const step = world.ask('2', 'tool::read')
    world.caller.close()
    world.settle()
    expect(world.flow.cancelled(follower as never)).toBe(true)
    expect(world.flow.cancelled(attempt as never)).toBe(false)
    world.caller = world.owner()
    ask('2', 'tool::read')
    answer('tool::read', 'read')
    expect(result(step), 'nobody asks any more').toBeUndefined()
    finish('end')
    expect(world.caller.result(world.begin({ idempotency_key: 'k', data: { n: 1 } }))?.result).toBe('end')
  })

  it('without a stream has no handler of its own', () => {
    const joined = world.begin({ idempotency_key: 'k', data: { n: 1 } })
    expect(world.flow.served).toHaveLength(1)
    finish('end')
    expect(world.caller.result(joined)?.result).toBe('end')
  })
})
