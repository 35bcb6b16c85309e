import { randomBytes } from 'node:crypto'
import { StateDouble, type StateRecord } from '@agentos/testing'
import { describe, expect, it } from 'vitest'
import { AuditChain } from './audit-chain.ts'
import { type AuditEntry, type AuditEvent, DETAIL_BYTES, entryKey, GENESIS } from './audit-entry.ts'
import type { AuditKeys } from './audit-key.ts'
import { OWNED } from './owned.fixture.ts'

const keys: AuditKeys = [{ id: 'k1', secret: randomBytes(32) }]
const event = (type: string, detail: unknown = {}): AuditEvent => ({
  type,
  agentId: null,
  actor: { kind: 'owner', id: 'owner' },
  realm: 'realm-default',
  detail,
})
const at = (sequence: number) => `audit\n${entryKey(sequence)}`

async function chainOf(count: number) {
  const state = new StateDouble({ scopes: OWNED })
  const chain = new AuditChain(state.client, keys)
  for (let i = 1; i <= count; i++) await chain.append(event(`e${i}`))
  return { state, chain }
}

describe('appending', () => {
  it('links entries by sequence and hash', async () => {
    const { state, chain } = await chainOf(3)
    const entries = [1, 2, 3].map((n) => state.records.get(at(n))!.value as AuditEntry)
    expect(entries.map(({ sequence, type }) => [sequence, type])).toEqual([
      [1, 'e1'],
      [2, 'e2'],
      [3, 'e3'],
    ])
    expect(entries.map(({ prevHash }) => prevHash)).toEqual([GENESIS, entries[0]!.hash, entries[1]!.hash])
    expect(await chain.verify()).toEqual({ valid: true, entries: 3, violations: [], keyId: 'k1' })
  })

  it('keeps one chain under concurrent writers', async () => {
    const { chain } = await chainOf(0)
    const entries = await Promise.all(Array.from({ length: 300 }, (_, i) => chain.append(event(`e${i}`))))
    expect(entries.map(({ sequence }) => sequence)).toEqual(Array.from({ length: 300 }, (_, i) => i + 1))
    expect(await chain.verify()).toMatchObject({ valid: true, entries: 300 })
  })

  it('keeps one chain when two processes write: who comes second fails, and goes on from there', async () => {
    const { state, chain } = await chainOf(2)
    const other = new AuditChain(state.client, keys)
    const results = await Promise.allSettled(
      Array.from({ length: 40 }, (_, i) => (i % 2 ? chain : other).append(event(`e${i}`))),
    )
    expect(results.some(({ status }) => status === 'rejected')).toBe(true)
    for (const writer of [other, chain, other]) await writer.append(event('after')).catch(() => {})
    await new AuditChain(state.client, keys).append(event('last'))
    expect(await chain.verify()).toMatchObject({ valid: true, violations: [] })
  })

  it('takes over an entry whose writer died before the head moved', async () => {
    const { state, chain } = await chainOf(2)
    state.intercept(async (id) => {
      if (id === 'state::set' && state.records.has(at(3))) throw new Error('killed')
    })
    await expect(chain.append(event('e3'))).rejects.toThrow('killed')
    state.intercept(undefined)
    const next = new AuditChain(state.client, keys)
    expect(await next.verify()).toMatchObject({ valid: true, entries: 2 })
    expect((await next.append(event('e4'))).sequence).toBe(4)
    expect(await next.verify()).toMatchObject({ valid: true, entries: 4 })
  })

  it('does not take over a forged entry beyond the head', async () => {
    const { state } = await chainOf(2)
    const forged = { ...(state.records.get(at(2))!.value as AuditEntry), sequence: 3 }
    state.records.set(at(3), { value: forged, version: 1, seq: 0 })
    await expect(new AuditChain(state.client, keys).append(event('e3'))).rejects.toMatchObject({ code: 'internal' })
  })

  it('redacts secrets and bounds the detail', async () => {
    const { chain } = await chainOf(0)
    const secret = await chain.append(event('e', { password: 'hunter2', note: `sk-${'a'.repeat(30)}` }))
    expect(JSON.stringify(secret)).not.toMatch(/hunter2|sk-a/)
    const large = await chain.append(event('e', { text: 'x'.repeat(DETAIL_BYTES) }))
    expect(large.detail).toMatchObject({ truncated: true, bytes: DETAIL_BYTES + 11 })
    expect(await chain.verify()).toMatchObject({ valid: true })
  })
})

