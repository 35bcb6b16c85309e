import { beforeEach, describe, expect, it } from 'vitest'
import { TestHost } from '../../../test/host.ts'
import type { BuiltinCall } from '../../core/module.ts'
import { MemoryDisk } from '../../store/memory-store.ts'
import { createCronModule } from './module.ts'

const MINUTE = 60_000
const START = Date.parse('2026-11-22T16:00:30Z')
const EVERY_MINUTE = { expression: '0 * * * * *' }

let disk: MemoryDisk
let host: TestHost

beforeEach(() => {
  disk = new MemoryDisk()
  host = new TestHost([createCronModule()], { disk, wall: START })
})

const times = (calls: BuiltinCall[]) =>
  calls.map(({ input }) => (input as { scheduled_time: string }).scheduled_time.slice(11, 16))
const told = () => host.logged.filter(({ message }) => message.includes('EIO'))

describe('a schedule on a disk that does not answer', () => {
  it('is bound, and serves its times from when it can be read', () => {
    const calls = host.handler('app::tick')
    disk.unreadable = 'EIO'
    expect(host.bind('cron', 'app::tick', EVERY_MINUTE)).toBeUndefined()
    host.time.advance(2 * MINUTE)
    expect(calls).toEqual([])
    disk.unreadable = undefined
    host.time.advance(MINUTE)
    expect(times(calls)).toEqual(['16:02', '16:03'])
    expect(told()).toHaveLength(1)
  })

  it('goes on after a run whose end could not be noted, and is not run twice for a due time', () => {
    const calls = host.handler('app::tick', () => {})
    host.bind('cron', 'app::tick', EVERY_MINUTE)
    host.time.advance(MINUTE)
    disk.unreadable = 'EIO'
    expect(() => calls[0]!.reply()).not.toThrow()
    host.time.advance(2 * MINUTE)
    disk.unreadable = undefined
    host.time.advance(MINUTE)
    expect(times(calls)).toEqual(['16:01', '16:03'])
    const { schedules } = host.value('engine::cron::list', {}, { kind: 'owner' }) as { schedules: object[] }
    expect(schedules).toMatchObject([{ running: true }])
  })

  it('tells once that a time cannot be noted, and serves it when it can', () => {
    const calls = host.handler('app::tick')
    host.bind('cron', 'app::tick', EVERY_MINUTE)
    host.time.advance(0)
    disk.refusal = 'EIO'
    host.time.advance(MINUTE)
    expect(calls).toEqual([])
    expect(told()).toHaveLength(1)
    disk.refusal = undefined
    host.time.advance(10_000)
    expect(times(calls)).toEqual(['16:01'])
  })

  it.each(['app::tick', 'app::asks'])('keeps a time whose call to %s the disk kept from being made', (id) => {
    let left = 2
    const refuse = (call: BuiltinCall): void => {
      left -= 1
      if (left >= 0) call.fail('store_unavailable', 'EIO')
      else call.reply()
    }
    const calls = host.handler('app::tick', (call) => (id === 'app::tick' ? refuse(call) : call.reply()))
    host.handler('app::asks', (call) => (id === 'app::asks' ? refuse(call) : call.reply()))
    host.bind('cron', 'app::tick', { ...EVERY_MINUTE, condition_function_id: 'app::asks' })
    host.time.advance(MINUTE - 10_000)
    expect(left).toBe(-1)
    expect(new Set(times(calls))).toEqual(new Set(['16:01']))
  })
})
