import { randomUUID } from 'node:crypto'
import { KnownSecrets } from '@agentos/protocol'
import { describe, expect, it } from 'vitest'
import { installed, startCore } from '../../test/peers.ts'

describe('a call', () => {
  it('goes to the process of its group with the fewest calls in flight', () => {
    const { worker, guest } = startCore({ workers: [installed('w', [{ id: 'w::f' }])] })
    const [one, two] = [worker('w'), worker('w')]
    one.register('w::f', { group: 'w', instance: '1' })
    two.register('w::f', { group: 'w', instance: '2' })
    const caller = guest()
    for (let n = 0; n < 6; n += 1) caller.call('w::f')
    expect([one.served.length, two.served.length]).toEqual([3, 3])
    for (const call of one.served) one.answer(call)
    caller.call('w::f')
    expect(one.served).toHaveLength(4)
  })

  it('whose frame comes again, during it or soon after its answer, is executed once and answered once', () => {
    const { guest } = startCore()
    const server = guest()
    server.register('once')
    const caller = guest()
    const frame = { type: 'invokefunction', invocation_id: randomUUID(), function_id: 'once', data: {} }
    caller.tell(frame)
    caller.tell(frame)
    server.answer(server.served[0]!)
    caller.tell(frame)
    expect(server.served).toHaveLength(1)
    expect(caller.received.filter((received) => received.type === 'invocationresult')).toHaveLength(1)
  })

  it('that threw says in which function, and of which installed worker', () => {
    const { guest, worker } = startCore({ workers: [installed('w', [{ id: 'w::f' }])] })
    const [plain, own, caller] = [guest(), worker('w'), guest()]
    plain.register('evil::fn')
    own.register('w::f')
    const failed = (peer: typeof plain, functionId: string, more: object) => {
      const id = caller.call(functionId)
      peer.fail(peer.served.at(-1)!, 'invocation_failed', more)
      const frame = caller.received.find((each) => each.type === 'invocationresult' && each.invocation_id === id)
      return (frame as { error?: { details?: unknown } }).error?.details
    }
    expect(failed(plain, 'evil::fn', {})).toEqual({ functionId: 'evil::fn' })
    expect(failed(own, 'w::f', { details: { functionId: 'w::f' } })).toEqual({ functionId: 'w::f', worker: 'w' })
    // What it passes on of another's failure stays that.
    expect(failed(own, 'w::f', { details: { functionId: 'evil::fn' } })).toEqual({ functionId: 'evil::fn' })
    expect(failed(plain, 'evil::fn', { details: 'text' })).toBe('text')
  })

  it('of a function that nobody has is function_not_found', () => {
    const caller = startCore().guest()
    expect(caller.code(caller.call('nobody::there'))).toBe('function_not_found')
  })

  it.each([
    ['as a function', (secret: string) => [`no::such_${secret}`]],
    ['as a queue', (secret: string) => ['f', { action: { type: 'enqueue', queue: secret } }]],
  ] as const)('that names a known secret %s is refused without repeating it', (_, call) => {
    const secret = 'a-token-that-nobody-may-read-0123456789'
    const secrets = new KnownSecrets()
    secrets.learn(secret)
    const caller = startCore({ secrets }).guest()
    const [id, more] = call(secret)
    const error = caller.result(caller.call(id as string, more as object | undefined))?.error
    expect(error?.message).toMatch(/not found$/)
    expect(JSON.stringify(error)).not.toContain(secret)
  })

  it('over the bound of its realm is refused, and what is refused frees no place', () => {
    const { core, owner } = startCore({ limits: { inFlightPerRealm: 3 } })
    const server = owner()
    server.register('slow')
    const caller = owner()
    const codes = Array.from({ length: 10 }, () => caller.code(caller.call('slow')))
    expect(codes.slice(0, 3)).toEqual([undefined, undefined, undefined])
    expect(codes.slice(3)).toEqual(Array(7).fill('overloaded'))
    expect(core.calls.counts().inFlight).toBe(3)
    for (const call of server.served) server.answer(call)
    expect(caller.code(caller.call('slow'))).toBeUndefined()
  })

  it('over a bound is told when to come again', () => {
    const { owner } = startCore({ limits: { inFlightPerRealm: 0 } })
    const caller = owner()
    const { error } = caller.result(caller.call('slow'))!
    expect(error).toMatchObject({ code: 'overloaded', details: { retryAfterMs: expect.any(Number) } })
  })

  it('that waits for a busy worker has its turn among realms, however many calls another realm has waiting', () => {
    const workers = [installed('w', [{ id: 'w::slow' }])]
    const { guest, owner, worker } = startCore({ limits: { inFlightPerWorker: 1 }, workers })
    const server = worker('w')
    server.register('w::slow')
    const [many, one] = [guest(), owner()]
    for (let n = 0; n < 10; n += 1) many.call('w::slow', { data: n })
    one.call('w::slow', { realm: 'realm-other', data: 'other' })
    for (let n = 0; n < 4; n += 1) server.answer(server.served.at(-1)!)
    expect(server.served.map(({ data }) => data)).toEqual([0, 1, 'other', 2, 3])
  })

  it('waits for an installed worker that is away, and is served when it comes', () => {
    const { time, worker, guest } = startCore({ workers: [installed('w', [{ id: 'w::f' }])] })
    const caller = guest()
    const call = caller.call('w::f')
    time.advance(5_000)
    const server = worker('w')
    server.register('w::f')
    server.answer(server.served[0]!, 'here')
    expect(caller.result(call)).toMatchObject({ result: 'here' })
  })

  it('ends as worker_unavailable where the worker does not come in time', () => {
    const { time, guest } = startCore({ workers: [installed('w', [{ id: 'w::f' }])] })
    const caller = guest()
    const [patient, hurried] = [caller.call('w::f'), caller.call('w::f', { deadline_ms: 100 })]
    time.advance(100)
    expect(caller.code(hurried)).toBe('worker_unavailable')
    expect(caller.result(patient)).toBeUndefined()
    time.advance(10_000)
    expect(caller.code(patient)).toBe('worker_unavailable')
  })

  it('over the bound of those that wait is overloaded', () => {
    const { owner } = startCore({ workers: [installed('w', [{ id: 'w::f' }])], limits: { queuedCalls: 2 } })
    const caller = owner()
    const codes = [1, 2, 3].map(() => caller.code(caller.call('w::f')))
    expect(codes).toEqual([undefined, undefined, 'overloaded'])
  })

  it('whose worker does not read its socket is overloaded', () => {
    const { guest } = startCore({ limits: { bufferedBytes: 1_000 } })
    const server = guest()
    server.register('f')
    server.waiting = 2_000
    const caller = guest()
    expect(caller.code(caller.call('f'))).toBe('overloaded')
  })

  it('whose caller does not read its results ends with the caller’s connection', () => {
    const { core, guest } = startCore({ limits: { bufferedBytes: 1_000 } })
    const server = guest()
    server.register('f')
    const caller = guest()
    caller.call('f')
    caller.waiting = 2_000
    const others = [caller.call('f'), caller.call('f')]
    server.answer(server.served[0]!)
    expect(caller.aborted).toEqual({ code: 1013, reason: expect.stringMatching(/^overloaded: .*connect anew/) })
    expect(Buffer.byteLength(caller.aborted!.reason)).toBeLessThanOrEqual(123)
    expect(caller.connection.open).toBe(false)
    expect(core.calls.counts().inFlight).toBe(0)
    expect(others.map((id) => caller.result(id))).toEqual([undefined, undefined])
  })

  it('whose worker dies may be repeated where that is safe, and is in doubt elsewhere', () => {
    const functions = [
      { id: 'w::read', effects: 'read' as const },
      { id: 'w::same', idempotent: true },
      { id: 'w::pay', effects: 'external' as const },
    ]
    const { worker, guest } = startCore({ workers: [installed('w', functions)] })
    const server = worker('w')
    for (const { id } of functions) server.register(id)
    const foreign = guest()
    foreign.register('foreign')
    const caller = guest()
    const calls = [...functions.map(({ id }) => caller.call(id)), caller.call('foreign')]
    server.close()
    foreign.close()
    expect(calls.map((call) => caller.code(call))).toEqual([
      'worker_unavailable',
      'worker_unavailable',
      'in_doubt',
      'invocation_stopped',
    ])
  })

  it('that is cancelled takes everything below it along, and its caller hears at once', () => {
    const { core, worker, guest } = startCore({
      workers: [installed('a', [{ id: 'a::f' }]), installed('b', [{ id: 'b::f' }])],
    })
    const [a, b, caller] = [worker('a'), worker('b'), guest()]
    a.register('a::f')
    b.register('b::f')
    const call = caller.call('a::f')
    const below = a.call('b::f', { parent: a.served[0]!.invocation_id })
    caller.tell({ type: 'cancelinvocation', invocation_id: call })
    expect(caller.code(call)).toBe('cancelled')
    expect(a.code(below)).toBe('cancelled')
    expect(a.cancelled(a.served[0]!)).toBe(true)
    expect(b.cancelled(b.served[0]!)).toBe(true)
    expect(core.calls.counts().inFlight).toBe(0)
  })

  it('is cancelled when its caller leaves', () => {
    const { worker, guest } = startCore({ workers: [installed('w', [{ id: 'w::f' }])] })
    const server = worker('w')
    server.register('w::f')
    const caller = guest()
    caller.call('w::f')
    caller.close()
    expect(server.cancelled(server.served[0]!)).toBe(true)
  })

  it('ends at its deadline with those below it, and what comes later is counted and dropped', () => {
    const { core, time, worker, guest } = startCore({ workers: [installed('w', [{ id: 'w::f' }, { id: 'w::g' }])] })
    const server = worker('w')
    server.register('w::f')
    server.register('w::g')
    const caller = guest()
    const call = caller.call('w::f', { deadline_ms: 1_000 })
    const below = server.call('w::g', { parent: server.served[0]!.invocation_id, deadline_ms: 60_000 })
    expect(server.served[1]!.context).toMatchObject({ deadline_ms: 1_000 })
    time.advance(1_000)
    expect([caller.code(call), server.code(below)]).toEqual(['deadline_exceeded', 'deadline_exceeded'])
    server.answer(server.served[0]!)
    expect(core.calls.counts().lateResults).toBe(1)
    expect(caller.received.filter((frame) => frame.type === 'invocationresult')).toHaveLength(1)
  })

  it('that is void has no answer, but is in the table until it ends', () => {
    const { core, guest } = startCore()
    const server = guest()
    server.register('f')
    const caller = guest()
    caller.tell({ type: 'invokefunction', function_id: 'f', data: {}, action: { type: 'void' } })
    expect(core.calls.counts().inFlight).toBe(1)
    server.answer(server.served[0]!)
    expect(core.calls.counts().inFlight).toBe(0)
    expect(caller.received.some((frame) => frame.type === 'invocationresult')).toBe(false)
  })

  it('whose frame comes twice is made once', () => {
    const { guest } = startCore()
    const server = guest()
    server.register('f')
    const caller = guest()
    const call = caller.call('f')
    caller.tell({ type: 'invokefunction', invocation_id: call, function_id: 'f', data: {} })
    expect(server.served).toHaveLength(1)
    server.answer(server.served[0]!)
    expect(caller.received.filter((frame) => frame.type === 'invocationresult')).toHaveLength(1)
  })

  it('to a queue is refused by name where no module keeps queues', () => {
    const caller = startCore().guest()
    expect(caller.code(caller.call('f', { action: { type: 'enqueue', queue: 'q' } }))).toBe('enqueue_error')
  })
})

