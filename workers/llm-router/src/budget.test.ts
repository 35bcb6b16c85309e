import type { Usage } from '@agentos/contracts/llm-router'
import { type Caller, InvocationError } from '@agentos/sdk'
import { beforeEach, describe, expect, it, vi } from 'vitest'
import type { Answer } from './answer.ts'
import { Budgets, type Hold } from './budget.ts'
import type { Meter } from './meter.ts'

type Calls = { id: string; input: Record<string, unknown> }[]

/** A ledger that answers what it is told, and writes down what it is asked. */
class FakeLedger {
  readonly calls: Calls = []
  readonly answers: Record<string, () => unknown> = {
    'ledger::watched': () => ({ any: true, validMs: 1_000 }),
    'ledger::reserve': () => ({
      reservationId: 'rsv',
      heldMicroUsd: 2_000,
      affordableMicroUsd: 2_000,
      limited: true,
      exhausted: null,
      leaseMs: 60_000,
    }),
    'ledger::extend': () => ({ heldMicroUsd: 2_000, exhausted: null }),
    'ledger::settle': () => ({ spentMicroUsd: 0, overdraft: false }),
    'ledger::release': () => ({ released: true }),
  }

  readonly caller = {
    call: async ({ id }: { id: string }, input: Record<string, unknown>) => {
      this.calls.push({ id, input })
      return this.answers[id]!()
    },
    log: { warn: () => {} },
  } as unknown as Caller

  asked(id: string): Record<string, unknown>[] {
    return this.calls.filter((call) => call.id === id).map(({ input }) => input)
  }
}

const price = { input: 1, output: 2 }
const model = { provider: 'p', id: 'm', tools: true, vision: true, sampling: true, retired: false, reasoning: false }
const facts = { ...model, source: undefined, asOf: undefined, price }

