import { describe, expect, it } from 'vitest'
import { installed, Peer, startCore } from '../../test/peers.ts'
import { DEFAULT_REALM } from './context.ts'

const system = () =>
  startCore({
    workers: [
      installed('w', [
        { id: 'w::f', effects: 'write' },
        { id: 'w::owned', access: 'owner' },
      ]),
      installed('traveller', [{ id: 'traveller::f' }], { entersRealms: true }),
      installed('loop', [{ id: 'loop::run', effects: 'write' }], { speaksForAgents: true }),
    ],
  })

describe('the context of a call', () => {
  it('is that of its connection where it names no parent', () => {
    const { guest, owner } = system()
    const server = guest()
    server.register('f')
    guest().call('f')
    owner().call('f', { session: 's', realm: 'guest' })
    const ours = owner()
    ours.register('f')
    owner().call('f')
    expect([...server.served, ...ours.served].map(({ context }) => context)).toMatchObject([
      { realm: 'realm-guest', principal: { kind: 'guest' } },
      { realm: 'realm-guest', principal: { kind: 'owner' }, session: 's' },
      { realm: 'realm-default', principal: { kind: 'owner' } },
    ])
  })

  it('is stamped by the engine, whatever a client says of it', () => {
    const { guest } = system()
    const server = guest()
    server.register('f')
    guest().call('f', { context: { realm: 'realm-x', principal: { kind: 'owner', id: 'owner' } } })
    expect(server.served[0]!.context).toMatchObject({ realm: 'realm-guest', principal: { kind: 'guest' } })
  })

  it('is derived from the parent: its realm, its caller’s authority, and no later deadline', () => {
    const { worker, owner } = system()
    const server = worker('w')
    server.register('w::f')
    server.register('w::owned')
    owner().call('w::f', { realm: 'realm-x', deadline_ms: 500 })
    const [first] = server.served
    server.call('w::owned', { parent: first!.invocation_id, deadline_ms: 9_000 })
    expect(server.served[1]!.context).toMatchObject({
      realm: 'realm-x',
      principal: { kind: 'owner' },
      parent: first!.invocation_id,
      deadline_ms: 500,
    })
  })

  it('is the narrowest of the calls in flight for a client that names no parent but the trace', () => {
    const { guest, owner } = system()
    const server = guest()
    server.register('f')
    server.register('g')
    const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`
    owner().call('f', { traceparent, session: 'theirs', realm: 'guest' })
    server.call('g', { traceparent })
    expect(server.served[1]!.context).toMatchObject({
      realm: 'realm-guest',
      session: 'theirs',
      // It is a guest's worker: the owner's call does not make it the owner.
      principal: { kind: 'guest' },
      parent: server.served[0]!.invocation_id,
    })
  })

  it('cannot be borrowed: a parent that is not in flight on this connection is forbidden', () => {
    const { guest, owner } = system()
    const [server, thief] = [guest(), guest()]
    server.register('f')
    owner().call('f', { realm: 'guest' })
    const parent = server.served[0]!.invocation_id
    expect(thief.code(thief.call('f', { parent }))).toBe('forbidden')
    server.answer(server.served[0]!)
    expect(server.code(server.call('f', { parent }))).toBe('forbidden')
  })
})

describe('what a frame says of whom it is for', () => {
  const claims = { agent: { agent: 'clerk' }, session: { session: 'theirs' }, run: { run: 'run-1' } }

  it.each(Object.entries(claims))('is refused to a guest, who is told why: %s', (field, claim) => {
    const { worker, guest, core } = system()
    const server = worker('w')
    server.register('w::f')
    const caller = guest()
    const call = caller.call('w::f', claim)
    expect(caller.result(call)!.error).toMatchObject({ code: 'forbidden', details: { field } })
    expect(caller.result(call)!.error!.message).toContain(`\`${field}\``)
    // Neither in a call that it serves, nor for later.
    caller.register('mine')
    caller.call('mine')
    const parent = caller.served[0]!.invocation_id
    expect(caller.code(caller.call('w::f', { parent, ...claim }))).toBe('forbidden')
    expect(caller.code(caller.call('w::f', { ...claim, action: { type: 'enqueue', queue: 'default' } }))).toBe(
      'forbidden',
    )
    expect(server.served).toEqual([])
    expect(core.calls.counts().inFlight).toBe(1)
  })

  it('is nobody’s to say of an agent or a run but the worker’s that runs agents, within a call', () => {
    const { worker, owner } = system()
    const [loop, plain] = [worker('loop'), worker('w')]
    loop.register('loop::run')
    plain.register('w::f')
    const boss = owner()
    for (const claim of [claims.agent, claims.run]) {
      for (const peer of [boss, plain, loop]) expect(peer.code(peer.call('w::f', claim))).toBe('forbidden')
    }
    boss.call('loop::run')
    const parent = loop.served[0]!.invocation_id
    loop.call('w::f', { parent, ...claims.agent, ...claims.run, ...claims.session })
    expect(plain.served[0]!.context).toMatchObject({
      principal: { kind: 'agent', id: 'clerk' },
      run: 'run-1',
      session: 'theirs',
    })
    // What a model chose is not the worker's word; what the worker calls besides is.
    expect(plain.served[0]!.context).not.toHaveProperty('caller')
    loop.call('w::f', { parent })
    expect(plain.served[1]!.context).toMatchObject({ caller: { worker: 'loop', speaks_for_agents: true } })
  })

  it('is taken of a session from the owner and installed workers, and from everybody where it is so', () => {
    const { core, worker, owner } = system()
    const plain = worker('w')
    plain.register('w::f')
    owner().call('w::f', claims.session)
    plain.call('w::f', { parent: plain.served[0]!.invocation_id, session: 'another' })
    const relay = new Peer(core, { kind: 'guest', id: 'guest' }, undefined, DEFAULT_REALM)
    relay.register('relay')
    owner().call('relay', claims.session)
    relay.call('w::f', { parent: relay.served[0]!.invocation_id, ...claims.session })
    expect(plain.served.map(({ context }) => [context!.session, context!.caller?.worker])).toEqual([
      ['theirs', undefined],
      ['another', 'w'],
      ['theirs', undefined],
    ])
  })

  it('makes nobody a worker: who calls is what the connection is', () => {
    const { worker, guest } = system()
    const server = worker('w')
    server.register('w::f')
    guest().call('w::f', {
      metadata: { agent: 'clerk' },
      context: { caller: { worker: 'loop', speaks_for_agents: true } },
    })
    expect(server.served[0]!.context).toMatchObject({ principal: { kind: 'guest' } })
    expect(server.served[0]!.context).not.toHaveProperty('caller')
  })
})

