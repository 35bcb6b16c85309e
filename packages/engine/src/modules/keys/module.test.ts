import type { WorkerDescriptor } from '@agentos/protocol'
import { beforeEach, describe, expect, it } from 'vitest'
import type { ManualTime } from '../../../test/host.ts'
import { installed, type Peer, startCore } from '../../../test/peers.ts'
import type { CallContext } from '../../core/context.ts'
import { MemoryDisk } from '../../store/memory-store.ts'
import { createKeysModule } from './module.ts'

const HOUR_MS = 3_600_000

const functions = [
  { id: 'shop::pay' },
  { id: 'shop::price', effects: 'read' as const },
  { id: 'shop::mail', keyed: true },
  { id: 'shop::note', effects: 'write' as const },
  { id: 'shop::order', durable: true },
]

let disk: MemoryDisk
let workers: WorkerDescriptor[]
beforeEach(() => {
  disk = new MemoryDisk()
  workers = [installed('shop', functions)]
})

/** An engine on the disk, with a process of the worker and a caller. */
function start(options: { kept?: number; bytes?: number; maxResultBytes?: number; time?: ManualTime } = {}) {
  const { kept = 1_000, bytes = 1_000_000, maxResultBytes = 1_000, time } = options
  const started = startCore({
    workers,
    disk,
    modules: [createKeysModule({ kept, bytes, maxResultBytes })],
    ...(time ? { time } : {}),
  })
  const shop = started.worker('shop')
  for (const { id } of functions) shop.register(id)
  const caller = started.owner()
  /** Makes a call with a key and lets the disk do its work. */
  const pay = (data: unknown = { amount: 1 }, more: object = {}, by: Peer = caller): string => {
    const call = by.call('shop::pay', { data, idempotency_key: 'k', ...more })
    started.time.advance(0)
    return call
  }
  const answer = (result: unknown): void => {
    shop.answer(shop.served.at(-1)!, result)
    started.time.advance(0)
  }
  const records = () =>
    [...disk.partitions].flatMap(([name, rows]) => (name.startsWith('keys/') ? [...rows.values()] : []))
  return { ...started, shop, caller, pay, answer, live: () => records().filter(({ value }) => value !== null) }
}

