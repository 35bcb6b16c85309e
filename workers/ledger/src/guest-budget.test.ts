import { beforeEach, describe, expect, it } from 'vitest'
import { deletedBudget } from './budgets.ts'
import type { BudgetRecord } from './entry.ts'
import { Bench } from './ledger.fixture.ts'
import { checkBudgets, listBudgets } from './views.ts'

const GUESTS = { realm: 'realm-guest' }
const DAY = '2026-11-22'
const subject = { ...GUESTS, agent: 'a' }

describe('the budget that guests have by default', () => {
  let bench: Bench
  beforeEach(async () => {
    bench = new Bench()
    await bench.open()
  })

  const listed = () => bench.ledger.decide((book) => listBudgets(book, GUESTS, bench.now).budgets)
  const own = (more: Partial<BudgetRecord> = {}) => bench.budget(1_000_000, { ...GUESTS, ...more })
  const remove = (id: string) => bench.ledger.change((book) => deletedBudget(book, id, GUESTS.realm))
  async function spend(microUsd: number): Promise<void> {
    const { reservation } = await bench.reserve(microUsd, { subject })
    await bench.settle(reservation!, microUsd)
  }

  it('bounds all of them together, a day at a time, and nobody else', async () => {
    await spend(3_000_000)
    await bench.reserve(2_000_000, { subject: { ...GUESTS, agent: 'b' } })
    await bench.reserve(9_000_000)
    await spend(0)
    expect(await listed()).toMatchObject([
      {
        isDefault: true,
        period: 'day',
        periodKey: DAY,
        monthlyCents: 500,
        spentCents: 300,
        reservedMicroUsd: 2_000_000,
      },
    ])
    const check = await bench.ledger.decide((book) => checkBudgets(book, subject, bench.now))
    expect(check).toMatchObject({ allowed: true, limitCents: 500, spentCents: 300 })
    await spend(0)
  })

  it('refuses what does not fit, and says what helps', async () => {
    await spend(5_000_000)
    await expect(bench.reserve(1, { subject })).rejects.toMatchObject({
      code: 'budget_exceeded',
      message: expect.stringMatching(
        /default budget of the realm realm-guest \(\$5.00 per day\).*owner token.*set_budget/,
      ),
    })
    expect(bench.alerts).toMatchObject([{ type: 'hard_limit_reached' }, { type: 'hard_limit_reached' }])
    bench.now += 24 * 3_600_000
    await spend(1)
  })

  it('is there once after each restart, with what is spent of it, and after checkpoints', async () => {
    await spend(3_000_000)
    for (let n = 0; n < 600; n += 1) await spend(1)
    await bench.restart()
    await bench.restart()
    expect(await listed()).toMatchObject([{ isDefault: true, spentMicroUsd: 3_000_600 }])
    expect(await bench.ledger.verify()).toMatchObject({ differences: [] })
  })

  it.each([
    ['of another amount', { limit: 7_000_000, period: 'month' }],
    ['without a limit', { unlimited: true }],
  ] as const)('gives way to the owner’s %s, and comes back when that is removed', async (_, more) => {
    await spend(4_000_000)
    const id = await own(more)
    await spend(2_000_000)
    expect(await listed()).toMatchObject([{ id, isDefault: false, spentMicroUsd: 2_000_000 }])
    await remove(id)
    expect(await listed()).toMatchObject([{ isDefault: true, spentMicroUsd: 4_000_000 }])
    await expect(bench.reserve(1_000_001, { subject, minimum: 1_000_001 })).rejects.toThrow('default')
  })

  it('stands beside those of a guest’s agent', async () => {
    await own({ agent: 'a' })
    expect(await listed()).toMatchObject([{ isDefault: true }, { agentId: 'a', isDefault: false }])
  })

  it('is not removed, but replaced', async () => {
    const { id } = (await listed())[0]!
    await expect(remove(id)).rejects.toMatchObject({ code: 'conflict', message: expect.stringContaining('unlimited') })
    await own()
    await expect(remove(id)).rejects.toMatchObject({ code: 'not_found' })
  })

  it('tells whether an unknown price is of any matter', async () => {
    expect(await bench.reserve(0, { subject })).toMatchObject({ limited: true })
    await own({ unlimited: true })
    expect(await bench.reserve(0, { subject })).toMatchObject({ limited: false })
  })

  it('is what the settings say: nothing for 0, none for null', async () => {
    bench.guestCents = 0
    await bench.restart()
    await expect(bench.reserve(1, { subject })).rejects.toMatchObject({ code: 'budget_exceeded' })
    bench.guestCents = null
    await bench.restart()
    expect(await listed()).toEqual([])
    expect(await bench.reserve(1, { subject })).toMatchObject({ reservation: null })
  })
})