describe('an owner’s function', () => {
  it('is refused to a guest, and served to the owner and to installed workers on their own behalf', () => {
    const { worker, guest, owner } = system()
    const server = worker('w')
    server.register('w::owned')
    const caller = guest()
    expect(caller.code(caller.call('w::owned'))).toBe('forbidden')
    owner().call('w::owned')
    server.call('w::owned')
    expect(server.served.map(({ context }) => context?.principal.kind)).toEqual(['owner', 'system'])
  })

  it('is not reached by what a model chose, not even through a worker that serves it', () => {
    const { worker, owner } = startCore({
      workers: [
        installed('w', [
          { id: 'w::f', effects: 'write' },
          { id: 'w::owned', access: 'owner' },
        ]),
        installed('loop', [{ id: 'loop::run', effects: 'write' }], { speaksForAgents: true }),
      ],
    })
    const [server, loop] = [worker('w'), worker('loop')]
    server.register('w::f')
    server.register('w::owned')
    loop.register('loop::run')
    owner().call('loop::run')
    loop.call('w::f', { parent: loop.served[0]!.invocation_id, agent: 'default' })
    const parent = server.served[0]!.invocation_id
    expect(server.served[0]!.context?.principal).toEqual({ kind: 'agent', id: 'default' })
    expect(server.code(server.call('w::owned', { parent }))).toBe('forbidden')
    expect(server.code(server.call('w::owned', { agent: 'default' }))).toBe('forbidden')
  })

  it('is not reached by a guest’s worker that serves the owner', () => {
    const { worker, guest, owner } = system()
    worker('w').register('w::owned')
    const theirs = guest()
    theirs.register('harmless')
    owner().call('harmless', { realm: 'guest' })
    const call = theirs.call('w::owned', { parent: theirs.served[0]!.invocation_id })
    expect(theirs.code(call)).toBe('forbidden')
  })

  it('is not registered by a guest, who is told so', () => {
    const caller = system().guest()
    caller.tell({ type: 'registerfunction', id: 'w::owned' })
    expect(caller.received.at(-1)).toMatchObject({
      type: 'functionregistrationresult',
      id: 'w::owned',
      error: { code: 'forbidden' },
    })
  })

  it('is not bound to a trigger by a guest', () => {
    const { core, guest } = system()
    const caller = guest()
    caller.tell({ type: 'registertrigger', id: 't', trigger_type: 'x', function_id: 'w::owned', config: {} })
    expect(core.triggers.get(caller.connection, 't')).toBeUndefined()
    expect(caller.received.at(-1)).toMatchObject({
      type: 'triggerregistrationresult',
      error: { code: 'trigger_registration_failed' },
    })
  })
})