describe('a call with an idempotency key', () => {
  it('is on disk before it is sent, and so is its result before it is delivered', () => {
    const { time, shop, caller, live } = start()
    const call = caller.call('shop::pay', { idempotency_key: 'k' })
    expect([shop.served.length, live().length]).toEqual([0, 0])
    time.advance(0)
    expect([shop.served.length, live().length]).toEqual([1, 1])
    expect(shop.served[0]!.context).toMatchObject({ idempotency_key: 'k' })
    shop.answer(shop.served[0]!, 'paid')
    expect(caller.result(call)).toBeUndefined()
    time.advance(0)
    expect(caller.result(call)).toMatchObject({ result: 'paid' })
    expect(live()[0]!.value).toContain('"paid"')
  })

  it('gives a second one its recorded result, also of another connection and with its keys in another order', () => {
    const { owner, shop, caller, pay, answer } = start()
    pay({ amount: 1, to: { name: 'Ada', city: 'London' } })
    answer({ receipt: 7 })
    const again = owner()
    const second = pay({ to: { city: 'London', name: 'Ada' }, amount: 1 }, {}, again)
    expect(again.result(second)).toMatchObject({ result: { receipt: 7 } })
    expect(shop.served).toHaveLength(1)
    expect(caller.result(pay({ amount: 1, to: { name: 'Ada', city: 'London' } }))).toMatchObject({
      result: { receipt: 7 },
    })
  })

  it('gives it the recorded failure too, and a result that is nothing', () => {
    const { time, shop, caller, pay, answer } = start()
    pay()
    shop.fail(shop.served[0]!, 'conflict', { details: { open: 1 }, stacktrace: 'at home' })
    time.advance(0)
    expect(caller.result(pay())?.error).toEqual({ code: 'conflict', message: 'conflict', details: { open: 1 } })
    const nothing = pay({}, { idempotency_key: 'other' })
    answer(undefined)
    const second = pay({}, { idempotency_key: 'other' })
    for (const call of [nothing, second])
      expect(caller.result(call)).toEqual(expect.not.objectContaining({ error: {} }))
    expect(caller.result(second)).toBeDefined()
    expect(shop.served).toHaveLength(2)
  })

  it('is in doubt while the first is under way', () => {
    const { caller, shop, pay, answer } = start()
    const first = pay()
    const second = pay()
    expect(caller.result(second)?.error).toMatchObject({ code: 'in_doubt', details: { running: true } })
    answer('paid')
    expect(caller.result(first)).toMatchObject({ result: 'paid' })
    expect(caller.result(pay())).toMatchObject({ result: 'paid' })
    expect(shop.served).toHaveLength(1)
  })

  it('is refused with another input', () => {
    const { caller, shop, pay, answer } = start()
    pay({ amount: 1 })
    expect(caller.code(pay({ amount: 2 }))).toBe('key_reused')
    answer('paid')
    expect(caller.code(pay({ amount: 2 }))).toBe('key_reused')
    expect(shop.served).toHaveLength(1)
  })

  it('belongs to the realm, the principal and the function', () => {
    const { guest, caller, shop, pay, answer } = start()
    pay()
    answer('owner')
    const stranger = guest()
    pay({ amount: 2 }, {}, stranger)
    answer('guest')
    pay({ amount: 3 }, { realm: 'realm-other' })
    answer('other realm')
    const mail = caller.call('shop::mail', { idempotency_key: 'k', data: { amount: 4 } })
    expect(caller.code(mail)).toBeUndefined()
    expect(shop.served.slice(0, 3).map(({ data }) => (data as { amount: number }).amount)).toEqual([1, 2, 3])
    expect(stranger.result(pay({ amount: 2 }, {}, stranger))).toMatchObject({ result: 'guest' })
  })

  it('asks who may call first', () => {
    workers = [installed('shop', [{ id: 'shop::pay', access: 'owner' }])]
    const { guest, pay, answer } = start()
    pay()
    answer('paid')
    const stranger = guest()
    expect(stranger.code(pay({ amount: 1 }, {}, stranger))).toBe('forbidden')
  })

  it('stands for 24 hours', () => {
    const { time, caller, shop, pay, answer } = start()
    pay()
    answer('paid')
    time.advance(24 * HOUR_MS - 1_000)
    expect(caller.result(pay())).toMatchObject({ result: 'paid' })
    time.advance(1_000)
    pay({ amount: 2 })
    expect(shop.served).toHaveLength(2)
  })

  it('is refused where its key is no key', () => {
    const { caller, pay } = start()
    expect(caller.code(pay({}, { idempotency_key: 'x'.repeat(257) }))).toBe('invalid_input')
    expect(caller.code(pay({}, { idempotency_key: '' }))).toBe('invalid_input')
    expect(caller.code(pay({}, { idempotency_key: 'x'.repeat(256) }))).toBeUndefined()
  })
})

