import { describe, expect, it } from 'vitest'
import type { ManagedProcess } from './managed-process.ts'
import { SilenceWatch } from './silence-watch.ts'

/** A process that only notes why it is ended. */
function running(pid = 7) {
  const ended: string[] = []
  const condemn = (reason: string): void => void ended.push(reason)
  const process = { pid, isRunning: true, silentSince: undefined, condemn }
  return { process: process as unknown as ManagedProcess & { pid: number; isRunning: boolean }, ended }
}

/** A watch of 30 s, which beats once a second, over an engine that answers for as long as `engine.answers`. */
function watched() {
  const watch = new SilenceWatch(30_000)
  const engine = { ...running(1), answers: true, told: 0 }
  watch.begin(engine.process)
  const beats = (count: number): void => {
    for (let n = 0; n < count; n += 1) {
      const becameSilent = watch.beat(() => {
        if (engine.answers) watch.engineHeard()
      })
      if (becameSilent) engine.told += 1
    }
  }
  return { watch, engine, beats }
}

it('a process that stays silent is ended after the limit, the silence before it was told included', () => {
  const { watch, beats } = watched()
  const { process, ended } = running()
  watch.silent(process, 5_000)
  expect(process.silentSince).toBeLessThanOrEqual(Date.now() - 5_000)
  beats(24)
  expect(ended).toEqual([])
  beats(1)
  const reason = 'answered no heartbeat for 30 s: a handler blocks its event loop, an endless loop for example'
  expect(ended).toEqual([reason])
  beats(60)
  expect(ended).toEqual([reason])
})

it('a process that is silent is not waited for anew where its connection ends as well', () => {
  const { watch, beats } = watched()
  const { process, ended } = running()
  watch.silent(process, 10_000)
  beats(10)
  watch.expect(process)
  beats(10)
  expect(ended).toHaveLength(1)
})

it('a process that is heard again goes on, and so does one whose engine is gone', () => {
  const { watch, beats } = watched()
  const [one, other] = [running(), running(8)]
  watch.silent(one.process, 5_000)
  watch.heard(one.process)
  watch.silent(other.process, 5_000)
  watch.begin(running(2).process)
  beats(60)
  expect([one.ended, other.ended, one.process.silentSince]).toEqual([[], [], undefined])
})

it('a process that does not come to a new engine is ended; the one that was started in its place is not', () => {
  const { watch, beats } = watched()
  const [stuck, replaced, stopped] = [running(), running(), running()]
  for (const { process } of [stuck, replaced, stopped]) watch.expect(process)
  replaced.process.pid = 8
  stopped.process.isRunning = false
  beats(30)
  expect(stuck.ended).toEqual([expect.stringMatching(/^did not connect to the engine for 30 s/)])
  expect([replaced.ended, stopped.ended]).toEqual([[], []])
})

it('a process that was heard while the supervisor itself stood still is not ended', () => {
  const { watch, engine, beats } = watched()
  const { process, ended } = running()
  watch.silent(process, 5_000)
  beats(10)
  // All of them stood still for hours, which is one beat; what the engine said is read behind it.
  engine.answers = false
  beats(1)
  engine.answers = true
  watch.engineHeard()
  beats(10)
  expect([ended, engine.ended]).toEqual([[], []])
  watch.heard(process)
  beats(60)
  expect([ended, engine.ended]).toEqual([[], []])
})

describe('an engine', () => {
  it('that answers no heartbeat is told of, and ended after the limit', () => {
    const { engine, beats } = watched()
    beats(10)
    engine.answers = false
    beats(12)
    expect(engine).toMatchObject({ told: 1, ended: [] })
    expect(engine.process.silentSince).toBeDefined()
    beats(25)
    expect(engine).toMatchObject({
      told: 1,
      ended: ['answered no heartbeat for 30 s: something blocks its event loop, an endless loop for example'],
    })
  })

  it('that never answered is ended as well', () => {
    const { engine, beats } = watched()
    engine.answers = false
    beats(31)
    expect(engine.ended).toHaveLength(1)
  })

  it('that answers again in time goes on, and nobody is judged by what it did not hear', () => {
    const { watch, engine, beats } = watched()
    const { process, ended } = running()
    watch.expect(process)
    engine.answers = false
    beats(29)
    engine.answers = true
    watch.engineHeard()
    beats(28)
    expect([engine.ended, engine.process.silentSince, ended]).toEqual([[], undefined, []])
    beats(5)
    expect(ended).toHaveLength(1)
  })

  it('that was told to stop is left to whoever told it', () => {
    const { engine, beats } = watched()
    engine.answers = false
    engine.process.isRunning = false
    beats(60)
    expect(engine.ended).toEqual([])
  })
})
