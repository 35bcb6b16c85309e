import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import type { ManagedProcess } from './managed-process.ts'
import { SilenceWatch } from './silence-watch.ts'

/** A process that only notes why it is ended. */
function running() {
  const ended: string[] = []
  const process = { pid: 7, silentSince: undefined, condemn: (reason: string) => ended.push(reason) }
  return { process: process as unknown as ManagedProcess & { pid: number }, ended }
}

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

it('a process that stays silent is ended after the limit, the silence before it was told included', () => {
  const watch = new SilenceWatch(30_000)
  const { process, ended } = running()
  watch.silent(process, 5_000)
  expect(process.silentSince).toBe(Date.now() - 5_000)
  vi.advanceTimersByTime(24_999)
  expect(ended).toEqual([])
  vi.advanceTimersByTime(2)
  expect(ended).toEqual([
    'answered no heartbeat for 30 s: a handler blocks its event loop, an endless loop for example',
  ])
})

it('a process that is heard again goes on, and so does one whose engine is gone', () => {
  const watch = new SilenceWatch(30_000)
  const [one, other] = [running(), running()]
  watch.silent(one.process, 5_000)
  watch.heard(one.process)
  watch.silent(other.process, 5_000)
  watch.clear()
  vi.advanceTimersByTime(60_000)
  expect([one.ended, other.ended, one.process.silentSince]).toEqual([[], [], undefined])
})

it('a process that does not come to a new engine is ended; the one that was started in its place is not', () => {
  const watch = new SilenceWatch(30_000)
  const [stuck, replaced] = [running(), running()]
  watch.expect(stuck.process)
  watch.expect(replaced.process)
  replaced.process.pid = 8
  vi.advanceTimersByTime(30_001)
  expect(stuck.ended).toEqual([expect.stringMatching(/^did not connect to the engine for 30 s/)])
  expect(replaced.ended).toEqual([])
})

it('a process that was heard while the supervisor itself stood still is not ended', () => {
  const watch = new SilenceWatch(30_000)
  const { process, ended } = running()
  // Time is over, and what the engine said meanwhile has not been read yet.
  setTimeout(() => setImmediate(() => watch.heard(process)), 30_000)
  watch.expect(process)
  vi.advanceTimersByTime(60_000)
  expect(ended).toEqual([])
})
