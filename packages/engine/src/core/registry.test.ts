import { describe, expect, it } from 'vitest'
import { installed, Peer, startCore } from '../../test/peers.ts'
import { DEFAULT_REALM, GUEST_REALM } from './context.ts'
import { Directory } from './directory.ts'

describe('an id', () => {
  it('that a manifest declares is registered with that worker’s credential only', () => {
    const { core, worker, guest, owner, warnings } = startCore({
      workers: [installed('w', [{ id: 'w::f' }]), installed('other', [])],
    })
    for (const intruder of [guest(), owner(), worker('other')]) intruder.register('w::f')
    expect(core.registry.registrations('w::f', DEFAULT_REALM)).toEqual([])
    expect(warnings.filter((text) => text.includes('belongs to the installed worker w'))).toHaveLength(3)
    worker('w').register('w::f')
    expect(core.registry.registrations('w::f', DEFAULT_REALM)).toHaveLength(1)
  })

  it.each(['memory::evil)', 'agent::chat)', 'stream::steal(x)', 'a b', 'a::', '::a', 'a:b', 'ä', 'x'.repeat(257)])(
    'is no id: %j',
    (id) => {
      const { core, guest } = startCore({ workers: [installed('memory', [{ id: 'memory::store' }])] })
      const peer = guest()
      peer.register(id)
      expect(core.registry.registrations(id, GUEST_REALM)).toEqual([])
      expect(peer.received.at(-1)).toMatchObject({
        type: 'functionregistrationresult',
        error: { code: 'invalid_input' },
      })
    },
  )

  it.each(['f', 'shop::price', 'a::b::c-d_e', 'api.users.getAll', 'stream::get(todos)'])('may be %s', (id) => {
    const { core, guest } = startCore()
    guest().register(id)
    expect(core.registry.registrations(id, GUEST_REALM)).toHaveLength(1)
  })

  it('of the engine cannot be taken', () => {
    const { core, guest } = startCore()
    guest().register('engine::functions::list')
    expect(core.registry.registrations('engine::functions::list', GUEST_REALM)).toEqual([])
  })

  it.each(['engine::mine', 'ENGINE::functions::list', 'Engine', 'STORE::purge', 'Store::get'])(
    'cannot be %s, in a namespace of the engine or of a manifest, however it is written',
    (id) => {
      const { core, guest, owner } = startCore({ workers: [installed('store', [{ id: 'store::get' }])] })
      for (const peer of [guest(), owner()]) {
        peer.register(id)
        expect(peer.received).toContainEqual(expect.objectContaining({ type: 'functionregistrationresult', id }))
        expect(core.registry.registrations(id, peer.connection.grant.realm)).toEqual([])
      }
    },
  )

  it('that nobody declares goes to the newest, whose predecessor’s end does not remove it', () => {
    const { core, guest } = startCore()
    const [older, newer] = [guest(), guest()]
    older.register('f')
    newer.register('f')
    older.close()
    expect(core.registry.registrations('f', GUEST_REALM).map(({ connection }) => connection)).toEqual([
      newer.connection,
    ])
  })

  it('is shared by processes of one group, replaced by the same process anew, and refused to another group', () => {
    const { core, guest } = startCore()
    const [one, two, again, other] = [guest(), guest(), guest(), guest()]
    one.register('f', { group: 'g', instance: '1' })
    two.register('f', { group: 'g', instance: '2' })
    again.register('f', { group: 'g', instance: '1' })
    other.register('f', { group: 'h', instance: '1' })
    const serving = core.registry.registrations('f', GUEST_REALM).map(({ connection }) => connection)
    expect(new Set(serving)).toEqual(new Set([two.connection, again.connection]))
  })
})

/** A guest of the realm in which the owner is, too. */
const guestBeside = (core: ReturnType<typeof startCore>['core']) =>
  new Peer(core, { kind: 'guest', id: 'guest' }, undefined, DEFAULT_REALM)

