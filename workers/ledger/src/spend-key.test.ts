import { spend } from '@agentos/contracts/ledger'
import type { Principal } from '@agentos/sdk'
import { describe, expect, it } from 'vitest'
import { spendKey } from './spend-key.ts'

const COST = { agentId: 'ops', costCents: 1, provider: 'p', model: 'm', inputTokens: 0, outputTokens: 0 }
const keyOf = (input: object, principal: Principal, idempotencyKey?: string) => {
  const parsed = spend.input().parse({ ...COST, ...input })
  return spendKey(parsed, { functionId: spend.id, realm: 'r', principal, idempotencyKey }).key
}
const clerk: Principal = { kind: 'system', id: 'clerk' }
const owner: Principal = { kind: 'owner', id: 'owner' }

describe('the key of a cost', () => {
  it('is its caller’s alone, whether the input names it or the call', () => {
    const named = keyOf({ idempotencyKey: 'invoice-7' }, clerk)
    expect(keyOf({}, clerk, 'invoice-7')!.name).toBe(named!.name)
    expect(keyOf({ idempotencyKey: 'invoice-7' }, owner)!.name).not.toBe(named!.name)
    expect(keyOf({ idempotencyKey: 'invoice-8' }, clerk)!.name).not.toBe(named!.name)
  })

  it('stands for one input, and is none where none was given', () => {
    const key = (costCents: number) => keyOf({ costCents, idempotencyKey: 'k' }, clerk)!
    expect(key(1)).toEqual(key(1))
    expect(key(2)).toMatchObject({ name: key(1).name, hash: expect.not.stringMatching(key(1).hash) })
    expect(keyOf({}, clerk)).toBeUndefined()
  })
})
