import { describe, expect, it } from 'vitest'
import { TestHost } from '../../../test/host.ts'
import { GUEST_REALM } from '../../core/context.ts'
import { createStateModule } from './module.ts'

const GUEST = { kind: 'guest', realm: GUEST_REALM } as const
const OWNER = { kind: 'owner', realm: GUEST_REALM } as const
const text = (length: number): string => 'x'.repeat(length)

function start(guestLimits: object, disk?: TestHost['store']['disk']): TestHost {
  const host = new TestHost([createStateModule()], { guestLimits, ...(disk ? { disk } : {}) })
  host.time.advance(0)
  return host
}

const set = (host: TestHost, key: string, length: number, as: object = GUEST) =>
  host.call('state::set', { scope: 's', key, value: text(length) }, as)

describe('the state of the guests’ realm', () => {
  it('has so many bytes for guests; the owner writes beside them', () => {
    const host = start({ state_bytes: 1_000 })
    expect(set(host, 'a', 600)).toMatchObject({ ok: true })
    expect(set(host, 'b', 600)).toMatchObject({
      ok: false,
      error: { code: 'quota_exceeded', message: expect.stringContaining('agentos.guests.limits.state_bytes') },
    })
    expect(set(host, 'b', 600, { kind: 'owner' })).toMatchObject({ ok: true })
    expect(set(host, 'c', 600, OWNER)).toMatchObject({ ok: true })
    expect(set(host, 'a', 100)).toMatchObject({ ok: true })
    host.call('state::delete', { scope: 's', key: 'c' }, OWNER)
    expect(set(host, 'b', 600)).toMatchObject({ ok: true })
  })

  it('is counted again at a start, and what expired counts no more', () => {
    const before = start({ state_bytes: 1_000 })
    before.call('state::set', { scope: 's', key: 'a', value: text(600), ttlMs: 3_600_000 }, GUEST)
    const host = start({ state_bytes: 1_000 }, before.store.disk)
    expect(host.core.guestShare.heldOf('state_bytes')).toBe(603)
    host.time.advance(3_600_001)
    expect(set(host, 'b', 600)).toMatchObject({ ok: false })
    host.time.advance(0)
    expect(set(host, 'b', 600)).toMatchObject({ ok: true })
  })

  it('takes so many bytes at once to the disk', () => {
    const host = start({ writing_bytes: 1_000 })
    const first = host.start('state::set', { scope: 's', key: 'a', value: text(600) }, GUEST)
    const second = host.start('state::set', { scope: 's', key: 'b', value: text(600) }, GUEST)
    const mine = host.start('state::set', { scope: 's', key: 'c', value: text(600) }, OWNER)
    expect(second).toMatchObject([{ ok: false, error: { code: 'overloaded' } }])
    host.time.advance(0)
    expect([first, mine]).toMatchObject([[{ ok: true }], [{ ok: true }]])
    expect(set(host, 'b', 600)).toMatchObject({ ok: true })
    expect(host.core.guestShare.heldOf('writing_bytes')).toBe(0)
  })
})
