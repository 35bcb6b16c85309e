import { FAULTS } from '../matrix.ts'
import { PLANTED_BUGS } from '../planted/bugs.ts'
import type { Figure } from './figures.ts'
import { isGreen } from './findings.ts'
import type { Results, RowResult } from './results.ts'

const HEAD = `# Crash matrix

Written by \`npm run faults\`. Each row makes its fault as often as it says, against the built engine and workers as processes of
their own, keeps a log of what the client was told, and compares that with what is there afterwards. Lost: acknowledged and absent.
Doubled: one call or one idempotency key, two effects. Hung: neither result nor error within its bound. Wrong: any other broken
promise. All four must be 0. Times are p50 / p95 / greatest; a row is red past three times its goal.

    npm run faults               all rows, for an hour or so
    npm run faults -- 2          one row
    npm run faults -- --short    the short forms, as in CI; writes nothing down
    npm run faults -- --planted  does the harness find bugs? plants each alone
`

/** The whole of docs/crash-matrix.md. */
export function matrixPage(results: Results): string {
  const byRow = new Map(results.rows.map((result) => [result.row, result]))
  const rows = FAULTS.map(({ row, fault }) => matrixRow(row, fault, byRow.get(row)))
  const table = [
    '| # | Fault | Rounds | Acknowledged | Lost | Doubled | Hung | Wrong | Figures |',
    '|---|---|---|---|---|---|---|---|---|',
    ...rows,
  ]
  const sections = [HEAD, table.join('\n'), notesOf(results.rows), plantedPart(results), circumstances(results.rows)]
  return `${sections.filter((part) => part !== '').join('\n\n')}\n`
}

function matrixRow(row: number, fault: string, result: RowResult | undefined): string {
  if (!result) return `| ${row} | ${fault} | not yet run | | | | | | |`
  const { rounds, unit, acknowledged, lost, doubled, hung, wrong, figures } = result
  const counts = [acknowledged, lost, doubled, hung, wrong].map((count) => count.toLocaleString('en'))
  const mark = isGreen(result) ? '' : ' **red**'
  const cells = [row, `${fault}${mark}`, `${rounds.toLocaleString('en')} ${unit}`, ...counts]
  return `| ${cells.join(' | ')} | ${figures.map(figureText).join('<br>')} |`
}

function figureText({ name, unit, value, least, p50, p95, goal }: Figure): string {
  const values = p50 === undefined || p95 === undefined ? [value] : [p50, p95, value]
  const from = least === undefined || least === value ? '' : `${digits(least)} to `
  const text = `${name} ${from}${values.map(digits).join(' / ')}${unit === '' ? '' : ` ${unit}`}`
  return goal === undefined ? text : `${text} (goal ${digits(goal)})`
}

function notesOf(rows: readonly RowResult[]): string {
  const lines = rows.flatMap(({ row, notes, examples }) => [
    ...examples.map((text) => `- Row ${row}, **${text}**`),
    ...notes.map((text) => `- Row ${row}: ${text}`),
  ])
  return lines.length === 0 ? '' : `## Notes\n\n${lines.join('\n')}`
}

function plantedPart({ planted }: Results): string {
  if (!planted) return ''
  const found = planted.bugs.filter((bug) => bug.found !== null).length
  const total = PLANTED_BUGS.length
  const rows = planted.bugs.map(({ name, row, found: text }) => `| ${name} | ${row} | ${text ?? '**not found**'} |`)
  return [
    `## Planted bugs: ${found} of ${total} found`,
    `Each is planted alone, in a copy of the build; its row was green without it. ${under(planted)}`,
    ['| Bug | Row | What the row said |', '|---|---|---|', ...rows].join('\n'),
  ].join('\n\n')
}

function circumstances(rows: readonly RowResult[]): string {
  if (rows.length === 0) return ''
  const lines = rows.map((result) => `| ${result.row} | ${result.seconds.toFixed(0)} s | ${under(result)} |`)
  return ['## Runs', ['| # | Took | Under |', '|---|---|---|', ...lines].join('\n')].join('\n\n')
}

function under({ commit, seed, date, host }: Pick<RowResult, 'commit' | 'seed' | 'date' | 'host'>): string {
  const { cpus, kernel, node, load } = host
  return `Commit ${commit}, seed ${seed}, ${date.slice(0, 10)}; ${cpus} cores with a load of ${load}, ${kernel}, Node ${node}.`
}

function digits(value: number): string {
  if (!Number.isFinite(value)) return '–'
  if (Number.isInteger(value) || Math.abs(value) >= 100) return Math.round(value).toLocaleString('en')
  return value.toFixed(1)
}
