import { beforeEach, describe, expect, it } from 'vitest'
import { TestHost } from '../../../test/host.ts'
import type { BuiltinCall } from '../../core/module.ts'
import { MemoryDisk } from '../../store/memory-store.ts'
import { createCronModule } from './module.ts'

const MINUTE = 60_000
const DAY = 24 * 60 * MINUTE
const START = Date.parse('2026-11-22T16:00:30Z')
const worker = { worker: 'memory' }

let disk: MemoryDisk
let host: TestHost

beforeEach(() => {
  disk = new MemoryDisk()
  host = boot(START)
})

function boot(wall: number): TestHost {
  return new TestHost([createCronModule()], { disk, wall })
}

function scheduled(calls: BuiltinCall[]): string[] {
  return calls.map((call) => (call.input as { scheduled_time: string }).scheduled_time.slice(11, 19))
}

function due(calls: BuiltinCall[]): string[] {
  return calls.map((call) => (call.input as { scheduled_time: string }).scheduled_time.slice(0, 16))
}

describe('cron', () => {
  it('calls its function at each due time with the payload of the protocol', () => {
    const calls = host.handler('app::tick')
    host.bind('cron', 'app::tick', { expression: '0 * * * * *' }, { id: 'job-1' })
    host.time.advance(29_999)
    expect(calls).toEqual([])
    host.time.advance(1)
    expect(calls[0]!.input).toEqual({
      trigger: 'cron',
      job_id: 'job-1',
      scheduled_time: '2026-11-22T16:01:00+00:00',
      actual_time: '2026-11-22T16:01:00+00:00',
    })
    host.time.advance(2 * MINUTE)
    expect(scheduled(calls)).toEqual(['16:01:00', '16:02:00', '16:03:00'])
  })

  it('runs as the system of its worker, with a key for each due time', () => {
    const calls = host.handler('app::tick')
    host.bind('cron', 'app::tick', { expression: '* * * * *' }, worker)
    host.time.advance(2 * MINUTE)
    expect(calls.map((call) => call.context.principal)).toEqual([
      { kind: 'system', id: 'memory' },
      { kind: 'system', id: 'memory' },
    ])
    const keys = calls.map((call) => call.context.idempotencyKey)
    expect(new Set(keys).size).toBe(2)
    expect(keys[0]).toContain(String(Date.parse('2026-11-22T16:01:00Z')))
  })

  it('never overlaps itself: what falls into a run is skipped and counted', () => {
    const calls = host.handler('app::slow', () => {})
    host.bind('cron', 'app::slow', { expression: '* * * * *' }, worker)
    host.time.advance(4 * MINUTE)
    expect(calls).toHaveLength(1)
    calls[0]!.reply()
    host.time.advance(MINUTE)
    expect(scheduled(calls)).toEqual(['16:01:00', '16:05:00'])
    expect(host.value('engine::cron::list', {}, { kind: 'owner' })).toMatchObject({
      schedules: [{ function_id: 'app::slow', skipped: 3, running: true, expression: '* * * * *', timezone: 'UTC' }],
    })
  })

  it('asks its condition first', () => {
    const answers: unknown[] = [false, 'no']
    const calls = host.handler('app::tick')
    host.handler('app::condition', (call) => call.reply(answers.shift()))
    host.bind('cron', 'app::tick', { expression: '* * * * *', condition_function_id: 'app::condition' })
    host.time.advance(2 * MINUTE)
    expect(scheduled(calls)).toEqual(['16:02:00'])
  })

  it('goes on after a handler that failed', () => {
    const calls = host.handler('app::tick', (call) => call.fail('invocation_failed', 'no'))
    host.bind('cron', 'app::tick', { expression: '* * * * *' })
    host.time.advance(2 * MINUTE)
    expect(scheduled(calls)).toEqual(['16:01:00', '16:02:00'])
  })

  it('tries again where the handler was not reached, under the same due time', () => {
    let up = false
    const calls = host.handler('app::tick', (call) => (up ? call.reply() : call.fail('worker_unavailable', 'down')))
    host.bind('cron', 'app::tick', { expression: '@hourly' }, worker)
    host.time.advance(60 * MINUTE)
    up = true
    host.time.advance(2 * MINUTE)
    expect(new Set(scheduled(calls))).toEqual(new Set(['17:00:00']))
    expect(new Set(calls.map((call) => call.context.idempotencyKey)).size).toBe(1)
    const before = calls.length
    host.time.advance(10 * MINUTE)
    expect(calls).toHaveLength(before)
  })

  it('stops when it is removed', () => {
    const calls = host.handler('app::tick')
    host.bind('cron', 'app::tick', { expression: '* * * * *' }, { id: 'job-1' })
    host.unbind('job-1')
    host.time.advance(5 * MINUTE)
    expect(calls).toEqual([])
  })

  it('fires once for an installed worker that bound the same schedule twice', () => {
    const calls = host.handler('app::tick')
    host.bind('cron', 'app::tick', { expression: '* * * * *' }, { ...worker, id: 'declared' })
    host.bind('cron', 'app::tick', { expression: '* * * * *' }, { ...worker, id: 'by-process' })
    host.time.advance(MINUTE)
    host.unbind('declared')
    host.time.advance(MINUTE)
    expect(calls).toHaveLength(2)
  })

  it('refuses what it cannot serve, saying why', () => {
    expect(host.bind('cron', 'app::tick', { expression: '* *' })).toMatch(/2 fields; write 5/)
    expect(host.bind('cron', 'app::tick', {})).toMatch(/missing field `expression`/)
    expect(host.bind('cron', 'app::tick', { expression: '@daily', timezone: 'x' })).toMatch(/no IANA time zone/)
  })

  it('shows its schedules to the owner only', () => {
    expect(host.error('engine::cron::list', {}).code).toBe('forbidden')
  })
})

