import { InvocationError } from '@agentos/sdk'
import { beforeEach, describe, expect, it } from 'vitest'
import { Bench, never, REALM } from './ledger.fixture.ts'

describe('the ledger', () => {
  let bench: Bench
  beforeEach(async () => {
    bench = new Bench()
    await bench.open()
  })

  it('holds in every budget that applies or in none, and books the true cost in all of them', async () => {
    const realm = await bench.budget(1_000)
    const agent = await bench.budget(300, { agent: 'a' })
    const other = await bench.budget(300, { agent: 'b' })
    const { reservation } = await bench.reserve(200, { subject: { realm: 'r', agent: 'a' } })
    for (const id of [realm, agent]) expect(bench.balance(id)).toEqual({ reserved: 200, spent: 0 })
    expect(bench.balance(other)).toEqual({ reserved: 0, spent: 0 })
    await bench.settle(reservation!, 50)
    for (const id of [realm, agent]) expect(bench.balance(id)).toEqual({ reserved: 0, spent: 50 })

    const tooMuch = bench.reserve(400, { minimum: 400, subject: { realm: 'r', agent: 'a' } })
    await expect(tooMuch).rejects.toMatchObject({ code: 'budget_exceeded', details: { budgetId: agent } })
    expect(bench.balance(realm)).toEqual({ reserved: 0, spent: 50 })
  })

  it('asks for no reservation where no budget applies', async () => {
    await bench.budget(10, { agent: 'a' })
    expect(await bench.reserve(100)).toMatchObject({ reservation: null })
  })

  it('holds what is left where that pays the input and one token, and refuses where it does not', async () => {
    await bench.budget(100)
    const { reservation, held, affordable } = await bench.reserve(500, { minimum: 60 })
    expect([held, affordable]).toEqual([100, 100])
    await bench.settle(reservation!, 41)
    await expect(bench.reserve(500, { minimum: 60 })).rejects.toMatchObject({ code: 'budget_exceeded' })
  })

  it('says what could be held beyond what is held at first', async () => {
    await bench.budget(1_000)
    expect(await bench.reserve(100, { wanted: 5_000 })).toMatchObject({ held: 100, affordable: 1_000 })
  })

  it('lets a call wait while others hold what it lacks, in order, and serves it when they settle', async () => {
    await bench.budget(100)
    const first = await bench.reserve(80)
    const order: string[] = []
    const arrived = async (name: string, hold: number) => {
      const held = await bench.reserve(hold)
      order.push(name)
      return held
    }
    const big = arrived('big', 90)
    const small = arrived('small', 10)
    await bench.ledger.decide(() => {})
    expect(order).toEqual([])
    await bench.settle(first.reservation!, 5)
    const served = await big
    expect(served).toMatchObject({ held: 90 })
    await bench.settle(served.reservation!, 1)
    await small
    expect(order).toEqual(['big', 'small'])
  })

  it('refuses at once what would not fit even if everybody gave everything back', async () => {
    await bench.budget(100)
    await bench.settle((await bench.reserve(50)).reservation!, 50)
    await bench.reserve(50)
    await expect(bench.reserve(60, { minimum: 51 })).rejects.toMatchObject({ code: 'budget_exceeded' })
  })

  it('gives up waiting after a while, with an error that may be tried again', async () => {
    bench = new Bench(5)
    await bench.budget(100)
    await bench.reserve(100)
    await expect(bench.reserve(50)).rejects.toMatchObject({ code: 'overloaded', details: { retryAfterMs: 1_000 } })
  })

  it('forgets a waiting call that is cancelled', async () => {
    await bench.budget(100)
    const first = await bench.reserve(100)
    const controller = new AbortController()
    const waiting = bench.ledger.reserve(bench.request(100), controller.signal)
    controller.abort(new Error('gone'))
    await expect(waiting).rejects.toThrow('gone')
    await bench.ledger.release({ id: first.reservation! })
    expect(await bench.reserve(100)).toMatchObject({ held: 100 })
  })

  it('gives back what was held for a call that was cancelled meanwhile, by its key too', async () => {
    const id = await bench.budget(100)
    const controller = new AbortController()
    bench.state.whenStored(() => {
      bench.heal()
      controller.abort(new Error('gone'))
    })
    const call = bench.ledger.reserve(bench.request(40), controller.signal)
    await expect(call).rejects.toThrow('gone')
    await bench.ledger.decide(() => {})
    await bench.ledger.decide(() => {})
    expect(bench.balance(id)).toEqual({ reserved: 0, spent: 0 })

    const request = bench.request(40)
    await bench.ledger.reserve(request, never)
    await bench.ledger.release({ key: request.key })
    await bench.ledger.release({ key: 'of nothing' })
    expect(bench.balance(id)).toEqual({ reserved: 0, spent: 0 })
  })

  it('serves what waits when the budget is raised', async () => {
    await bench.budget(100)
    await bench.reserve(100)
    const waiting = bench.reserve(50)
    const budget = [...bench.ledger.book.budgets.values()][0]!
    await bench.ledger.change(() => ({ kind: 'budget', lines: [], budget: { ...budget, limit: 200, version: 2 } }))
    expect(await waiting).toMatchObject({ held: 50 })
  })

  it('extends as far as there is room, and never waits for it', async () => {
    const id = await bench.budget(100)
    const { reservation } = await bench.reserve(40)
    const whole = { held: 70, exhausted: null }
    expect(await bench.ledger.extend(reservation!, 70)).toEqual(whole)
    expect(await bench.ledger.extend(reservation!, 70)).toEqual(whole)
    await bench.reserve(20)
    expect(await bench.ledger.extend(reservation!, 500)).toMatchObject({ held: 80, exhausted: { limitMicroUsd: 100 } })
    expect(bench.balance(id).reserved).toBe(100)
  })

  it('puts on disk together what is decided while a commit is under way, and tells nobody before', async () => {
    const id = await bench.budget(1_000)
    const first = Promise.withResolvers<void>()
    const writes: unknown[] = []
    bench.state.intercept(async (functionId, { key }) => {
      if (functionId !== 'state::set') return
      writes.push(key)
      await first.promise
    })
    const told: string[] = []
    const reserved = [1, 2, 3].map((n) => bench.reserve(10).then(() => told.push(`reserve ${n}`)))
    const read = bench.ledger.decide((book) => book.balance({ budget: id, window: 'total' }).reserved)
    void read.then(() => told.push('read'))
    await expect.poll(() => bench.balance(id).reserved).toBe(30)
    expect([writes.length, told]).toEqual([1, []])
    first.resolve()
    await Promise.all(reserved)
    expect(await read).toBe(30)
    expect(told).toHaveLength(4)
    expect(await bench.ledger.verify()).toMatchObject({ entries: 4, differences: [] })
  })

  it.each(['before', 'after'] as const)(
    'decides nothing on entries of which it is not known whether they are stored (lost %s)',
    async (when) => {
      const id = await bench.budget(100)
      const gate = Promise.withResolvers<void>()
      const lose = () => {
        bench.heal()
        throw new InvocationError({ code: 'engine_lost', message: `${when} it was stored` })
      }
      bench.state.intercept(async (functionId) => {
        if (functionId !== 'state::set') return
        await gate.promise
        if (when === 'before') lose()
      })
      if (when === 'after') bench.state.whenStored(lose)
      const first = bench.reserve(60)
      await expect.poll(() => bench.balance(id).reserved).toBe(60)
      const second = bench.reserve(30)
      await expect.poll(() => bench.balance(id).reserved).toBe(90)
      // It does not fit beside the other two, and waits.
      const third = bench.reserve(40)
      gate.resolve()
      const outcomes = await Promise.allSettled([first, second, third])
      expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'fulfilled'])
      for (const outcome of outcomes.slice(0, 2)) expect(outcome).toMatchObject({ reason: { code: 'engine_lost' } })
      const stored = when === 'before' ? 0 : 60
      expect(outcomes[2]).toMatchObject({ value: { held: 40 } })
      expect(bench.balance(id).reserved).toBe(stored + 40)
      expect(await bench.ledger.verify()).toMatchObject({ differences: [] })
      const balance = bench.balance(id)
      await bench.restart()
      expect(bench.balance(id)).toEqual(balance)
    },
  )

  it('counts a repeated reserve, settle and release once', async () => {
    const id = await bench.budget(100)
    const request = bench.request(40)
    const once = await bench.ledger.reserve(request, never)
    expect(await bench.ledger.reserve(request, never)).toEqual(once)
    await bench.settle(once.reservation!, 30)
    expect(await bench.settle(once.reservation!, 99)).toMatchObject({ spent: 30 })
    expect(bench.balance(id)).toEqual({ reserved: 0, spent: 30 })
    const other = await bench.reserve(10)
    await bench.ledger.release({ id: other.reservation! })
    await bench.ledger.release({ id: other.reservation! })
    expect(bench.balance(id)).toEqual({ reserved: 0, spent: 30 })
  })

  it('books all that was held once its holder is silent, and takes the true cost where that comes late', async () => {
    const id = await bench.budget(100)
    const { reservation } = await bench.reserve(40)
    bench.now += 900
    await bench.ledger.extend(reservation!, 0)
    bench.now += 900
    await bench.ledger.expire()
    expect(bench.balance(id)).toEqual({ reserved: 40, spent: 0 })
    bench.now += 200
    await bench.ledger.expire()
    expect(bench.balance(id)).toEqual({ reserved: 0, spent: 40 })
    expect(bench.ledger.book.reservations.get(reservation!)?.state).toBe('maybe_charged')
    await bench.settle(reservation!, 12)
    expect(bench.balance(id)).toEqual({ reserved: 0, spent: 12 })
  })

  it('gives open reservations a whole lease after a restart, then books them', async () => {
    const id = await bench.budget(100)
    await bench.reserve(40)
    bench.now += 5_000
    await bench.restart()
    await bench.ledger.expire()
    expect(bench.balance(id)).toEqual({ reserved: 40, spent: 0 })
    bench.now += 1_000
    await bench.ledger.expire()
    expect(bench.balance(id)).toEqual({ reserved: 0, spent: 40 })
  })

  it('begins every window with nothing, and settles in the window of the reservation', async () => {
    const id = await bench.budget(100, { period: 'day' })
    const { reservation } = await bench.reserve(100)
    bench.now += 24 * 3_600_000
    expect(await bench.reserve(100)).toMatchObject({ held: 100 })
    await bench.settle(reservation!, 70)
    expect(bench.balance(id, '2026-11-22')).toEqual({ reserved: 0, spent: 70 })
    expect(bench.balance(id, '2026-11-23')).toEqual({ reserved: 100, spent: 0 })
  })

  it('refuses nothing under a soft limit or an unlimited budget, and counts all the same', async () => {
    const soft = await bench.budget(10, { hardLimit: false })
    const unlimited = await bench.budget(0, { unlimited: true, period: 'month' })
    await bench.settle((await bench.reserve(500)).reservation!, 500)
    expect(bench.balance(soft).spent).toBe(500)
    expect(bench.balance(unlimited, '2026-11').spent).toBe(500)
  })

  it('books a cost that was reported afterwards even over the limit, once for each key', async () => {
    const id = await bench.budget(100)
    const cost = { subject: REALM, purpose: { provider: 'p', model: 'm' }, microUsd: 150, input: 1, output: 1 }
    const key = { name: 'k', hash: 'h' }
    const first = await bench.ledger.spend({ ...cost, key })
    expect(first.overdraft).toBe(true)
    bench.now += 5_000
    await bench.restart()
    expect(await bench.ledger.spend({ ...cost, key })).toEqual(first)
    expect(bench.balance(id).spent).toBe(150)
    const other = bench.ledger.spend({ ...cost, key: { name: 'k', hash: 'other' } })
    await expect(other).rejects.toMatchObject({ code: 'key_reused' })
  })

  it('alerts once for each level that is crossed, the gravest of several', async () => {
    await bench.budget(100)
    for (const cost of [40, 15, 10, 20, 10, 4]) await bench.settle((await bench.reserve(20)).reservation!, cost)
    const types = async () => {
      await bench.alarms.settled()
      return bench.alerts.map(({ type }) => type)
    }
    expect(await types()).toEqual(['threshold', 'soft_threshold'])
    await bench.settle((await bench.reserve(1)).reservation!, 1)
    expect((await types()).at(-1)).toBe('hard_limit_reached')
  })

  it('tells once of what a process booked and did not come to tell, also where it never heard that it was stored', async () => {
    await bench.budget(100)
    await bench.settle((await bench.reserve(60)).reservation!, 60)
    await bench.alarms.settled()
    bench.mayTell = new Promise(() => {})
    await bench.settle((await bench.reserve(30)).reservation!, 30)
    const { reservation } = await bench.reserve(10)
    bench.fail('after')
    await expect(bench.settle(reservation!, 10)).rejects.toMatchObject({ code: 'engine_lost' })
    expect(bench.alerts.map(({ type }) => type)).toEqual(['threshold'])
    bench.mayTell = undefined
    for (let starts = 0; starts < 3; starts++) {
      await bench.restart()
      await bench.alarms.settled()
      expect(bench.alerts.map(({ type }) => type)).toEqual(['threshold', 'soft_threshold', 'hard_limit_reached'])
    }
  })

  it('tells again where nobody could be told, and nothing of what was before it first kept count', async () => {
    await bench.budget(100)
    bench.state.records.delete('ledger-checkpoint\nalerts')
    await bench.settle((await bench.reserve(90)).reservation!, 90)
    await bench.alarms.settled()
    bench.state.records.delete('ledger-checkpoint\nalerts')
    bench.alerts.length = 0
    await bench.restart()
    await bench.alarms.settled()
    expect(bench.alerts).toEqual([])
    bench.mayTell = Promise.reject(new Error('the engine is away'))
    bench.mayTell.catch(() => {})
    await bench.settle((await bench.reserve(10)).reservation!, 10)
    await bench.alarms.settled()
    expect(bench.alerts).toEqual([])
    bench.mayTell = undefined
    bench.alarms.tell()
    await bench.alarms.settled()
    expect(bench.alerts).toMatchObject([{ type: 'hard_limit_reached' }])
  })

  it('books what a lost call held as maybe charged, once, when the call is made again, and holds anew within the budget', async () => {
    const id = await bench.budget(100)
    const lost = await bench.reserve(40, { call: 'c' })
    const other = await bench.reserve(10, { call: 'another' })
    await bench.restart()
    const again = bench.request(40, { call: 'c' })
    const [held, repeated] = await Promise.all([1, 2].map(() => bench.ledger.reserve(again, never)))
    expect(repeated).toEqual(held)
    expect(bench.balance(id)).toEqual({ reserved: 50, spent: 40 })
    expect(bench.ledger.book.reservations.get(lost.reservation!)?.state).toBe('maybe_charged')
    expect(bench.ledger.book.reservations.get(other.reservation!)?.state).toBe('open')
    bench.now += 2_000
    await bench.ledger.expire()
    expect(bench.balance(id)).toEqual({ reserved: 0, spent: 90 })
    // Whoever was lost may yet come back with the true cost.
    await bench.settle(lost.reservation!, 5)
    expect(bench.balance(id)).toEqual({ reserved: 0, spent: 55 })
    expect(await bench.ledger.verify()).toMatchObject({ differences: [] })
  })

  it('refuses a call that is made again where what it may have cost leaves too little', async () => {
    const id = await bench.budget(100)
    await bench.reserve(70, { call: 'c' })
    const again = bench.reserve(70, { call: 'c', minimum: 31 })
    await expect(again).rejects.toMatchObject({ code: 'budget_exceeded' })
    expect(bench.balance(id)).toEqual({ reserved: 0, spent: 70 })
  })
})
