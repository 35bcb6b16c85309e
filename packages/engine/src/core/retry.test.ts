import { describe, expect, it } from 'vitest'
import { installed, startCore } from '../../test/peers.ts'
import { retryDelay } from './retries.ts'
import type { Span } from './spans.ts'

const retry = { max: 3, backoff_ms: 100 }

function start(limits = {}) {
  const functions = [{ id: 'w::pay' }, { id: 'w::read', effects: 'read' as const }, { id: 'w::keyed', keyed: true }]
  const started = startCore({ workers: [installed('w', functions)], limits })
  const server = started.worker('w')
  for (const { id } of functions) server.register(id)
  const spans: Span[] = []
  started.core.spans.subscribe((span) => spans.push(span))
  return { ...started, server, caller: started.guest(), spans }
}

describe('a call with retry', () => {
  it('is sent again after a retryable failure, later each time, until it succeeds', () => {
    const { time, server, caller } = start()
    const call = caller.call('w::pay', { retry })
    const sentAt: number[] = []
    for (let attempt = 1; attempt <= 3; attempt += 1) {
      expect(server.served).toHaveLength(attempt)
      sentAt.push(time.monotonic())
      if (attempt < 3) server.fail(server.served.at(-1)!, 'upstream_error')
      while (server.served.length === attempt && attempt < 3) time.advance(1)
    }
    server.answer(server.served[2]!, 'at last')
    expect(caller.result(call)).toMatchObject({ result: 'at last' })
    const [first, second] = [sentAt[1]! - sentAt[0]!, sentAt[2]! - sentAt[1]!]
    expect(first).toBeGreaterThanOrEqual(70)
    expect(first).toBeLessThanOrEqual(131)
    expect(second).toBeGreaterThanOrEqual(140)
    expect(second).toBeLessThanOrEqual(261)
  })

  it('fails with the last error and the number of attempts, and at once after a terminal one', () => {
    const { time, server, caller } = start()
    const call = caller.call('w::pay', { retry })
    for (let attempt = 0; attempt < 4; attempt += 1) {
      server.fail(server.served[attempt]!, 'upstream_error', { details: { status: 502 } })
      time.advance(1_000)
    }
    expect(server.served).toHaveLength(4)
    expect(caller.result(call)?.error).toMatchObject({ code: 'upstream_error', details: { status: 502, attempts: 4 } })

    const other = caller.call('w::pay', { retry })
    server.fail(server.served[4]!, 'invalid_input')
    expect(caller.code(other)).toBe('invalid_input')
  })

  it('without it is sent once', () => {
    const { time, server, caller } = start()
    const call = caller.call('w::pay')
    server.fail(server.served[0]!, 'upstream_error')
    time.advance(60_000)
    expect(caller.code(call)).toBe('upstream_error')
    expect(server.served).toHaveLength(1)
  })

  it('waits as long as the error asks for', () => {
    const { time, server, caller } = start()
    caller.call('w::pay', { retry })
    server.fail(server.served[0]!, 'rate_limited', { details: { retryAfterMs: 5_000 } })
    time.advance(4_999)
    expect(server.served).toHaveLength(1)
    time.advance(1_502)
    expect(server.served).toHaveLength(2)
  })

  it('does not wait for an attempt that would come after its deadline', () => {
    const { server, caller } = start()
    const call = caller.call('w::pay', { retry, deadline_ms: 1_000 })
    server.fail(server.served[0]!, 'rate_limited', { details: { retryAfterMs: 5_000 } })
    expect(caller.code(call)).toBe('rate_limited')
  })

  it('ends at its deadline in whichever attempt', () => {
    const { core, time, server, caller } = start()
    const call = caller.call('w::pay', { retry, deadline_ms: 1_000 })
    server.fail(server.served[0]!, 'upstream_error')
    time.advance(999)
    expect(server.served[1]!.context!.deadline_ms).toBeLessThan(1_000)
    time.advance(1)
    expect(caller.code(call)).toBe('deadline_exceeded')
    expect(server.cancelled(server.served[1]!)).toBe(true)
    expect(core.calls.counts().inFlight).toBe(0)
  })

  it('is cancelled while it waits for the next attempt', () => {
    const { core, time, server, caller } = start()
    const call = caller.call('w::pay', { retry })
    server.fail(server.served[0]!, 'upstream_error')
    caller.tell({ type: 'cancelinvocation', invocation_id: call })
    expect(caller.code(call)).toBe('cancelled')
    time.advance(10_000)
    expect(server.served).toHaveLength(1)
    expect(core.calls.counts().inFlight).toBe(0)
  })

  it('whose process dies is repeated only where that is harmless', () => {
    const { time, worker, server, caller } = start()
    const [pay, read, keyed, unkeyed] = [
      caller.call('w::pay', { retry }),
      caller.call('w::read', { retry }),
      caller.call('w::keyed', { retry, idempotency_key: 'k' }),
      caller.call('w::keyed', { retry }),
    ]
    server.close()
    const next = worker('w')
    for (const id of ['w::pay', 'w::read', 'w::keyed']) next.register(id)
    time.advance(1_000)
    expect([caller.code(pay), caller.code(unkeyed)]).toEqual(['in_doubt', 'in_doubt'])
    expect(next.served.map((frame) => frame.function_id).sort()).toEqual(['w::keyed', 'w::read'])
    for (const frame of next.served) next.answer(frame, 'again')
    expect([caller.result(read), caller.result(keyed)]).toMatchObject([{ result: 'again' }, { result: 'again' }])
  })

  it('of a client’s function waits until its process is back', () => {
    const { time, guest, caller } = start()
    const first = guest()
    const metadata = { effects: 'read' }
    first.register('theirs', { metadata })
    first.register('theirs::unknown')
    const [call, unknown] = [caller.call('theirs', { retry }), caller.call('theirs::unknown', { retry })]
    first.close()
    time.advance(131)
    expect(caller.code(unknown)).toBe('invocation_stopped')
    const second = guest()
    second.register('theirs', { metadata })
    time.advance(1_000)
    second.answer(second.served[0]!, 'back')
    expect(caller.result(call)).toMatchObject({ result: 'back' })
  })

  it('that was never there is not looked for again', () => {
    const { caller } = start()
    expect(caller.code(caller.call('nobody::there', { retry }))).toBe('function_not_found')
  })

  it('is served by another id each time, so that a late answer is nobody’s', () => {
    const { core, time, server, caller } = start()
    const call = caller.call('w::pay', { retry })
    server.fail(server.served[0]!, 'upstream_error')
    time.advance(131)
    const [first, second] = server.served
    expect(second!.invocation_id).not.toBe(first!.invocation_id)
    server.answer(first!, 'late')
    expect(caller.result(call)).toBeUndefined()
    expect(core.calls.counts().lateResults).toBe(1)
    server.answer(second!, 'right')
    expect(caller.result(call)).toMatchObject({ result: 'right' })
  })

  it('shows its attempts in the trace, the work of each below it', () => {
    const { time, server, caller, spans } = start()
    caller.call('w::pay', { retry })
    server.fail(server.served[0]!, 'upstream_error')
    time.advance(131)
    server.answer(server.served[1]!)
    const call = spans.find((span) => span.name === 'w::pay' && span.kind === 'call')!
    const attempts = spans.filter((span) => span.parentSpanId === call.spanId)
    expect(call).toMatchObject({ status: 'ok', attributes: { attempts: 2 } })
    expect(attempts.map(({ name, status, service }) => [name, status, service])).toEqual([
      ['w::pay attempt 1', 'error', 'w'],
      ['w::pay attempt 2', 'ok', 'w'],
    ])
    expect(server.served[1]!.traceparent).toContain(attempts[1]!.spanId)
  })

  it('makes calls below it in each attempt, under the same deadline', () => {
    const { time, server, caller } = start()
    caller.call('w::pay', { retry, deadline_ms: 10_000 })
    server.fail(server.served[0]!, 'upstream_error')
    time.advance(131)
    const below = server.call('w::read', { parent: server.served[1]!.invocation_id })
    expect(server.served[2]!.context!.deadline_ms).toBeLessThan(10_000)
    caller.close()
    expect(server.code(below)).toBe('cancelled')
  })
})

describe('the delay', () => {
  it('doubles up to half a minute, spread by 30 % either way', () => {
    const policy = { max: 20, backoffMs: 100 }
    const error = { code: 'overloaded', message: '' }
    const at = (failures: number, random: number) => Math.round(retryDelay(policy, failures, error, random))
    expect([at(1, 0), at(1, 0.5), at(1, 1)]).toEqual([70, 100, 130])
    expect([at(2, 0.5), at(5, 0.5), at(20, 0.5)]).toEqual([200, 1_600, 30_000])
  })

  it('is not shorter than the error asks for, and no longer than a minute for what asks for more', () => {
    const policy = { max: 1, backoffMs: 1 }
    const at = (details: unknown) => retryDelay(policy, 1, { code: 'overloaded', message: '', details }, 0)
    expect([at({ retryAfterMs: 700 }), at({ retryAfterMs: 1e9 })]).toEqual([700, 60_000])
    expect([at({ retryAfterMs: 'soon' }), at(null), at(undefined)]).toEqual([0.7, 0.7, 0.7])
  })
})
