import { runRow } from '../harness/env.ts'
import { isGreen } from '../harness/findings.ts'
import type { PlantedResult } from '../harness/results.ts'
import type { Row } from '../harness/row.ts'
import { PLANTED_BUGS } from './bugs.ts'

interface PlantOptions {
  seed: number
  /** Numbers of rows; empty is all. */
  only: readonly string[]
  say: (text: string) => void
}

/** Plants each bug alone and runs the short form of its row, which has to be green without and red with it. */
export async function plantAll(rows: readonly Row[], options: PlantOptions): Promise<PlantedResult['bugs']> {
  const { seed, only, say } = options
  const wanted = PLANTED_BUGS.filter(({ row }) => only.length === 0 || only.includes(String(row)))
  const clean = new Map<number, boolean>()
  const results: PlantedResult['bugs'] = []
  for (const bug of wanted) {
    const row = rows.find((candidate) => candidate.row === bug.row)
    if (!row) throw new Error(`The bug "${bug.name}" names row ${bug.row}, which is not there`)
    const reason = row.unavailable?.()
    if (reason !== undefined) {
      say(`skipped    ${bug.name}: ${reason}`)
      continue
    }
    if (!clean.has(row.row)) clean.set(row.row, isGreen(await runRow(row, { short: true, seed })))
    const outcome = await runRow(row, { short: true, seed, bug })
    // A row that is red anyway proves nothing.
    const found = clean.get(row.row) && !isGreen(outcome) ? (outcome.examples[0] ?? null) : null
    const otherwise = clean.get(row.row) ? 'NOT FOUND' : 'NOT JUDGED, the row is red without it'
    say(`planted    ${bug.name} (row ${bug.row}): ${found ?? otherwise}`)
    results.push({ name: bug.name, row: bug.row, found })
  }
  return results
}
