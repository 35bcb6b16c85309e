import { describe, expect, it } from 'vitest'
import { installed, startCore } from '../../test/peers.ts'
import { DEFAULT_REALM } from './context.ts'

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

  it('of the engine cannot be taken', () => {
    const { core, guest } = startCore()
    guest().register('engine::functions::list')
    expect(core.registry.registrations('engine::functions::list', DEFAULT_REALM)).toEqual([])
  })

  it('that nobody declares goes to the newest, whose predecessor’s end does not remove it', () => {
    const { core, guest } = startCore()
    const [older, newer] = [guest(), guest()]
    older.register('f')
    newer.register('f')
    older.close()
    expect(core.registry.registrations('f', DEFAULT_REALM).map(({ connection }) => connection)).toEqual([
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
    const serving = core.registry.registrations('f', DEFAULT_REALM).map(({ connection }) => connection)
    expect(new Set(serving)).toEqual(new Set([two.connection, again.connection]))
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
    expect([...core.registry.servedFunctions(DEFAULT_REALM)]).toEqual([])
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
    expect(core.registry.registrations('b', DEFAULT_REALM)).toHaveLength(1)
    expect(core.registry.registrations('c', DEFAULT_REALM)).toEqual([])
    expect(warnings.some((text) => text.includes('too many'))).toBe(true)
    peer.register('b', big)
    peer.tell({ type: 'unregisterfunction', id: 'a' })
    peer.register('c', big)
    expect(core.registry.registrations('c', DEFAULT_REALM)).toHaveLength(1)
  })
})
