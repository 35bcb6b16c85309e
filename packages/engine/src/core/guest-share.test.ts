import { describe, expect, it } from 'vitest'
import { installed, type Peer, startCore } from '../../test/peers.ts'
import { createCronModule } from '../modules/cron/module.ts'
import type { GuestBound, GuestLimits } from './guest-share.ts'
import type { Limits } from './limits.ts'

const SLOW = installed('w', [{ id: 'w::slow' }])

function start(guestLimits: Partial<GuestLimits>, limits: Partial<Limits> = {}) {
  const started = startCore({
    guestLimits,
    limits,
    workers: [SLOW],
    modules: [createCronModule()],
  })
  const server = started.worker('w')
  server.register('w::slow')
  const held = (bound: GuestBound): number => started.core.guestShare.heldOf(bound)
  return { ...started, server, held }
}

const schedule = (peer: Peer, id: string): void =>
  peer.tell({
    type: 'registertrigger',
    id,
    trigger_type: 'cron',
    function_id: 'w::slow',
    config: { expression: '@daily' },
  })

const refusalOf = (peer: Peer, id: string) =>
  peer.received.flatMap((frame) =>
    (frame.type === 'functionregistrationresult' || frame.type === 'triggerregistrationresult') && frame.id === id
      ? [frame.error]
      : [],
  )[0]

