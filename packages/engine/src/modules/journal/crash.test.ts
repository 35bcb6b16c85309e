import { beforeEach, describe, expect, it } from 'vitest'
import { JournalWorld } from './journal.fixture.ts'

const HOUR_MS = 3_600_000

let world: JournalWorld

beforeEach(() => {
  world = new JournalWorld()
  world.begin()
})

const run = (runId: string) => world.query('engine::runs::get', { runId })

describe('a write to the state that is under way when the engine is killed', () => {
  const COUNT = { scope: 'counts', key: 'n', ops: [{ type: 'increment', path: 'n', by: 1 }] }
  const FIRST = { old_value: null, new_value: { n: 1 } }

  /** Asks for the step and lets nothing come to the disk. */
  function send(): void {
    world.flow.call('state::update', { parent: world.given(world.flow).invocation_id, step: '1', data: COUNT })
  }
  const askAgain = () => world.flow.result(world.ask('1', 'state::update', COUNT))?.result
  const stored = () => world.query('state::get', { scope: 'counts', key: 'n' })

  it('is made by the next attempt where it had not come to the disk', async () => {
    send()
    world.restart()
    world.connect()
    expect(askAgain()).toEqual(FIRST)
    expect(await stored()).toEqual({ n: 1 })
  })

  it('is recognized where it had, and its result is the recorded one', async () => {
    const { runId } = world
    send()
    world.dieAfterKeyedWrite()
    world.connect()
    expect(await run(runId)).toMatchObject({ status: 'running', journal: [{ step: '1', status: 'open' }] })
    expect(askAgain()).toEqual(FIRST)
    expect(await stored()).toEqual({ n: 1 })
  })

  it('is in doubt where it was so long ago that its key is forgotten, until a person decides', async () => {
    const { runId } = world
    send()
    world.dieAfterKeyedWrite()
    world.time.advance(25 * HOUR_MS)
    world.connect()
    expect(world.flow.code(world.ask('1', 'state::update', COUNT))).toBe('run_suspended')
    world.unwind()
    expect(await run(runId)).toMatchObject({ status: 'parked', reason: 'in_doubt', question: { step: '1' } })
    expect(await stored()).toEqual({ n: 1 })
    world.restart()
    world.connect()
    expect(askAgain(), 'it is in doubt for every attempt').toBeUndefined()
    world.unwind()
    await world.query('engine::runs::resume', { runId, step: '1', answer: 'repeat' })
    expect(askAgain()).toMatchObject({ old_value: { n: 1 }, new_value: { n: 2 } })
  })
})

describe('a call that needs an approval, when the engine is killed', () => {
  const REFUSED = { allow: false, requestId: 'apr-1', expiresAt: Date.parse('2099-01-01') }
  const LETTER = { to: 'ada' }

  const ask = () => world.ask('1', 'tool::send', LETTER, { agent: 'clerk' })
  const question = () => world.given(world.gate, 'approval::gate')
  const asked = () => world.gate.served.length

  /** Another engine, and the step is asked for again. */
  function again(): string {
    world.restart()
    world.connect()
    expect(world.flow.served, 'it goes on by itself').toHaveLength(1)
    return ask()
  }

  it.each(['while the gate is asked', 'before it is written down that it waits'])(
    '%s, is asked for again',
    async (when) => {
      const { runId } = world
      ask()
      expect([asked(), question().data]).toMatchObject([1, { runId, functionId: 'tool::send' }])
      if (when.startsWith('before')) world.gate.answer(question() as never, REFUSED)
      const id = again()
      expect(asked()).toBe(1)
      world.gate.answer(question() as never, REFUSED)
      world.settle()
      expect(world.flow.code(id)).toBe('run_suspended')
      world.unwind()
      expect(await run(runId)).toMatchObject({
        status: 'waiting',
        reason: 'approval',
        journal: [{ step: '1', status: 'waiting', input: LETTER, signal: 'approval:apr-1' }],
      })
      await world.query('engine::runs::signal', { runId, name: 'approval:apr-1', value: { decision: 'approved' } })
      const last = ask()
      world.gate.answer(question() as never, { allow: true, requestId: 'apr-1' })
      world.settle()
      expect(world.calls('tool::send')).toBe(1)
      world.tool.answer(world.given(world.tool, 'tool::send') as never, 'sent')
      world.settle()
      expect(world.flow.result(last)?.result).toBe('sent')
    },
  )

  it('is made where a person decided meanwhile', () => {
    ask()
    world.gate.answer(question() as never, REFUSED)
    again()
    world.gate.answer(question() as never, { allow: true, requestId: 'apr-1' })
    world.settle()
    expect(world.calls('tool::send')).toBe(1)
  })

  it('after its approval was used up and before that is known on disk, was not made and needs another', () => {
    ask()
    world.gate.answer(question() as never, { allow: true, requestId: 'apr-1' })
    expect(world.calls('tool::send'), 'nothing is sent before it is on disk that it will be').toBe(0)
    again()
    expect([asked(), world.calls('tool::send')]).toEqual([1, 0])
  })

  it('after its approval was used up and it was made, is in doubt', async () => {
    const { runId } = world
    ask()
    world.gate.answer(question() as never, { allow: true, requestId: 'apr-1' })
    world.settle()
    expect(world.calls('tool::send')).toBe(1)
    world.restart()
    world.connect()
    expect(await run(runId)).toMatchObject({
      status: 'parked',
      reason: 'in_doubt',
      question: { step: '1', function: 'tool::send', input: LETTER },
    })
    expect([world.flow.served, asked()]).toEqual([[], 0])
  })
})
