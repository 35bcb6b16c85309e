import { describe, expect, it } from 'vitest'
import { RestartPolicy } from './backoff.ts'

describe('restarting', () => {
  it('waits 0.2 s first and twice as long each time', () => {
    const policy = new RestartPolicy()
    expect([0, 1000, 2000, 3000].map((now) => policy.crashed(now, false))).toEqual(
      [200, 400, 800, 1600].map((delayMs) => ({ action: 'restart', delayMs })),
    )
  })

  it('holds a process that crashes five times in a minute before it is up', () => {
    const policy = new RestartPolicy()
    for (const now of [0, 1000, 2000, 3000]) policy.crashed(now, false)
    expect(policy.crashed(4000, false)).toEqual({ action: 'hold', crashes: 5 })
  })

  it('lets one that is up each time crash as often as it takes to find the job that does it, and no oftener', () => {
    const policy = new RestartPolicy()
    const decisions = [0, 700, 2_000, 17_000, 48_000].map((now) => policy.crashed(now, true).action)
    expect(decisions).toEqual(Array(5).fill('restart'))
    policy.crashed(49_000, true)
    policy.crashed(50_000, true)
    expect(policy.crashed(51_000, true)).toEqual({ action: 'hold', crashes: 8 })
  })

  it('never waits longer than 30 s, however long crashes go on', () => {
    const policy = new RestartPolicy()
    const delays = Array.from({ length: 20 }, (_, i) => policy.crashed(i * 20_000, true))
    expect(delays.at(-1)).toEqual({ action: 'restart', delayMs: 30_000 })
  })

  it('starts over after a minute without a crash, and after a changed source', () => {
    const policy = new RestartPolicy()
    policy.crashed(0, true)
    policy.crashed(1000, true)
    expect(policy.crashed(70_000, true)).toEqual({ action: 'restart', delayMs: 200 })
    policy.crashed(71_000, true)
    policy.reset()
    expect(policy.crashed(72_000, true)).toEqual({ action: 'restart', delayMs: 200 })
  })
})
