import { expect, it } from 'vitest'
import { ManualTime } from '../../../test/host.ts'
import { Turns } from './turns.ts'

it('schedules that fall due together leave turns for everybody else', () => {
  const time = new ManualTime(0)
  const turns = new Turns(time)
  const ran: string[] = []
  for (let n = 0; n < 20; n += 1) time.set(0, () => turns.take(() => ran.push('schedule')))
  // As a socket that is read between two rounds of timers.
  const read = (): void => {
    ran.push('other')
    if (ran.length < 25) time.set(0, read)
  }
  time.set(0, read)
  time.advance(0)
  expect(ran.filter((what) => what === 'schedule')).toHaveLength(20)
  expect(ran.indexOf('other')).toBeLessThan(12)
})