describe('a realm', () => {
  it('is named by the owner, and by workers that declare it, on their own behalf only', () => {
    const { worker, guest, owner } = system()
    const [plain, traveller, caller] = [worker('w'), worker('traveller'), guest()]
    plain.register('w::f')
    traveller.register('traveller::f')
    const refused = (peer: typeof caller, more = {}) => peer.code(peer.call('w::f', { realm: 'realm-x', ...more }))
    expect(refused(caller)).toBe('forbidden')
    expect(refused(plain)).toBe('forbidden')
    expect(refused(owner())).toBeUndefined()
    expect(refused(traveller)).toBeUndefined()
    caller.call('traveller::f')
    expect(refused(traveller, { parent: traveller.served[0]!.invocation_id })).toBe('forbidden')
  })

  it('is entered on the worker’s own behalf, in the trace of the call that it serves', () => {
    const { worker, guest } = system()
    const traveller = worker('traveller')
    traveller.register('traveller::f')
    guest().call('traveller::f')
    const traceparent = traveller.served[0]!.traceparent!
    traveller.call('traveller::f', { realm: 'realm-x', traceparent })
    expect(traveller.served[1]).toMatchObject({
      traceparent: expect.stringContaining(traceparent.slice(3, 35)),
      context: { realm: 'realm-x', principal: { kind: 'system', id: 'traveller' } },
    })
  })

  it.each([['default'], ['guest']])('that is built in has the short name %s', (name) => {
    const { worker } = system()
    const traveller = worker('traveller')
    traveller.register('traveller::f')
    traveller.call('traveller::f', { realm: name })
    expect(traveller.served[0]!.context).toMatchObject({ realm: `realm-${name}` })
  })
})

describe('a trigger', () => {
  const bind = { type: 'registertrigger', id: 't', trigger_type: 'x', function_id: 'f', config: {} }

  it('is not taken over or removed by somebody of less authority', () => {
    const { core, guest } = system()
    const intruder = guest()
    const theirs = new Peer(core, { kind: 'owner', id: 'owner' }, undefined, 'realm-guest')
    theirs.tell(bind)
    intruder.tell({ ...bind, function_id: 'mine' })
    intruder.tell({ type: 'unregistertrigger', id: 't' })
    expect(core.triggers.get(theirs.connection, 't')).toMatchObject({ functionId: 'f', workerId: theirs.connection.id })
  })

  it('goes to the newest among equals, and the older one’s clean-up leaves it alone', () => {
    const { core, guest } = system()
    const [older, newer] = [guest(), guest()]
    older.tell(bind)
    newer.tell(bind)
    older.close()
    expect(core.triggers.get(newer.connection, 't')).toMatchObject({ workerId: newer.connection.id })
    newer.close()
    expect(core.triggers.get(newer.connection, 't')).toBeUndefined()
  })
})
