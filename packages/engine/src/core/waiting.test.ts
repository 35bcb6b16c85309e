import { describe, expect, it } from 'vitest'
import { installed, startCore } from '../../test/peers.ts'
import type { CallResult } from './module.ts'

function start(limits = {}, functions = ['w::slow', 'w::other']) {
  const started = startCore({
    workers: [
      installed(
        'w',
        functions.map((id) => ({ id })),
      ),
    ],
    limits: { inFlightPerWorker: 2, inFlightPerRealm: 50_000, ...limits },
  })
  const { core, worker } = started
  const server = worker('w')
  for (const id of functions) server.register(id)
  let traces = 0
  /** A call from a realm, as the HTTP edge makes it. */
  const call = (realm: string, n: number, functionId = 'w::slow'): { result?: CallResult } => {
    const answer: { result?: CallResult } = {}
    traces += 1
    core.invoke({
      functionId,
      payload: { value: { realm, n } },
      context: { realm, principal: { kind: 'owner', id: 'owner' }, traceId: traces.toString(16).padStart(32, '0') },
      onResult: (result) => {
        answer.result = result
      },
    })
    return answer
  }
  /** Answers the oldest call that is being served; says what was sent then. */
  let answered = 0
  const next = (): unknown => {
    const before = server.served.length
    server.answer(server.served[answered]!)
    answered += 1
    return server.served.slice(before).map((frame) => `${(frame.data as { realm: string }).realm}`)
  }
  return { ...started, server, call, next }
}

describe('calls that wait for a slow worker', () => {
  it('are served in turn by realm: ten thousand of one keep no other waiting', () => {
    const { call, next, core } = start({ queuedCalls: 20_000 })
    for (let n = 0; n < 10_002; n += 1) call('greedy', n)
    expect(core.calls.counts().waiting).toBe(10_000)
    call('small', 0)
    call('tiny', 0)
    expect([next(), next(), next(), next()]).toEqual([['greedy'], ['small'], ['tiny'], ['greedy']])
  })

  it('keep their order within a realm', () => {
    const { call, next, server } = start()
    for (let n = 0; n < 6; n += 1) call('a', n)
    for (let n = 0; n < 3; n += 1) call('b', n)
    for (let count = 0; count < 7; count += 1) next()
    const order = (realm: string) =>
      server.served
        .map((frame) => frame.data as { realm: string; n: number })
        .flatMap((d) => (d.realm === realm ? [d.n] : []))
    expect(order('a')).toEqual([0, 1, 2, 3, 4, 5])
    expect(order('b')).toEqual([0, 1, 2])
  })

  it('share a worker’s places over all its functions', () => {
    const { call, next, server } = start()
    for (let n = 0; n < 12; n += 1) call('greedy', n)
    call('small', 0, 'w::other')
    next()
    next()
    expect(server.served.map((frame) => frame.function_id)).toContain('w::other')
  })

  it('do not let a realm that always has one more waiting push the others back', () => {
    const { call, next } = start()
    for (let n = 0; n < 6; n += 1) call('a', n)
    const turns: unknown[] = []
    for (let n = 0; n < 6; n += 1) {
      call('b', n)
      turns.push(next())
    }
    expect(turns.flat().filter((realm) => realm === 'a').length).toBeGreaterThanOrEqual(3)
  })

  it('are not passed by a call that is made in the moment a place becomes free', () => {
    const { core, call, next, server } = start({ inFlightPerWorker: 1 })
    let again: () => void = () => {}
    core.invoke({
      functionId: 'w::slow',
      payload: { value: { realm: 'a', n: 0 } },
      context: { realm: 'a', principal: { kind: 'owner', id: 'owner' }, traceId: 'f'.repeat(32) },
      onResult: () => again(),
    })
    call('b', 0)
    again = () => void call('a', 1)
    next()
    next()
    expect(server.served.map((frame) => (frame.data as { realm: string }).realm)).toEqual(['a', 'b', 'a'])
  })

  it('give way where one realm fills the room: its newest is refused, with a time to wait', () => {
    const { call, core } = start({ queuedCalls: 10 })
    const greedy = Array.from({ length: 12 }, (_, n) => call('greedy', n))
    const small = call('small', 0)
    expect(small.result).toBeUndefined()
    expect(greedy.map(({ result }) => result !== undefined)).toEqual([...Array(11).fill(false), true])
    expect(greedy[11]!.result).toMatchObject({
      ok: false,
      error: { code: 'overloaded', details: { retryAfterMs: expect.any(Number) } },
    })
    expect(core.calls.counts()).toMatchObject({ waiting: 10, inFlight: 12 })
    // The realm itself gets no more room.
    expect(call('greedy', 12).result).toMatchObject({ error: { code: 'overloaded' } })
  })

  it('and every other bound say when to try again', () => {
    const { call, time } = start({ inFlightPerRealm: 3 })
    const answers = Array.from({ length: 4 }, (_, n) => call('a', n))
    time.advance(10_000)
    const overloaded = { error: { code: 'overloaded', details: { retryAfterMs: expect.any(Number) } } }
    expect([answers[2]!.result, answers[3]!.result]).toMatchObject([overloaded, overloaded])
  })
})