describe('a group', () => {
  const serving = (core: ReturnType<typeof startCore>['core'], id: string) =>
    core.registry.registrations(id, DEFAULT_REALM).map(({ connection }) => connection)

  it('of somebody with more authority is neither joined nor displaced, by its name, its instance or without one', () => {
    const { core, owner } = startCore()
    const mine = owner()
    mine.register('f', { group: 'shop', instance: '1' })
    for (const claim of [{ group: 'shop', instance: '2' }, { group: 'shop', instance: '1' }, { group: 'other' }, {}]) {
      const intruder = guestBeside(core)
      intruder.register('f', claim)
      expect(intruder.received.at(-1)).toMatchObject({ id: 'f', error: { code: 'id_taken' } })
      expect(serving(core, 'f')).toEqual([mine.connection])
    }
    const theirs = guestBeside(core)
    theirs.register('g', { group: 'shop', instance: '1' })
    mine.register('g', { group: 'mine', instance: '1' })
    expect(serving(core, 'g')).toEqual([mine.connection])
  })

  it('of an installed worker is that of its credential, whatever another names', () => {
    const { core, worker } = startCore({
      workers: [installed('w', [{ id: 'w::f' }]), installed('other', [{ id: 'other::f' }])],
    })
    const [one, two, other, intruder] = [worker('w'), worker('w'), worker('other'), guestBeside(core)]
    one.register('plain', { group: 'w', instance: '1' })
    two.register('plain', { instance: '2' })
    other.register('plain', { group: 'w', instance: '3' })
    expect(other.received.at(-1)).toMatchObject({ error: { code: 'id_taken' } })
    one.register('w::f', { group: 'w', instance: '1' })
    intruder.register('w::f', { group: 'w', instance: '3' })
    intruder.register('w::evil', { group: 'w', instance: '3' })
    expect(new Set(serving(core, 'plain'))).toEqual(new Set([one.connection, two.connection]))
    expect(serving(core, 'w::f')).toEqual([one.connection])
    expect(serving(core, 'w::evil')).toEqual([])
    expect([...core.registry.servedFunctions(DEFAULT_REALM)]).not.toContain('w::evil')
  })
})

describe('an id that no manifest owns', () => {
  const inRealm = (core: ReturnType<typeof startCore>['core'], realm: string) =>
    new Peer(core, { kind: 'owner', id: 'owner' }, undefined, realm)

  it('is registered in a realm, beside the same id of another, and each is reached from its own alone', () => {
    const { core } = startCore()
    const [one, two, third] = ['realm-1', 'realm-2', 'realm-3'].map((realm) => inRealm(core, realm))
    one!.register('shop::price')
    two!.register('shop::price', { group: 'shop', instance: '1' })
    one!.call('shop::price', { data: 1 })
    two!.call('shop::price', { data: 2 })
    expect(one!.served.map(({ data }) => data)).toEqual([1])
    expect(two!.served.map(({ data }) => data)).toEqual([2])
    const absent = third!.result(third!.call('shop::nothing'))!.error!
    const foreign = third!.result(third!.call('shop::price'))!.error!
    expect({ ...foreign, message: foreign.message.replace('price', 'nothing') }).toEqual(absent)
    two!.close()
    one!.call('shop::price', { data: 3 })
    expect(one!.served).toHaveLength(2)
  })

  it('is not reached by writing its realm into the id, nor is its trigger type', () => {
    const { core } = startCore()
    const [one, two] = [inRealm(core, 'realm-1'), inRealm(core, 'realm-2')]
    one.register('shop::price')
    one.tell({ type: 'registertriggertype', id: 'orders', description: '' })
    expect(two.code(two.call('realm-1 shop::price'))).toBe('function_not_found')
    const config = {}
    two.tell({ type: 'registertrigger', id: 't', trigger_type: 'realm-1 orders', function_id: 'f', config })
    expect(one.served).toEqual([])
    expect(one.received.filter(({ type }) => type === 'registertrigger')).toEqual([])
    expect(core.factsOf('realm-1 shop::price', 'realm-2')).toBeUndefined()
  })

  it('is listed in its realm alone', () => {
    const { core } = startCore()
    const [one, two] = [inRealm(core, 'realm-1'), inRealm(core, 'realm-2')]
    one.register('shop::price')
    one.tell({ type: 'registertriggertype', id: 'orders', description: '' })
    one.tell({ type: 'registertrigger', id: 't', trigger_type: 'orders', function_id: 'shop::price', config: {} })
    const directory = new Directory(core)
    const listed = (realm: string) => [
      ...directory.functions(realm).map(({ id }) => id),
      ...directory.triggers(realm).map(({ id }) => id),
      ...directory.triggerTypes(realm).map(({ id }) => id),
    ]
    expect(listed('realm-1')).toEqual(expect.arrayContaining(['shop::price', 't', 'orders']))
    for (const id of ['shop::price', 't', 'orders']) expect(listed('realm-2')).not.toContain(id)
    expect(two.served).toEqual([])
  })

  it('of a trigger or a trigger type is taken over within its realm alone', () => {
    const { core } = startCore()
    const [one, two] = [inRealm(core, 'realm-1'), inRealm(core, 'realm-2')]
    const bind = { type: 'registertrigger', id: 't', trigger_type: 'orders', function_id: 'f', config: { shop: 1 } }
    const told = (peer: Peer) => peer.received.filter(({ type }) => type === 'registertrigger')
    one.tell({ type: 'registertriggertype', id: 'orders', description: '' })
    one.tell(bind)
    two.tell({ type: 'registertriggertype', id: 'orders', description: '' })
    expect(told(two)).toEqual([])
    two.tell({ ...bind, config: { shop: 2 } })
    expect(told(one)).toMatchObject([{ config: { shop: 1 } }])
    expect(told(two)).toMatchObject([{ config: { shop: 2 } }])
    two.tell({ type: 'unregistertrigger', id: 't' })
    expect(core.triggers.get(one.connection, 't')).toMatchObject({ config: { shop: 1 } })
  })
})

