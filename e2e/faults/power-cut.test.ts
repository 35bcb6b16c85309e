import { describe, expect, it } from 'vitest'
import { PLANTED_BUGS } from './planted/bugs.ts'
import { runFlips, runPowerCut } from './power-cut/run.ts'
import { hasStrace } from './power-cut/trace.ts'

if (!hasStrace) console.log('The power cut is not tested here: strace is not installed')

/** A short form of rows 3 and 4 of the matrix. */
const OPTIONS = { seed: 1, batches: 120, budgetMs: 6_000 }

const STORE_BUGS = PLANTED_BUGS.filter((bug) => bug.store)

describe.skipIf(!hasStrace)('a power cut, at the calls of a recorded store', () => {
  it('loses nothing that was acknowledged, invents nothing, and never keeps the store from opening', async () => {
    const report = await runPowerCut(OPTIONS)
    expect(report.problems).toEqual([])
    expect(report.acknowledged).toBe(120)
    expect(report.cuts).toBeGreaterThan(100)
    // Commits whose pages reached the disk in part were among them.
    expect(report.dropped).toBeGreaterThan(10)
  })

  it('and a flipped bit: each record is what was written, or refused', async () => {
    const report = await runFlips({ ...OPTIONS, budgetMs: 3_000 })
    expect(report.problems).toEqual([])
    expect(report.found).toBeGreaterThan(10)
  })

  it.each(STORE_BUGS.map((bug) => [bug.name, bug] as const))('finds the planted bug: %s', async (_name, bug) => {
    // A fault of one commit in forty needs many; one bit in few records is one that matters.
    const find = bug.row === 4 ? runFlips : runPowerCut
    const batches = bug.row === 4 ? 60 : 200
    expect((await find({ ...OPTIONS, batches, budgetMs: 2_500 }, bug)).problems).not.toEqual([])
  })
})