describe('verification', () => {
  const tampering: [string, (records: Map<string, StateRecord>) => void, RegExp][] = [
    ['a changed field', (r) => change(r, 2, { type: 'other' }), /2 does not fit its hash/],
    ['a changed actor', (r) => change(r, 2, { actor: { kind: 'guest', id: 'x' } }), /2 does not fit its hash/],
    ['a missing entry', (r) => r.delete(at(2)), /missing/],
    ['a missing first entry', (r) => r.delete(at(1)), /missing/],
    ['a cut tail', (r) => r.delete(at(4)), /names 4 entries, the chain ends at 3/],
    [
      'an emptied log',
      (r) => {
        for (const sequence of [1, 2, 3, 4]) r.delete(at(sequence))
      },
      /names 4 entries, the chain ends at 0/,
    ],
    ['an entry that cannot be read', (r) => r.set(at(3), { value: 'noise', version: 1, seq: 0 }), /cannot be read/],
    [
      'two entries that changed places',
      (r) => {
        const [two, three] = [r.get(at(2))!, r.get(at(3))!]
        r.set(at(2), three).set(at(3), two)
      },
      /out of order/,
    ],
    [
      'a changed head',
      (r) => Object.assign(r.get('audit-head\nhead')!.value as object, { sequence: 3 }),
      /The head does not fit/,
    ],
    ['an unknown key', (r) => change(r, 2, { keyId: 'other' }), /key other, which is not here/],
  ]

  it.each(tampering)('finds %s', async (_, tamper, violation) => {
    const { state, chain } = await chainOf(4)
    tamper(state.records)
    const result = await chain.verify()
    expect(result.valid).toBe(false)
    expect(result.violations.join('\n')).toMatch(violation)
  })

  it('reads entries of a key that was replaced as long as it is there', async () => {
    const { state } = await chainOf(2)
    const renewed: AuditKeys = [{ id: 'k2', secret: randomBytes(32) }, ...keys]
    const chain = new AuditChain(state.client, renewed)
    await chain.append(event('e3'))
    expect(await chain.verify()).toMatchObject({ valid: true, entries: 3, keyId: 'k2' })
    expect((await new AuditChain(state.client, [renewed[0]]).verify()).valid).toBe(false)
  })

  it('names the key that another installation sealed with, once, and where it belongs', async () => {
    const { state } = await chainOf(3)
    const here: AuditKeys = [{ id: 'k2', secret: randomBytes(32) }]
    const { valid, violations } = await new AuditChain(state.client, here).verify()
    expect(valid).toBe(false)
    expect(violations[0]).toMatch(/^3 entries were sealed with the key k1, which is not here: .*AUDIT_HMAC_KEY/)
    expect(violations.filter((text) => /Entry/.test(text))).toEqual([])
    expect(await new AuditChain(state.client, [...here, ...keys]).verify()).toMatchObject({ valid: true })
  })

  it('is not disturbed by entries that are written meanwhile', async () => {
    const { chain } = await chainOf(600)
    const [result] = await Promise.all([chain.verify(), ...Array.from({ length: 50 }, () => chain.append(event('e')))])
    expect(result.valid).toBe(true)
  })
})

function change(records: Map<string, StateRecord>, sequence: number, fields: object): void {
  Object.assign(records.get(at(sequence))!.value as object, fields)
}