describe('a key', () => {
  it('is free again after a failure that never reached the executor', () => {
    const { time, worker, caller, shop, pay } = start()
    shop.close()
    const waiting = pay()
    time.advance(10_000)
    expect(caller.code(waiting)).toBe('worker_unavailable')
    const next = worker('shop')
    next.register('shop::pay')
    pay({ amount: 2 })
    expect(next.served).toHaveLength(1)
  })

  it('is free again after its caller left before the call was sent', () => {
    const { time, caller, shop, pay } = start()
    const hasty = caller.call('shop::pay', { idempotency_key: 'k' })
    caller.tell({ type: 'cancelinvocation', invocation_id: hasty })
    expect(caller.code(hasty)).toBe('cancelled')
    time.advance(0)
    expect(shop.served).toEqual([])
    time.advance(0)
    pay({ amount: 9 })
    expect(shop.served).toHaveLength(1)
  })

  it('is undecided after its worker died, and a call that may be repeated is', () => {
    const { time, worker, caller, shop, pay } = start()
    const first = pay()
    const price = caller.call('shop::price', { idempotency_key: 'k' })
    const mail = caller.call('shop::mail', { idempotency_key: 'k' })
    time.advance(0)
    shop.close()
    time.advance(0)
    expect([caller.code(first), caller.code(price), caller.code(mail)]).toEqual([
      'in_doubt',
      'worker_unavailable',
      'worker_unavailable',
    ])
    const next = worker('shop')
    for (const { id } of functions) next.register(id)
    expect(caller.result(pay())?.error).toMatchObject({ code: 'in_doubt', details: { running: false } })
    caller.call('shop::price', { idempotency_key: 'k' })
    caller.call('shop::mail', { idempotency_key: 'k' })
    time.advance(0)
    expect(next.served.map((frame) => frame.function_id)).toEqual(['shop::price', 'shop::mail'])
  })

  it('is free again after a failure that may pass, where nothing outside was done: the next call begins it anew', () => {
    const { time, caller, shop } = start()
    for (const id of ['shop::price', 'shop::mail', 'shop::note']) {
      const ask = (): string => {
        const call = caller.call(id, { idempotency_key: 'k' })
        time.advance(0)
        return call
      }
      const first = ask()
      shop.fail(shop.served.at(-1)!, 'worker_unavailable')
      time.advance(0)
      expect(caller.code(first)).toBe('worker_unavailable')
      const second = ask()
      shop.answer(shop.served.at(-1)!, 'done')
      time.advance(0)
      expect(caller.result(second)).toMatchObject({ result: 'done' })
      expect(caller.result(ask())).toMatchObject({ result: 'done' })
    }
    expect(shop.served).toHaveLength(6)
  })

  it('is in doubt after a failure that may pass of what may have had its effect outside, and never answers with it', () => {
    const { time, caller, shop, pay } = start()
    const first = pay()
    shop.fail(shop.served[0]!, 'upstream_timeout')
    time.advance(0)
    expect(caller.code(first)).toBe('upstream_timeout')
    for (let n = 0; n < 2; n += 1) {
      expect(caller.result(pay())?.error).toMatchObject({ code: 'in_doubt', details: { running: false } })
    }
    expect(caller.code(pay({ amount: 2 }))).toBe('key_reused')
    expect(shop.served).toHaveLength(1)
  })

  it('is noted once for all attempts of a call with retry', () => {
    const { time, caller, shop, pay } = start()
    const call = pay({ amount: 1 }, { retry: { max: 2, backoff_ms: 10 } })
    shop.fail(shop.served[0]!, 'upstream_error')
    time.advance(100)
    expect(caller.code(pay())).toBe('in_doubt')
    shop.answer(shop.served[1]!, 'second attempt')
    time.advance(0)
    expect(caller.result(call)).toMatchObject({ result: 'second attempt' })
    expect(caller.result(pay())).toMatchObject({ result: 'second attempt' })
  })

  it('has its result although the caller has left', () => {
    const { owner, caller, shop, pay, answer } = start()
    const leaving = owner()
    pay({ amount: 1 }, {}, leaving)
    leaving.close()
    expect(shop.cancelled(shop.served[0]!)).toBe(false)
    answer('paid')
    expect(caller.result(pay())).toMatchObject({ result: 'paid' })
  })

  it('is undecided after a cancellation that came too late to stop it', () => {
    const { time, caller, shop, pay } = start()
    const call = pay()
    caller.tell({ type: 'cancelinvocation', invocation_id: call })
    time.advance(0)
    expect(caller.code(call)).toBe('cancelled')
    expect(shop.cancelled(shop.served[0]!)).toBe(true)
    expect(caller.code(pay())).toBe('in_doubt')
  })

  it('that queues, schedules and journals give is theirs', () => {
    const { core, caller, shop, live, time } = start()
    const context: CallContext = {
      realm: 'realm-default',
      principal: { kind: 'owner', id: 'owner' },
      traceId: 'a'.repeat(32),
      idempotencyKey: 'job-1',
    }
    for (let n = 0; n < 2; n += 1) {
      core.invoke({ functionId: 'shop::pay', payload: undefined, context, onResult: () => {} })
    }
    caller.call('shop::pay', { idempotency_key: 'run/1', step: '1' })
    caller.call('shop::order', { idempotency_key: 'o' })
    time.advance(0)
    expect(shop.served).toHaveLength(4)
    expect(live()).toEqual([])
  })
})

describe('after a crash of the engine', () => {
  it('a recorded result is there, and what was under way is in doubt', () => {
    const first = start()
    first.pay({ amount: 1 }, { idempotency_key: 'done' })
    first.answer('paid')
    first.pay({ amount: 2 }, { idempotency_key: 'open' })
    first.caller.call('shop::price', { idempotency_key: 'read' })
    first.time.advance(0)
    const { caller, shop, pay, time } = start({ time: first.time })
    expect(caller.result(pay({ amount: 1 }, { idempotency_key: 'done' }))).toMatchObject({ result: 'paid' })
    const open = pay({ amount: 2 }, { idempotency_key: 'open' })
    expect(caller.result(open)?.error).toMatchObject({ code: 'in_doubt', details: { running: false } })
    expect(caller.code(pay({ amount: 3 }, { idempotency_key: 'open' }))).toBe('key_reused')
    expect(shop.served).toEqual([])
    caller.call('shop::price', { idempotency_key: 'read' })
    time.advance(0)
    expect(shop.served).toHaveLength(1)
  })
})