describe('work that goes on after the answer', () => {
  const start = (limits = {}) => {
    const started = startCore({ limits })
    const server = started.guest()
    server.register('f')
    const caller = started.guest()
    const serve = () => {
      caller.call('f')
      const call = server.served.at(-1)!
      const detach = { invocation_id: call.invocation_id, deadline_ms: 1_000 }
      server.call('engine::calls::detach', { data: detach, parent: call.invocation_id })
      server.answer(call)
      return call.invocation_id
    }
    return { ...started, server, serve }
  }

  it('keeps the context of its call for the time that it asked for', () => {
    const { time, server, serve } = start()
    const parent = serve()
    expect(server.code(server.call('nobody::there', { parent }))).toBe('function_not_found')
    time.advance(1_000)
    expect(server.code(server.call('nobody::there', { parent }))).toBe('forbidden')
  })

  it('is bounded', () => {
    const { server, serve } = start({ inFlightPerWorker: 2 })
    const parents = [serve(), serve(), serve()]
    const codes = parents.map((parent) => server.code(server.call('nobody::there', { parent })))
    expect(codes).toEqual(['function_not_found', 'function_not_found', 'forbidden'])
  })
})

describe('a peer', () => {
  it('that does not read what it asked for is let go, whatever it is', () => {
    const { guest } = startCore({ limits: { bufferedBytes: 1_000 } })
    const peer = guest()
    peer.tell({ type: 'ping' })
    expect(peer.received.at(-1)).toEqual({ type: 'pong' })
    peer.waiting = 2_000
    peer.tell({ type: 'ping' })
    expect(peer.aborted?.code).toBe(1013)
    expect(peer.connection.open).toBe(false)
  })
})
