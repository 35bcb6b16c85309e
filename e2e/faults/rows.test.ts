import { describe, expect, it } from 'vitest'
import { runRow } from './harness/env.ts'
import { findRows } from './harness/find-rows.ts'
import { FAULTS } from './matrix.ts'

/** Red in the matrix, with what is known of it; no test until it is mended. */
const RED = new Set<number>()

/** The short forms of the matrix. Counts must be 0; times are reported there. */
const rows = (await findRows()).filter(({ row }) => !RED.has(row))

describe('the fault matrix, in its short form', () => {
  it.each(rows.map((row) => [row.row, row.title, row] as const))(
    'row %i: %s',
    { timeout: 180_000 },
    async (...args) => {
      const [, , row] = args
      const reason = row.unavailable?.()
      if (reason !== undefined) return console.log(`row ${row.row} is not tested here: ${reason}`)
      const { lost, doubled, hung, examples } = await runRow(row, { short: true, seed: 1 })
      // What only took too long is the matrix's business: this machine may be busy with other tests.
      const broken = examples.filter((example) => !example.includes('the gate is'))
      expect({ lost, doubled, hung, broken }).toEqual({ lost: 0, doubled: 0, hung: 0, broken: [] })
    },
  )

  it('has each row that it runs in its table', () => {
    for (const { row } of rows) expect(FAULTS.some((fault) => fault.row === row)).toBe(true)
  })
})