describe('the keys of a principal', () => {
  it('are bounded: the oldest that are decided give way, also those of an engine before', () => {
    const first = start()
    for (let n = 0; n < 10; n += 1) {
      first.pay({ n }, { idempotency_key: `k${n}` })
      first.answer(n)
      first.time.advance(1)
    }
    const { caller, pay, answer, live, time, shop } = start({ kept: 4, time: first.time })
    time.advance(10)
    pay({ n: 10 }, { idempotency_key: 'k10' })
    answer(10)
    time.advance(10)
    expect(live()).toHaveLength(4)
    expect(caller.result(pay({ n: 9 }, { idempotency_key: 'k9' }))).toMatchObject({ result: 9 })
    pay({ n: 0 }, { idempotency_key: 'k0' })
    expect(shop.served).toHaveLength(2)
  })

  it('are refused with a time to wait while all are undecided, and those of others are not', () => {
    const { caller, owner, guest, pay } = start({ kept: 2 })
    pay({}, { idempotency_key: 'a' }, owner())
    pay({}, { idempotency_key: 'b' })
    const refused = caller.result(pay({}, { idempotency_key: 'c' }))
    expect(refused?.error).toMatchObject({ code: 'overloaded', details: { retryAfterMs: expect.any(Number) } })
    const stranger = guest()
    expect(stranger.code(pay({}, { idempotency_key: 'c' }, stranger))).toBeUndefined()
  })

  it('hold a bounded number of bytes', () => {
    const { pay, answer, live } = start({ bytes: 5_000, maxResultBytes: 2_000 })
    for (let n = 0; n < 20; n += 1) {
      pay({ n }, { idempotency_key: `k${n}` })
      answer('x'.repeat(1_000))
    }
    expect(live().length).toBeLessThan(6)
  })

  it('keep no result that is too large, but know that it was done', () => {
    const { caller, shop, pay, answer } = start()
    const call = pay()
    answer('x'.repeat(2_000))
    expect(caller.result(call)).toMatchObject({ result: 'x'.repeat(2_000) })
    expect(caller.code(pay())).toBe('payload_too_large')
    expect(shop.served).toHaveLength(1)
  })
})

describe('where the disk refuses', () => {
  it('the note, the call is not sent; the result, it is in doubt', () => {
    const { core, store, caller, shop, pay, answer } = start()
    const write = store.write.bind(store)
    let refusing = true
    store.write = (batch, done, options) =>
      refusing
        ? done({ ok: false, error: { code: 'store_unavailable', message: 'disk full' } })
        : write(batch, done, options)
    expect(caller.code(pay())).toBe('store_unavailable')
    expect(shop.served).toEqual([])
    refusing = false
    const call = pay()
    refusing = true
    answer('paid')
    expect(caller.code(call)).toBe('in_doubt')
    refusing = false
    expect(caller.code(pay())).toBe('in_doubt')
    expect(core.calls.counts().inFlight).toBe(0)
  })

  it('to be read, the call that has its result is answered', () => {
    const { disk, time, caller, shop, pay } = start()
    const call = pay()
    disk.unreadable = 'EIO'
    // As when its connection ends: nobody catches what is thrown there.
    expect(() => shop.answer(shop.served[0]!, 'paid')).not.toThrow()
    disk.unreadable = undefined
    time.advance(0)
    expect(['paid', undefined]).toContain(caller.result(call)?.result)
    expect(caller.result(call)).toBeDefined()
  })

  it('to be read while a result is on its way to it, the call hears that', () => {
    const { disk, time, caller, shop, pay } = start()
    pay()
    shop.answer(shop.served[0]!, 'paid')
    const again = caller.call('shop::pay', { data: { amount: 1 }, idempotency_key: 'k' })
    disk.unreadable = 'EIO'
    expect(() => time.advance(0)).not.toThrow()
    expect(caller.code(again)).toBe('store_unavailable')
    disk.unreadable = undefined
    expect(caller.result(pay())).toMatchObject({ result: 'paid' })
    expect(shop.served).toHaveLength(1)
  })
})
