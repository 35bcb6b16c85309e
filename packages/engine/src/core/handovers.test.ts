import { beforeEach, describe, expect, it } from 'vitest'
import { startCore } from '../../test/peers.ts'
import { Call } from './call.ts'
import { Handovers } from './handovers.ts'

type World = ReturnType<typeof startCore>

let time: World['time']
let handovers: Handovers
let given: { id: string; at: number }[]

beforeEach(() => {
  const { core } = startCore()
  time = core.ports.clock as World['time']
  given = []
  handovers = new Handovers(core.ports, ({ id }) => given.push({ id, at: time.monotonic() }))
})

function item(id: string, losses = 0): Call {
  const context = { realm: 'r', principal: { kind: 'guest' as const, id: 'guest' }, traceId: 't' }
  return new Call(id, { functionId: 'a::x', payload: undefined, context, handover: { losses }, onResult() {} }, 's', 0)
}

describe('what is handed to a worker', () => {
  it('does not wait before a second loss within a minute', () => {
    expect(handovers.lost('a')).toBe(false)
    expect(handovers.defer(item('x'), 'a')).toBe(false)
    time.advance(60_000)
    expect(handovers.lost('a')).toBe(false)
    expect(handovers.defer(item('x'), 'a')).toBe(false)
  })

  it('is handed over one at a time from then on, a second apart, those with losses last; other workers have nothing to do with it', () => {
    handovers.lost('a')
    expect(handovers.lost('a')).toBe(true)
    const start = time.monotonic()
    for (const call of [item('two', 2), item('first'), item('one', 1), item('second')]) {
      expect(handovers.defer(call, 'a')).toBe(true)
    }
    expect(handovers.defer(item('x'), 'b')).toBe(false)
    time.advance(10_000)
    expect(given.map(({ id, at }) => [id, at - start])).toEqual([
      ['first', 0],
      ['second', 1_000],
      ['one', 2_000],
      ['two', 3_000],
    ])
    handovers.defer(item('later'), 'a')
    time.advance(0)
    expect(given.at(-1)!.id, 'the second is over').toBe('later')
  })

  it('is forgotten where it is no longer wanted, and so is the worker after a minute', () => {
    handovers.lost('a')
    handovers.lost('a')
    const call = item('x')
    handovers.defer(call, 'a')
    expect(handovers.holds(call)).toBe(true)
    handovers.remove(call)
    time.advance(60_000)
    expect(given).toEqual([])
    expect(handovers.defer(call, 'a')).toBe(false)
    expect(handovers.idle).toBe(true)
  })
})
