import { InvocationError } from '@agentos/sdk'
import { MAX_VALUE_BYTES } from '@agentos/testing'
import { beforeEach, describe, expect, it } from 'vitest'
import { Bench } from './ledger.fixture.ts'
import { summarize } from './views.ts'

const DAY_MS = 86_400_000
const SCOPE = 'ledger-checkpoint\n'

let bench: Bench
beforeEach(async () => {
  bench = new Bench()
  await bench.open()
})

const spend = (mission: string, agent = 'a') =>
  bench.ledger.spend({
    subject: { realm: 'r', agent },
    purpose: { provider: 'p', model: 'm', mission },
    microUsd: 3,
    input: 1,
    output: 1,
  })
const summary = (groupBy: 'day' | 'agent' | 'model' | 'mission') => summarize(bench.ledger.book, 'r', { groupBy })

/** Entries that a start reads. */
async function readAtStart(): Promise<number> {
  let first: string | undefined
  bench.state.intercept((id, { after }) => {
    if (id === 'state::entries') first ??= String(after ?? 0)
  })
  await bench.restart()
  bench.state.intercept(undefined)
  return bench.ledger.book.sequence - Number(first)
}

describe('a checkpoint', () => {
  it('is written however much was spent on whatever, and no value of it is too large', async () => {
    const total = 16_000
    for (let n = 0; n < total; n++) {
      await spend(`mission ${n} ${'x'.repeat(200)}`)
      if (n % 100 === 0) bench.now += DAY_MS
    }
    const before = summary('model')
    expect(before).toMatchObject({ totalMicroUsd: 3 * total, eventCount: total })
    expect(await readAtStart()).toBeLessThan(1_000)
    for (const [key, { value }] of bench.state.records) {
      if (key.startsWith(SCOPE)) expect(JSON.stringify(value).length, key).toBeLessThan(MAX_VALUE_BYTES / 2)
    }
    expect(summary('model')).toEqual(before)
    expect(bench.ledger.book.daily.size).toBeLessThan(15_000)
    expect(await bench.ledger.verify()).toMatchObject({ entries: total, differences: [] })
  }, 120_000)

  it('that cannot be written is told, tried again soon, and costs nothing but reading', async () => {
    bench.state.intercept((id, { scope }) => {
      if (id !== 'state::set' || scope !== 'ledger-checkpoint') return
      throw new InvocationError({ code: 'disk_full', message: 'No space is left' })
    })
    for (let n = 0; n < 500; n++) await spend('m')
    expect(bench.problems).toMatchObject([{ code: 'disk_full' }])
    expect((await bench.ledger.verify()).checkpoint).toEqual({
      sequence: 0,
      behind: 500,
      problem: expect.stringContaining('No space is left'),
    })
    for (let n = 0; n < 50; n++) await spend('m')
    expect(bench.problems).toHaveLength(2)
    bench.heal()
    for (let n = 0; n < 50; n++) await spend('m')
    expect(bench.problems.slice(2)).toEqual([undefined])
    expect((await bench.ledger.verify()).checkpoint).toEqual({ sequence: 600, behind: 0, problem: null })
    expect(await readAtStart()).toBe(0)
  })

  it('is whole or the one before, wherever the process dies while it is written', async () => {
    for (let n = 0; n < 1_200; n++) await spend(`mission ${n} ${'x'.repeat(200)}`)
    for (let deaths = 0; deaths < 4; deaths++) {
      let left = deaths
      bench.state.whenStored((_id, { scope }) => {
        if (scope === 'ledger-checkpoint' && left-- === 0) throw new Error('killed')
      })
      const { sequence } = bench.ledger.book
      for (let n = 0; n < 500; n++) await spend('m')
      bench.heal()
      expect(await readAtStart()).toBeLessThanOrEqual(1_000)
      expect(summary('model')).toMatchObject({ eventCount: sequence + 500, totalMicroUsd: 3 * (sequence + 500) })
    }
  })

  it('of which a part is gone is not used: the entries say everything again', async () => {
    for (let n = 0; n < 500; n++) await spend('m')
    bench.state.records.delete(`${SCOPE}part/a/0`)
    expect(await readAtStart()).toBe(500)
    expect(summary('mission').groups).toMatchObject([{ key: 'm', events: 500 }])
  })

  it('of an earlier version is read', async () => {
    for (let n = 0; n < 10; n++) await spend('m')
    bench.state.answer('state::set', { scope: 'ledger-checkpoint', key: 'head', value: bench.ledger.book.snapshot() })
    expect(await readAtStart()).toBe(0)
    expect(summary('agent')).toMatchObject({ eventCount: 10 })
  })

  it('tells old days less finely where there are very many sums, and loses nothing of them', async () => {
    const agents = (n: number) => `agent-${n % 40}`
    for (let n = 0; n < 12_500; n++) {
      await spend(`mission-${n}`, agents(n))
      if (n % 25 === 24) bench.now += DAY_MS
    }
    expect(bench.ledger.book.daily.size).toBeLessThanOrEqual(10_000)
    expect(summary('agent').groups).toHaveLength(40)
    expect(summary('day').eventCount).toBe(12_500)
    const recent = summarize(bench.ledger.book, 'r', {
      groupBy: 'mission',
      from: new Date(bench.now - 30 * DAY_MS).toISOString().slice(0, 10),
    })
    expect(recent.groups).toHaveLength(30 * 25)
  }, 120_000)
})
