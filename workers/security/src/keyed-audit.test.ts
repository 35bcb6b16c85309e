import { randomBytes } from 'node:crypto'
import type { HandlerContext } from '@agentos/sdk'
import { StateDouble } from '@agentos/testing'
import { beforeEach, describe, expect, it } from 'vitest'
import { AuditChain } from './audit-chain.ts'
import type { AuditKeys } from './audit-key.ts'
import { check, replace } from './capabilities.ts'
import { auditOnce } from './keyed-audit.ts'
import { OWNED } from './owned.fixture.ts'

const keys: AuditKeys = [{ id: 'k1', secret: randomBytes(32) }]
const EVENT = { type: 'test', agentId: null, actor: { kind: 'owner' as const, id: 'o' }, realm: 'r', detail: {} }

let state: StateDouble
let chain: AuditChain
beforeEach(async () => {
  state = new StateDouble({ scopes: OWNED })
  chain = new AuditChain(state.client, keys)
  await chain.append({ ...EVENT, type: 'before' })
})

const call = (functionId: string, idempotencyKey?: string) =>
  ({
    ...{ functionId, idempotencyKey, realm: 'r', principal: EVENT.actor, state: state.client },
    log: { error: () => {} },
  }) as unknown as HandlerContext
const append = (key?: string) => auditOnce(chain, call('security::audit', key), { type: 'test' }, EVENT)
const types = () =>
  [...state.records].flatMap(([key, { value }]) => (key.startsWith('audit\n') ? [(value as typeof EVENT).type] : []))

describe('an audit entry under a key', () => {
  it('is appended once, and each time without one', async () => {
    const [first, second] = await Promise.all([append('k'), append('k')])
    expect(second).toEqual(first)
    expect(await append('k')).toEqual(first)
    expect(types()).toEqual(['before', 'test'])
    await append()
    await append()
    expect(types()).toHaveLength(4)
  })

  it('is one of a guest no more than so often a minute', async () => {
    const event = { ...EVENT, actor: { kind: 'guest' as const, id: 'guest' } }
    const entries = await Promise.allSettled(
      Array.from({ length: 70 }, () => auditOnce(chain, call('security::audit'), { type: 'test' }, event)),
    )
    const refused = entries.filter(({ status }) => status === 'rejected')
    expect(refused).toHaveLength(10)
    expect(refused[0]).toMatchObject({
      reason: { code: 'rate_limited', details: { retryAfterMs: expect.any(Number) } },
    })
    await append()
    expect(types()).toHaveLength(62)
  })

  it.each([1, 2, 3])('is appended once where the process was killed after write %d of it', async (writes) => {
    let left = writes
    state.intercept((id) => {
      if (id !== 'state::set') return
      if (left === 0) throw new Error('killed')
      left -= 1
    })
    // The last write only remembers the answer: it may be lost without anybody's noticing.
    await append('k').catch(() => {})
    state.intercept(undefined)
    chain = new AuditChain(state.client, keys)
    await chain.append({ ...EVENT, type: 'other' })
    const again = await append('k')
    expect(types().filter((type) => type === 'test')).toHaveLength(1)
    expect(await append('k')).toEqual(again)
    expect(await chain.verify()).toMatchObject({ valid: true, entries: 3 })
  })
})

describe('a call that comes again', () => {
  it('to check a capability is refused again and audited once', async () => {
    const refused = () => check({ agentId: 'a', resource: 'x::y' }, call('security::check_capability', 'k'), chain)
    for (let n = 0; n < 3; n += 1) await expect(refused()).rejects.toMatchObject({ code: 'forbidden' })
    expect(types()).toEqual(['before', 'capability_denied'])
  })

  it('to replace capabilities of an expected version is done, not a conflict', async () => {
    const input = { agentId: 'a', capabilities: { tools: ['x::*'] }, expectedVersion: 0 }
    const set = () => replace(input, call('security::set_capabilities', 'k'), chain)
    // Killed when the record is written and the audit entry is not.
    let writes = 0
    state.intercept((id) => {
      if (id === 'state::set' && ++writes > 2) throw new Error('killed')
    })
    await expect(set()).rejects.toThrow('killed')
    state.intercept(undefined)
    chain = new AuditChain(state.client, keys)
    expect(await set()).toEqual({ updated: true })
    expect(await set()).toEqual({ updated: true })
    expect(types()).toEqual(['before', 'capabilities_updated'])
    const other = replace(input, call('security::set_capabilities', 'other'), chain)
    await expect(other).rejects.toMatchObject({ code: 'version_conflict' })
  })
})