describe('cron over restarts and changed clocks', () => {
  it('runs the latest missed time once after a downtime', () => {
    host.bind('cron', 'app::tick', { expression: '*/10 * * * *' }, worker)
    host.time.advance(0)
    host = boot(START + 35 * MINUTE)
    const calls = host.handler('app::tick')
    host.bind('cron', 'app::tick', { expression: '*/10 * * * *' }, worker)
    host.time.advance(0)
    expect(scheduled(calls)).toEqual(['16:30:00'])
    host.time.advance(5 * MINUTE)
    expect(scheduled(calls)).toEqual(['16:30:00', '16:40:00'])
  })

  it('leaves missed times alone where told so', () => {
    const config = { expression: '*/10 * * * *', catchUp: false }
    host.bind('cron', 'app::tick', config, worker)
    host.time.advance(0)
    host = boot(START + 35 * MINUTE)
    const calls = host.handler('app::tick')
    host.bind('cron', 'app::tick', config, worker)
    host.time.advance(5 * MINUTE)
    expect(scheduled(calls)).toEqual(['16:40:00'])
  })

  it('runs a firing again that was under way at a crash, with the same key', () => {
    const before = host.handler('app::tick', () => {})
    host.bind('cron', 'app::tick', { expression: '@hourly' }, worker)
    host.time.advance(60 * MINUTE)
    expect(before).toHaveLength(1)
    host = boot(host.time.now() + 5_000)
    const after = host.handler('app::tick')
    host.bind('cron', 'app::tick', { expression: '@hourly' }, worker)
    host.time.advance(0)
    expect(scheduled(after)).toEqual(['17:00:00'])
    expect(after[0]!.context.idempotencyKey).toBe(before[0]!.context.idempotencyKey)
    host = boot(host.time.now() + 5_000)
    const third = host.handler('app::tick')
    host.bind('cron', 'app::tick', { expression: '@hourly' }, worker)
    host.time.advance(MINUTE)
    expect(third).toEqual([])
  })

  it('skips no time when the clock is set forward over it', () => {
    const calls = host.handler('app::tick')
    host.bind('cron', 'app::tick', { expression: '0 18 * * *' }, worker)
    host.time.jump(3 * 60 * MINUTE)
    host.time.advance(MINUTE)
    expect(scheduled(calls)).toEqual(['18:00:00'])
  })

  it('serves no time twice when the clock is set back', () => {
    const calls = host.handler('app::tick')
    host.bind('cron', 'app::tick', { expression: '@hourly' }, worker)
    host.time.advance(60 * MINUTE)
    host.time.jump(-30 * MINUTE)
    host.time.advance(60 * MINUTE)
    expect(scheduled(calls)).toEqual(['17:00:00'])
    expect(host.logged).toContainEqual({
      level: 'warn',
      message:
        'The clock was set back; schedules go on from the new time, and what they served already is not fired again',
      fields: { by_ms: 30 * MINUTE },
    })
    host.time.advance(30 * MINUTE)
    expect(scheduled(calls)).toEqual(['17:00:00', '18:00:00'])
  })

  it('goes on from the new time when the clock is set back by a month, and says so', () => {
    const calls = host.handler('app::tick')
    host.bind('cron', 'app::tick', { expression: '@hourly' }, worker)
    host.time.advance(2 * 60 * MINUTE)
    host.time.jump(-30 * DAY)
    host.time.advance(60 * MINUTE)
    expect(due(calls)).toEqual(['2026-11-22T17:00', '2026-11-22T18:00', '2026-10-23T19:00'])
    expect(host.logged).toContainEqual({
      level: 'warn',
      message:
        'The clock was set back by more than a day; schedules go on from the new time, and what they served behind that is ' +
        'fired again, but for the last day in which they ran',
      fields: { by_ms: 30 * DAY },
    })
    expect(host.value('engine::cron::list', {}, { kind: 'owner' })).toMatchObject({
      clock_set_back: { by_ms: 30 * DAY },
    })
    // Somebody sets it right again: what was served before is not served anew.
    host.time.jump(30 * DAY)
    host.time.advance(60 * MINUTE)
    expect(due(calls).slice(3)).toEqual(['2026-11-22T19:00', '2026-11-22T20:00'])
  })

  it('goes on from the new time when the clock was set back while the system was down', () => {
    const calls = host.handler('app::tick')
    host.bind('cron', 'app::tick', { expression: '@hourly' }, worker)
    host.time.advance(60 * MINUTE)
    expect(due(calls)).toEqual(['2026-11-22T17:00'])
    host = boot(host.time.now() - 30 * DAY)
    const after = host.handler('app::tick')
    host.bind('cron', 'app::tick', { expression: '@hourly' }, worker)
    host.time.advance(60 * MINUTE)
    expect(due(after)).toEqual(['2026-10-23T18:00'])
    expect(host.logged).toContainEqual(expect.objectContaining({ message: expect.stringContaining('set back') }))
    host = boot(host.time.now() + 30 * DAY)
    const last = host.handler('app::tick')
    host.bind('cron', 'app::tick', { expression: '@hourly' }, worker)
    host.time.advance(60 * MINUTE)
    expect(due(last)).toEqual(['2026-11-22T18:00', '2026-11-22T19:00'])
  })

  it('does not count as missed what comes after the clock was set back, where missed times are left alone', () => {
    const calls = host.handler('app::tick')
    host.bind('cron', 'app::tick', { expression: '@hourly', catchUp: false }, worker)
    host.time.advance(60 * MINUTE)
    host.time.jump(-30 * DAY)
    host.time.advance(60 * MINUTE)
    expect(due(calls)).toEqual(['2026-11-22T17:00', '2026-10-23T18:00'])
  })

  it('serves what it left out when the clock ran ahead, once that is set right', () => {
    const calls = host.handler('app::tick')
    host.bind('cron', 'app::tick', { expression: '@hourly' }, worker)
    host.time.jump(10 * DAY)
    host.time.advance(MINUTE)
    host.time.jump(-10 * DAY)
    host.time.advance(60 * MINUTE)
    expect(due(calls)).toEqual(['2026-12-02T16:00', '2026-11-22T17:00'])
  })

  it('stands still under no clock, and fires no due time twice, however often that is set', () => {
    for (let seed = 1; seed <= 6; seed += 1) {
      host = new TestHost([createCronModule()], { disk: new MemoryDisk(), wall: START })
      const calls = host.handler('app::tick')
      host.bind('cron', 'app::tick', { expression: '* * * * *' }, worker)
      let random = seed
      const next = () => {
        random = (random * 48_271) % 2_147_483_647
        return random / 2_147_483_647
      }
      for (let step = 0; step < 8; step += 1) {
        const reach = next() < 0.5 ? 40 * DAY : 60 * MINUTE
        host.time.jump(Math.round((2 * next() - 1) * reach))
        // A clock that was set is noticed within half a minute.
        host.time.advance(MINUTE / 2)
        const from = host.time.now()
        host.time.advance(Math.round(next() * 20 * MINUTE))
        const served = new Set(due(calls))
        for (let at = Math.ceil(from / MINUTE) * MINUTE; at <= host.time.now(); at += MINUTE) {
          expect(served, `seed ${seed}`).toContain(new Date(at).toISOString().slice(0, 16))
        }
      }
      expect(due(calls).length, `seed ${seed}`).toBe(new Set(due(calls)).size)
    }
  })

  it('does not wait for years after a clock was wrong by years', () => {
    host = boot(START + 20 * 365 * 24 * 60 * MINUTE)
    host.bind('cron', 'app::tick', { expression: '@hourly' }, worker)
    host.time.advance(0)
    host = boot(START)
    const calls = host.handler('app::tick')
    host.bind('cron', 'app::tick', { expression: '@hourly' }, worker)
    host.time.advance(60 * MINUTE)
    expect(scheduled(calls)).toEqual(['17:00:00'])
  })
})
