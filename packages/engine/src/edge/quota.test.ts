import { expect, it } from 'vitest'
import { SharedQuota } from './quota.ts'

it('one that asks for much cannot use up the minute of all', () => {
  let now = 0
  const quota = new SharedQuota(600, () => now)
  let taken = 0
  while (quota.take('greedy').ok) taken += 1
  expect(taken).toBeLessThanOrEqual(310)
  const refused = quota.take('greedy')
  expect(refused).toMatchObject({ ok: false, retryAfterMs: expect.any(Number) })
  for (const source of ['a', 'b', 'c']) expect(quota.take(source).ok).toBe(true)
  now += 60_000
  expect(quota.take('greedy').ok).toBe(true)
})

it('many that ask for little have all of it, and no more', () => {
  const quota = new SharedQuota(60, () => 0)
  const answers = Array.from({ length: 70 }, (_, n) => quota.take(`source ${n}`).ok)
  expect(answers.filter(Boolean)).toHaveLength(60)
})