describe('several processes of one worker', () => {
  function two(limits = {}) {
    const started = startCore({
      workers: [installed('w', [{ id: 'w::f', effects: 'read' }], { instances: 2 })],
      limits,
    })
    const process = (instance: string) => {
      const peer = started.worker('w')
      peer.register('w::f', { group: 'w', instance })
      return peer
    }
    return { ...started, process, one: process('1'), two: process('2'), caller: started.guest() }
  }

  it('take over what waits when one of them dies', () => {
    const { one, two: other, caller } = two({ inFlightPerWorker: 1 })
    const calls = [1, 2, 3].map((n) => caller.call('w::f', { data: { n } }))
    expect([one.served.length, other.served.length]).toEqual([1, 1])
    one.close()
    other.answer(other.served[0]!)
    other.answer(other.served[1]!, 'third')
    expect(caller.result(calls[2]!)).toMatchObject({ result: 'third' })
  })

  it('take what one gives back because it is stopping, and it counts as no failure', () => {
    const { core, one, two: other, caller } = two()
    // The newer one is asked first.
    const call = caller.call('w::f')
    other.tell({ type: 'unregisterfunction', id: 'w::f' })
    other.refuse(other.served[0]!)
    expect(one.served[0]!.invocation_id).not.toBe(other.served[0]!.invocation_id)
    one.answer(one.served[0]!, 'elsewhere')
    expect(caller.result(call)).toMatchObject({ result: 'elsewhere' })
    expect(core.calls.counts()).toMatchObject({ failed: 0, inFlight: 0 })
  })

  it('are no more than the manifest says: the newest stay', () => {
    const { process, one, two: other, caller } = two()
    const third = process('3')
    for (let n = 0; n < 4; n += 1) caller.call('w::f')
    expect([one.served.length, other.served.length, third.served.length]).toEqual([0, 2, 2])
    expect(one.connection.functions.has('w::f')).toBe(false)
  })
})

describe('a call that its process gives back', () => {
  it('waits for the restart where there is no other process', () => {
    const { worker, guest } = startCore({ workers: [installed('w', [{ id: 'w::pay' }])] })
    const stopping = worker('w')
    stopping.register('w::pay')
    const caller = guest()
    const call = caller.call('w::pay')
    stopping.tell({ type: 'unregisterfunction', id: 'w::pay' })
    stopping.refuse(stopping.served[0]!)
    stopping.close()
    expect(caller.result(call)).toBeUndefined()
    const started = worker('w')
    started.register('w::pay')
    started.answer(started.served[0]!, 'after the restart')
    expect(caller.result(call)).toMatchObject({ result: 'after the restart' })
  })

  it('again and again ends with the error', () => {
    const { worker, guest, core } = startCore({ workers: [installed('w', [{ id: 'w::pay' }])] })
    const server = worker('w')
    server.register('w::pay')
    const caller = guest()
    const call = caller.call('w::pay')
    for (let n = 0; n < server.served.length && n < 100; n += 1) server.refuse(server.served[n]!)
    expect(caller.code(call)).toBe('worker_unavailable')
    expect(server.served.length).toBeLessThan(20)
    expect(core.calls.counts().inFlight).toBe(0)
  })
})
