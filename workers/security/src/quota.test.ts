import { StateDouble } from '@agentos/testing'
import { describe, expect, it } from 'vitest'
import { OWNED } from './owned.fixture.ts'
import { countTokens, HOUR_MS, readUsage } from './quota.ts'

describe('the hourly quota', () => {
  const now = 10 * HOUR_MS + 5

  it('counts every addition, also at the same time', async () => {
    const { client } = new StateDouble({ scopes: OWNED })
    await Promise.all(Array.from({ length: 5 }, () => countTokens(client, 'a', 10, now)))
    expect(await readUsage(client, 'a', now)).toEqual({ used: 50, resetsAt: 11 * HOUR_MS })
  })

  it('begins anew with each clock hour and is kept per agent', async () => {
    const { client } = new StateDouble({ scopes: OWNED })
    await countTokens(client, 'a', 10, now)
    expect(await readUsage(client, 'b', now)).toMatchObject({ used: 0 })
    expect(await readUsage(client, 'a', now + HOUR_MS)).toEqual({ used: 0, resetsAt: 12 * HOUR_MS })
    expect(await countTokens(client, 'a', 3, now + HOUR_MS)).toEqual({ used: 3, resetsAt: 12 * HOUR_MS })
  })

  it('counts a key once: at the same time, an hour later, and where the answer of the write was lost', async () => {
    const state = new StateDouble({ scopes: OWNED })
    const first = { used: 10, resetsAt: 11 * HOUR_MS }
    const both = await Promise.all([1, 2].map(() => countTokens(state.client, 'a', 10, now, 'k')))
    expect(both).toEqual([first, first])
    expect(await countTokens(state.client, 'a', 10, now + HOUR_MS, 'k')).toEqual(first)
    expect(await readUsage(state.client, 'a', now)).toEqual(first)
    await expect(countTokens(state.client, 'a', 11, now, 'k')).rejects.toMatchObject({ code: 'key_reused' })

    state.whenStored(() => {
      throw new Error('killed after the write')
    })
    await expect(countTokens(state.client, 'a', 5, now, 'k2')).rejects.toThrow('killed')
    state.whenStored(undefined)
    expect(await countTokens(state.client, 'a', 5, now, 'k2')).toMatchObject({ used: 15 })
    expect(await readUsage(state.client, 'a', now)).toMatchObject({ used: 15 })
  })

  it('forgets keys: the oldest of many, and those of yesterday', async () => {
    const { client, records } = new StateDouble({ scopes: OWNED })
    const known = () => (records.get('metering\na')!.value as { known?: unknown[] }).known ?? []
    for (let n = 0; n < 200; n += 1) await countTokens(client, 'a', 1, now, `k${n}`)
    expect(known()).toHaveLength(128)
    await countTokens(client, 'a', 1, now + 30 * HOUR_MS, 'late')
    expect(known()).toHaveLength(1)
  })
})