describe('budgets before a request', () => {
  let ledger: FakeLedger
  let now = 0
  let budgets: Budgets
  beforeEach(() => {
    ledger = new FakeLedger()
    now = 0
    budgets = new Budgets(ledger.caller, () => now)
  })

  interface Held {
    hold: Hold
    meter: Meter
    done(usage: Usage): Promise<unknown>
    /** Before anything was sent, unless the meter says more. */
    failed(): Promise<unknown>
  }

  /** A request that goes on until the test ends it. */
  function hold(more: object = {}): Promise<Held | undefined> {
    const messages = [{ role: 'user' as const, content: 'x'.repeat(300) }]
    const request = {
      realm: 'r',
      agent: 'a',
      session: undefined,
      run: undefined,
      call: undefined,
      choice: { provider: 'p', model: 'm' },
      facts,
      input: { messages, maxTokens: 5_000 },
      streaming: true,
      signal: new AbortController().signal,
      remainingMs: () => undefined,
      totalMs: 60_000,
      ...more,
    }
    return new Promise((resolve, reject) => {
      const answer = Promise.withResolvers<Answer>()
      const over = budgets
        .spend(request, async (hold) => {
          if (!hold) {
            resolve(undefined)
            return { parts: [], stopReason: 'stop', usage: { input: 0, output: 0, total: 0 } }
          }
          const end = (act: () => void) => {
            act()
            return over
          }
          resolve({
            hold,
            meter: hold.meter,
            done: (usage) => end(() => answer.resolve({ parts: [], stopReason: 'stop', usage })),
            failed: () => end(() => answer.reject(new Error('failed'))),
          })
          return answer.promise
        })
        .catch((error) => {
          if (error.message !== 'failed') reject(error)
        })
    })
  }

  it('asks once a second whether there are any, and reserves nothing where there are none', async () => {
    ledger.answers['ledger::watched'] = () => ({ any: false, validMs: 1_000 })
    for (const at of [0, 500, 999]) {
      now = at
      expect(await hold()).toBeUndefined()
    }
    expect(ledger.calls).toHaveLength(1)
    now = 1_000
    await hold()
    expect(ledger.calls).toHaveLength(2)
  })

  it('goes without where no ledger is installed, and refuses where one does not answer', async () => {
    const failing = (code: string, details?: object) => () => {
      throw new InvocationError({ code, message: 'x', details })
    }
    ledger.answers['ledger::watched'] = failing('function_not_found')
    expect(await hold()).toBeUndefined()
    now = 5_000
    ledger.answers['ledger::watched'] = failing('worker_unavailable', { installed: false })
    expect(await hold()).toBeUndefined()
    now = 9_000
    ledger.answers['ledger::watched'] = failing('worker_unavailable')
    await expect(hold()).rejects.toMatchObject({ code: 'worker_unavailable' })
  })

  it('holds the input and a piece of a stream, all of what comes in one piece or is thought unseen', async () => {
    await hold()
    await hold({ streaming: false })
    await hold({ facts: { ...facts, reasoning: true } })
    // A byte is a token while nothing is known of the model: 300 of the text, 16 of the message.
    const input = 316
    const asked = ledger.asked('ledger::reserve')
    expect(asked.map(({ holdMicroUsd }) => holdMicroUsd)).toEqual([input + 2_048, input + 10_000, input + 10_000])
    expect(asked[0]).toMatchObject({ agentId: 'a', minimumMicroUsd: input + 2, wantedMicroUsd: input + 10_000 })
  })

  it('limits the output to what is affordable after the input', async () => {
    const held = (await hold())!
    expect(held.hold.limit).toBe(842)
    expect(held.hold.tokens).toBe(842)
    await held.failed()
    expect(ledger.asked('ledger::release')).toEqual([{ reservationId: 'rsv' }])
  })

  it('refuses a model without a price and gives back what was held', async () => {
    const unpriced = hold({ facts: { ...facts, price: undefined } })
    await expect(unpriced).rejects.toMatchObject({ code: 'price_unknown', message: expect.stringContaining('p/m') })
    expect(ledger.asked('ledger::release')).toHaveLength(1)
  })

  it('asks one without a price where no budget has a limit, and holds nothing for it', async () => {
    const answer = ledger.answers['ledger::reserve']!
    ledger.answers['ledger::reserve'] = () => ({ ...(answer() as object), limited: false })
    expect(await hold({ facts: { ...facts, price: undefined } })).toBeUndefined()
    expect(ledger.asked('ledger::release')).toHaveLength(1)
  })

  it('tells guests what helps against their budget where a price is not known', async () => {
    const unpriced = hold({ realm: 'realm-guest', facts: { ...facts, price: undefined } })
    const message = expect.stringMatching(/prices: .*owner token.*ledger::set_budget.*unlimited: true/)
    await expect(unpriced).rejects.toMatchObject({ code: 'price_unknown', message })
  })

  it('extends ahead of the edge, and ends the stream there where nothing more can be held', async () => {
    ledger.answers['ledger::reserve'] = () => ({
      reservationId: 'rsv',
      heldMicroUsd: 2_316,
      affordableMicroUsd: 10_316,
      limited: true,
      leaseMs: 60_000,
    })
    ledger.answers['ledger::extend'] = () => ({ heldMicroUsd: 4_316, exhausted: null })
    const { meter } = (await hold())!
    meter.count(700, [])
    expect(await meter.goesOn()).toBe(true)
    expect(ledger.asked('ledger::extend')).toHaveLength(0)
    meter.count(100, [])
    expect(await meter.goesOn()).toBe(true)
    expect(ledger.asked('ledger::extend')).toEqual([{ reservationId: 'rsv', holdMicroUsd: 316 + 2 * 2_024 }])
    meter.count(1_199, [])
    expect(await meter.goesOn()).toBe(true)
    meter.count(1, [])
    expect(await meter.goesOn()).toBe(false)
  })

  it('books what the provider counted, and kinds without a price at the full one', async () => {
    await (await hold())!.done({ input: 100, output: 10, total: 110 })
    await (await hold())!.done({ input: 100, output: 10, total: 110, cached: 50 })
    const settled = ledger.asked('ledger::settle')
    expect(settled.map(({ microUsd }) => microUsd)).toEqual([120, 120])
    expect(settled[0]).toMatchObject({ inputTokens: 100, outputTokens: 10, maybeCharged: false })
  })

  it('books what was held where the provider did not count, as maybe charged', async () => {
    await (await hold())!.done({ input: 100, output: 10, total: 110, estimated: true })
    expect(ledger.asked('ledger::settle')).toMatchObject([
      { microUsd: 2_000, inputTokens: 100, outputTokens: 10, maybeCharged: true },
    ])
  })

  it('gives back what a refused request held, and books what a broken one may have cost', async () => {
    const refused = (await hold())!
    refused.meter.asked = true
    refused.meter.refused = true
    await refused.failed()
    expect(ledger.asked('ledger::release')).toHaveLength(1)
    const broken = (await hold())!
    broken.meter.asked = true
    broken.meter.answered = true
    broken.meter.count(30, [])
    await broken.failed()
    const silent = (await hold())!
    silent.meter.asked = true
    await silent.failed()
    expect(ledger.asked('ledger::settle')).toMatchObject([
      { microUsd: 116 + 60, maybeCharged: true },
      { microUsd: 2_000, maybeCharged: true },
    ])
  })

  const spent = (input: number, output = 10): Usage => ({ input, output, total: input + output })

  it('holds by what the answers of the model have taught, once there was one', async () => {
    await (await hold())!.done(spent(80))
    await hold()
    await hold({ choice: { provider: 'p', model: 'another' } })
    const asked = ledger.asked('ledger::reserve').map(({ minimumMicroUsd }) => minimumMicroUsd)
    // An estimate of 116 tokens, and a quarter more.
    expect(asked).toEqual([316 + 2, 145 + 2, 316 + 2])
  })

  it('learns from answers before there is a budget as well', async () => {
    ledger.answers['ledger::watched'] = () => ({ any: false, validMs: 1_000 })
    await hold()
    now = 1_000
    ledger.answers['ledger::watched'] = () => ({ any: true, validMs: 1_000 })
    await hold()
    expect(ledger.asked('ledger::reserve')).toMatchObject([{ minimumMicroUsd: 145 + 2 }])
  })

  it('holds nothing more in the realm until the cost of an answer that was counted worse is told', async () => {
    const booking = Promise.withResolvers<unknown>()
    ledger.answers['ledger::settle'] = () => booking.promise
    const first = (await hold())!
    void first.done(spent(6_000))
    await vi.waitFor(() => expect(ledger.asked('ledger::settle')).toHaveLength(1))
    await hold({ realm: 'elsewhere' })
    const second = hold()
    await new Promise(setImmediate)
    expect(ledger.asked('ledger::reserve').map(({ realmId }) => realmId)).toEqual(['r', 'elsewhere'])
    booking.resolve({ spentMicroUsd: 6_020, overdraft: true })
    await second
    expect(ledger.asked('ledger::reserve').at(-1)!.minimumMicroUsd).toBe(6_000 * 1.25 + 2)
  })

  it('holds what is missing as soon as a stream tells that its input is more', async () => {
    const extension = Promise.withResolvers<unknown>()
    ledger.answers['ledger::extend'] = () => extension.promise
    const { hold: held } = (await hold())!
    held.countedInput(300)
    expect(ledger.asked('ledger::extend')).toEqual([])
    held.countedInput(1_500)
    expect(ledger.asked('ledger::extend')).toEqual([{ reservationId: 'rsv', holdMicroUsd: 1_500 + 2 * 842 }])
    const next = hold()
    await new Promise(setImmediate)
    expect(ledger.asked('ledger::reserve')).toHaveLength(1)
    extension.resolve({ heldMicroUsd: 1_700, exhausted: null })
    await next
    expect(held.tokens, 'of what the money pays after the input').toBe(100)
    expect(ledger.asked('ledger::reserve').at(-1)!.minimumMicroUsd).toBe(1_500 * 1.25 + 2)
  })

  it('tries on to book a cost while the ledger is away, without keeping the answer back', async () => {
    let failures = 2
    ledger.answers['ledger::settle'] = () => {
      if (failures-- > 0) throw new InvocationError({ code: 'worker_unavailable', message: 'x' })
      return { spentMicroUsd: 0, overdraft: false }
    }
    await (await hold())!.done({ input: 1, output: 1, total: 2 })
    expect(failures).toBeGreaterThanOrEqual(0)
    await expect.poll(() => ledger.asked('ledger::settle').length, { timeout: 5_000 }).toBe(3)
  })

  it('tells the ledger before the answer leaves, which does not wait until it is booked; the end of the process does', async () => {
    const gate = Promise.withResolvers<object>()
    ledger.answers['ledger::settle'] = () => gate.promise
    await (await hold())!.done({ input: 1, output: 1, total: 2 })
    expect(ledger.asked('ledger::settle')).toHaveLength(1)
    let booked = false
    const over = budgets.booked().then(() => (booked = true))
    await new Promise(setImmediate)
    expect(booked).toBe(false)
    gate.resolve({ spentMicroUsd: 3, overdraft: false })
    await over
  })

  it('names the call for the ledger, so that what an earlier one held can be booked', async () => {
    await (await hold({ call: 'c' }))!.failed()
    expect(ledger.asked('ledger::reserve')[0]).toMatchObject({ call: 'c' })
  })

  it('holds no longer than a request may take: after that its lease runs out', async () => {
    vi.useFakeTimers()
    try {
      const lost = (await hold({ totalMs: 120_000 }))!
      await vi.advanceTimersByTimeAsync(600_000)
      expect(ledger.asked('ledger::extend')).toHaveLength(6)
      await lost.failed()
      await vi.advanceTimersByTimeAsync(600_000)
      expect(ledger.asked('ledger::extend')).toHaveLength(6)
    } finally {
      vi.useRealTimers()
    }
  })
})
