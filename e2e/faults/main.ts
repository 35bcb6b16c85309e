import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { runRow } from './harness/env.ts'
import { findRows } from './harness/find-rows.ts'
import { isGreen, type Outcome } from './harness/findings.ts'
import { describeCommit, describeHost } from './harness/host.ts'
import { matrixPage } from './harness/markdown.ts'
import { type Circumstances, type Results, readResults, withRow, writeResults } from './harness/results.ts'
import type { Row } from './harness/row.ts'
import { plantAll } from './planted/run.ts'

/** `npm run faults [-- <rows>] [--short] [--planted] [--seed n]`. Exit code 1 when a row is red or a bug is not found. */
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    short: { type: 'boolean', default: false },
    planted: { type: 'boolean', default: false },
    seed: { type: 'string', default: '1' },
  },
})
const root = join(import.meta.dirname, '../..')
const seed = Number(values.seed)
const { short, planted } = values

/** What is run is what was there at the start. */
const commit = describeCommit(root)

function circumstances(): Circumstances {
  return { commit, seed, date: new Date().toISOString(), host: describeHost() }
}

function keep(results: Results): void {
  writeResults(results)
  writeFileSync(join(root, 'docs/crash-matrix.md'), matrixPage(results))
}

function tell(row: Row, outcome: Outcome & { rounds: number; seconds: number }): void {
  const { rounds, seconds, acknowledged, lost, doubled, hung, wrong, figures, examples, notes } = outcome
  const counts = `acknowledged ${acknowledged}, lost ${lost}, doubled ${doubled}, hung ${hung}, wrong ${wrong}`
  const state = isGreen(outcome) ? 'green' : 'RED  '
  console.log(`${state} ${row.row} ${row.title}: ${rounds} ${row.unit ?? 'rounds'}, ${seconds.toFixed(0)} s; ${counts}`)
  for (const { name, unit, value, least, p50, p95, goal } of figures) {
    const from = least === undefined ? '' : `${least.toFixed(1)} to `
    const spread = p50 === undefined ? from : `p50 ${p50.toFixed(1)}, p95 ${p95?.toFixed(1)}, greatest `
    console.log(`      ${name}: ${spread}${value.toFixed(1)} ${unit}${goal === undefined ? '' : ` (goal ${goal})`}`)
  }
  for (const text of [...examples, ...notes]) console.log(`      ${text}`)
}

async function runRows(): Promise<void> {
  const all = await findRows()
  const rows = positionals.length === 0 ? all : positionals.map((number) => rowOf(all, number))
  for (const row of rows) {
    const reason = row.unavailable?.()
    if (reason !== undefined) {
      console.log(`skip  ${row.row} ${row.title}: ${reason}`)
      continue
    }
    const outcome = await runRow(row, { short, seed, say: (text) => console.log(`      … ${text}`) })
    tell(row, outcome)
    if (!isGreen(outcome)) process.exitCode = 1
    const result = { row: row.row, unit: row.unit ?? 'rounds', ...outcome, ...circumstances() }
    if (!short) keep(withRow(readResults(), result))
  }
}

function rowOf(rows: readonly Row[], number: string): Row {
  const row = rows.find((candidate) => candidate.row === Number(number))
  if (!row) throw new Error(`There is no row ${number} yet; there are ${rows.map(({ row: n }) => n).join(', ')}`)
  return row
}

async function plant(): Promise<void> {
  const bugs = await plantAll(await findRows(), { seed, only: positionals, say: (text) => console.log(text) })
  const found = bugs.filter((bug) => bug.found !== null).length
  console.log(`planted bugs found: ${found}/${bugs.length}`)
  if (found < bugs.length) process.exitCode = 1
  if (positionals.length === 0) keep({ ...readResults(), planted: { bugs, ...circumstances() } })
}

await (planted ? plant() : runRows())
// A row that was given up may have left something that keeps this process alive.
process.exit()
