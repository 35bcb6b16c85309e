import { describe, expect, it } from 'vitest'
import { GUEST_ENTRIES_A_MINUTE, GuestAllowance } from './guest-allowance.ts'

const GUEST = { actor: { kind: 'guest' as const, id: 'guest' }, realm: 'realm-guest' }
const TOPIC = { actor: { kind: 'topic' as const, id: 'audit' } as const, realm: 'realm-guest' }

describe('audit entries of guests', () => {
  it('are so many a minute; those of the owner, and of workers that serve guests, are never too many', () => {
    let now = 5_000
    const allowance = new GuestAllowance(() => now)
    for (let n = 0; n < GUEST_ENTRIES_A_MINUTE; n += 1) allowance.take(GUEST)
    now += 20_000
    const refusal = { code: 'rate_limited', details: { retryAfterMs: 40_000 } }
    expect(() => allowance.take(GUEST)).toThrow(expect.objectContaining(refusal))
    expect(() => allowance.take(TOPIC)).toThrow(expect.objectContaining(refusal))
    allowance.take({ ...TOPIC, realm: 'realm-default' })
    allowance.take({ ...GUEST, worker: 'approval' })
    allowance.take({ actor: { kind: 'owner', id: 'owner' }, realm: 'realm-guest' })
    now += 40_000
    allowance.take(GUEST)
  })
})