describe('all guests together', () => {
  it('have so many calls in flight, which count against nobody else', () => {
    const { guest, owner, server, core } = start({ in_flight: 3 }, { inFlightPerRealm: 3 })
    const [one, other, mine] = [guest(), guest(), owner()]
    for (const peer of [one, one, other]) peer.call('w::slow')
    const { error } = other.result(other.call('w::slow'))!
    expect(error).toMatchObject({
      code: 'overloaded',
      message: expect.stringContaining('agentos.guests.limits.in_flight'),
      details: { retryAfterMs: expect.any(Number), setting: 'agentos.guests.limits.in_flight', limit: 3 },
    })
    const calls = [1, 2, 3].map(() => mine.call('w::slow'))
    for (const call of server.served.slice(3)) server.answer(call, 'mine')
    expect(calls.map((id) => mine.result(id)?.result)).toEqual(['mine', 'mine', 'mine'])
    one.close()
    expect(other.code(other.call('w::slow'))).toBeUndefined()
    expect(core.calls.counts().inFlight).toBe(2)
  })

  it('have half of the places of a worker: nobody else waits behind them', () => {
    const { guest, owner, server } = start({}, { inFlightPerWorker: 4 })
    const [one, mine] = [guest(), owner()]
    for (let n = 0; n < 10; n += 1) one.call('w::slow', { data: 'guest' })
    const id = mine.call('w::slow', { data: 'mine' })
    expect(server.served.map(({ data }) => data)).toEqual(['guest', 'guest', 'mine'])
    server.answer(server.served[2]!, 'at once')
    expect(mine.result(id)?.result).toBe('at once')
    expect(server.served).toHaveLength(3)
    server.answer(server.served[0]!)
    expect(server.served.map(({ data }) => data)).toEqual(['guest', 'guest', 'mine', 'guest'])
  })

  it('do not take the places of those that wait', () => {
    const { guest, owner, server } = start({}, { queuedCalls: 2, inFlightPerWorker: 1 })
    const [one, mine] = [guest(), owner()]
    for (let n = 0; n < 5; n += 1) one.call('w::slow')
    const waiting = [1, 2].map(() => mine.call('w::slow'))
    expect(waiting.map((id) => mine.code(id))).toEqual([undefined, undefined])
    expect(mine.code(mine.call('w::slow'))).toBe('overloaded')
    expect(server.served).toHaveLength(1)
  })

  it('wait a minute for the answer to a call that names no deadline; the owner waits on', () => {
    const { guest, owner, time } = start({})
    const [one, mine] = [guest(), owner()]
    const calls = [one.call('w::slow'), one.call('w::slow', { deadline_ms: 90_000 }), mine.call('w::slow')] as const
    time.advance(60_001)
    expect(one.code(calls[0])).toBe('deadline_exceeded')
    expect([one.code(calls[1]), mine.code(calls[2])]).toEqual([undefined, undefined])
  })

  it('have so many registrations, and the owner has others', () => {
    const { guest, owner, held } = start({ registrations: 2 })
    const [one, other, mine] = [guest(), guest(), owner()]
    one.register('one::a')
    schedule(other, 'daily')
    other.register('other::b')
    expect(refusalOf(other, 'other::b')).toMatchObject({
      code: 'quota_exceeded',
      message: expect.stringContaining('agentos.guests.limits.registrations'),
    })
    one.register('one::a')
    expect(refusalOf(one, 'one::a')).toBeUndefined()
    mine.register('mine::c')
    schedule(mine, 'nightly')
    expect([refusalOf(mine, 'mine::c'), refusalOf(mine, 'nightly')]).toEqual([undefined, undefined])
    one.close()
    other.register('other::b')
    expect(held('registrations')).toBe(2)
    other.close()
    expect(held('registrations')).toBe(0)
  })

  it('describe a function in so many bytes, and all of theirs in so many', () => {
    const { guest, owner, held } = start({ registration_bytes: 1_500, described_bytes: 2_500 })
    const [one, mine] = [guest(), owner()]
    const text = (bytes: number) => ({ description: 'x'.repeat(bytes) })
    one.register('one::long', text(1_600))
    expect(refusalOf(one, 'one::long')).toMatchObject({ code: 'payload_too_large' })
    for (const id of ['one::a', 'one::b', 'one::c']) one.register(id, text(1_000))
    expect(refusalOf(one, 'one::b')).toBeUndefined()
    expect(refusalOf(one, 'one::c')).toMatchObject({
      code: 'quota_exceeded',
      message: expect.stringContaining('agentos.guests.limits.described_bytes'),
    })
    one.register('one::a', text(1_000))
    mine.register('mine::long', text(10_000))
    expect([refusalOf(one, 'one::a'), refusalOf(mine, 'mine::long')]).toEqual([undefined, undefined])
    one.tell({ type: 'unregisterfunction', id: 'one::a' })
    one.register('one::c', text(1_000))
    one.close()
    expect(held('described_bytes')).toBe(0)
  })

  it('have so many schedules, which end with their connections', () => {
    const { guest, owner, held } = start({ schedules: 2 })
    const [one, other, mine] = [guest(), guest(), owner()]
    schedule(one, 'a')
    schedule(other, 'b')
    schedule(other, 'c')
    expect(refusalOf(other, 'c')).toMatchObject({
      code: 'quota_exceeded',
      message: expect.stringContaining('agentos.guests.limits.schedules'),
    })
    schedule(one, 'a')
    for (const id of ['d', 'e', 'f']) schedule(mine, id)
    expect(['d', 'e', 'f'].map((id) => refusalOf(mine, id))).toEqual([undefined, undefined, undefined])
    one.close()
    schedule(other, 'c')
    expect(held('schedules')).toBe(2)
    other.close()
    expect(held('schedules')).toBe(0)
  })

  it('leave nothing behind when they go, whatever waited and hung', () => {
    const { guest, core, server, held } = start({}, { inFlightPerWorker: 4 })
    const one = guest()
    for (let n = 0; n < 50; n += 1) one.call('w::slow')
    one.close()
    expect(core.calls.counts()).toMatchObject({ inFlight: 0, waiting: 0 })
    expect(held('in_flight')).toBe(0)
    // What waited was never handed over.
    expect(server.served).toHaveLength(2)
    expect(server.served.every((call) => server.cancelled(call))).toBe(true)
  })
})

it('a list of functions that somebody keeps is not read anew for what another realm registers', () => {
  const { core, guest, owner } = start({})
  const list = (realm: string, since: string) => {
    const peer = owner()
    const { result } = peer.result(peer.call('engine::functions::list', { realm, data: { since } }))!
    peer.close()
    return result as { version: string; unchanged?: true; functions?: { function_id: string }[] }
  }
  const kept = list('realm-other', '')
  const one = guest()
  const before = list('realm-guest', '')
  one.register('one::a')
  expect(list('realm-other', kept.version)).toMatchObject({ unchanged: true })
  expect(list('realm-guest', before.version).functions?.map((row) => row.function_id)).toContain('one::a')
  const after = list('realm-guest', '')
  one.close()
  expect(list('realm-guest', after.version).functions?.map((row) => row.function_id)).not.toContain('one::a')
  expect(core.connections.size).toBe(1)
})
