import { expect, it } from 'vitest'
import { killPointOf } from './kill-point.ts'

const points = (seed: number) => Array.from({ length: 200 }, (_, run) => killPointOf(seed, run, 0))

it('the same seed cuts at the same points, another at others', () => {
  expect(points(1)).toEqual(points(1))
  expect(points(2)).not.toEqual(points(1))
})

it('200 runs are cut after every request, and between them', () => {
  expect(new Set(points(1).map(({ request }) => request)).size).toBe(20)
  for (const of of [(point: { wait: number }) => point.wait, (point: { share: number }) => point.share] as const) {
    const values = points(1).map(of as (point: { wait: number; share: number }) => number)
    expect(Math.min(...values)).toBeLessThan(0.05)
    expect(Math.max(...values)).toBeGreaterThan(0.95)
  }
})

it('a draw that came too late is drawn anew', () => {
  expect(killPointOf(1, 7, 1)).not.toEqual(killPointOf(1, 7, 0))
})