describe('a trigger type', () => {
  it('is not taken over by somebody of less authority', () => {
    const { core, owner } = startCore()
    const [mine, intruder] = [owner(), guestBeside(core)]
    mine.tell({ type: 'registertriggertype', id: 'orders', description: 'mine' })
    intruder.tell({ type: 'registertriggertype', id: 'orders', description: 'theirs' })
    expect(new Directory(core).triggerTypes(DEFAULT_REALM)).toContainEqual(
      expect.objectContaining({ id: 'orders', description: 'mine' }),
    )
  })
})

describe('registrations', () => {
  it('of one connection are bounded', () => {
    const { core, guest, warnings } = startCore({ limits: { registrationsPerConnection: 10 } })
    const peer = guest()
    for (let n = 0; n < 25; n += 1) peer.register(`f${n}`)
    expect(peer.connection.registrations()).toBe(10)
    expect(warnings).toHaveLength(15)
    peer.close()
    expect([...core.registry.servedFunctions(GUEST_REALM)]).toEqual([])
  })
})

describe('the registrations of one connection', () => {
  it('tells a few of the frames that it drops of one connection, and not all', () => {
    const { core, guest, warnings } = startCore()
    const [flood, other] = [guest(), guest()]
    for (let n = 0; n < 500; n += 1) core.receive(flood.connection, Buffer.from('{"type":'))
    expect(warnings.length).toBeLessThanOrEqual(20)
    expect(warnings.at(-1)).toContain('further ones of this connection are not told')
    const before = warnings.length
    core.receive(other.connection, Buffer.from('{"type":'))
    expect(warnings.length - before, 'of another connection').toBe(1)
  })

  it('are bounded in bytes, and room that was given back can be used again', () => {
    const { core, guest, warnings } = startCore({ limits: { registrationBytes: 2_500 } })
    const peer = guest()
    const big = { request_format: { description: 'x'.repeat(1_000) } }
    for (const id of ['a', 'b', 'c']) peer.register(id, big)
    expect(core.registry.registrations('b', GUEST_REALM)).toHaveLength(1)
    expect(core.registry.registrations('c', GUEST_REALM)).toEqual([])
    expect(warnings.some((text) => text.includes('agentos.limits.registration_bytes'))).toBe(true)
    peer.register('b', big)
    peer.tell({ type: 'unregisterfunction', id: 'a' })
    peer.register('c', big)
    expect(core.registry.registrations('c', GUEST_REALM)).toHaveLength(1)
  })
})
