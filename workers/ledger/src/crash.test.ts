import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Bench } from './ledger.fixture.ts'

const step = fc.oneof(
  { weight: 5, arbitrary: fc.record({ do: fc.constant('reserve' as const), agent: fc.nat(2), hold: fc.nat(60) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('extend' as const), which: fc.nat(9), by: fc.nat(40) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('settle' as const), which: fc.nat(9), share: fc.nat(100) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('release' as const), which: fc.nat(9) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('later' as const), ms: fc.nat(2_000) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('restart' as const) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('fail' as const), when: fc.constantFrom('before', 'after') }) },
)

describe('whatever happens in whatever order', () => {
  it('no budget is passed, and the balances are the sums of the entries', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const bench = new Bench(0)
        await bench.open()
        const limits = new Map([[await bench.budget(200), 200]])
        for (const agent of ['a0', 'a1']) limits.set(await bench.budget(90, { agent }), 90)
        const ids: string[] = []
        const held = (id: string) => bench.ledger.book.reservations.get(id)?.amount ?? 0
        for (const next of steps) {
          const id = 'which' in next ? ids[next.which % Math.max(1, ids.length)] : undefined
          await perform(next, id).catch((error) => {
            expect(['budget_exceeded', 'overloaded', 'conflict', 'engine_lost']).toContain(error.code)
          })
          const { entries, differences } = await bench.ledger.verify()
          expect(differences).toEqual([])
          expect(entries).toBeGreaterThan(0)
          for (const [budget, limit] of limits) {
            const { spent, reserved } = bench.balance(budget)
            expect(reserved).toBeGreaterThanOrEqual(0)
            expect(spent + reserved).toBeLessThanOrEqual(limit)
          }
        }
        // Everything that is still open ends as charged, and nothing stays held.
        bench.heal()
        await bench.ledger.expire()
        bench.now += 10_000
        await bench.ledger.expire()
        for (const budget of limits.keys()) expect(bench.balance(budget).reserved).toBe(0)

        async function perform(next: (typeof steps)[number], id: string | undefined): Promise<unknown> {
          switch (next.do) {
            case 'reserve': {
              const subject = { realm: 'r', agent: `a${next.agent}` }
              const { reservation } = await bench.reserve(next.hold + 1, { subject, minimum: 1, wanted: 500 })
              return reservation && ids.push(reservation)
            }
            case 'extend':
              return id && bench.ledger.extend(id, held(id) + next.by)
            case 'settle':
              return id && bench.settle(id, Math.floor((held(id) * next.share) / 100), next.share > 80)
            case 'release':
              return id && bench.ledger.release({ id })
            case 'later':
              bench.now += next.ms
              return bench.ledger.expire()
            case 'restart':
              return bench.restart()
            case 'fail':
              return bench.fail(next.when as 'before' | 'after')
          }
        }
      }),
      { numRuns: 150 },
    )
  }, 60_000)

  it('a call that was refused did not fit; one that did is held even when twenty ask at once', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 20, maxLength: 20 }), async (costs) => {
        const bench = new Bench()
        await bench.open()
        const budget = await bench.budget(400)
        await Promise.all(
          costs.map(async (cost) => {
            const call = bench.reserve(cost, { minimum: cost }).catch((error) => error.code as string)
            const held = await call
            if (typeof held !== 'string') await bench.settle(held.reservation!, cost)
            else {
              expect(held).toBe('budget_exceeded')
              expect(400 - bench.balance(budget).spent).toBeLessThan(cost)
            }
          }),
        )
        const total = costs.reduce((sum, cost) => sum + cost, 0)
        const { spent, reserved } = bench.balance(budget)
        expect(reserved).toBe(0)
        expect(spent).toBeLessThanOrEqual(400)
        // What is left would not have paid the dearest call that was refused.
        if (total > 400) expect(spent).toBeGreaterThan(400 - Math.max(...costs))
        else expect(spent).toBe(total)
      }),
      { numRuns: 50 },
    )
  })

  it('balances of windows that are over are forgotten at a checkpoint, and their entries are kept', async () => {
    const bench = new Bench()
    await bench.open()
    await bench.budget(100, { period: 'hour' })
    const spend = { subject: { realm: 'r' }, purpose: { provider: 'p', model: 'm' }, microUsd: 1, input: 1, output: 1 }
    for (let n = 0; n < 505; n++) {
      await bench.ledger.spend(spend)
      bench.now += 3_600_000
    }
    expect(bench.ledger.book.balances.size).toBeLessThan(10)
    expect(await bench.ledger.verify()).toMatchObject({ entries: 506, differences: [] })
  })

  it('a start reads on from the checkpoint', async () => {
    const bench = new Bench()
    await bench.open()
    const budget = await bench.budget(1_000_000)
    for (let n = 0; n < 300; n++) await bench.settle((await bench.reserve(10)).reservation!, 7)
    const checkpoint = bench.state.records.get('ledger-checkpoint\nhead')!.value
    expect(checkpoint).toMatchObject({ sequence: 500 })
    await bench.restart()
    expect(bench.ledger.book.sequence).toBe(601)
    expect(bench.balance(budget)).toEqual({ reserved: 0, spent: 2_100 })
    expect(await bench.ledger.verify()).toMatchObject({ entries: 601, differences: [] })
  })
})
