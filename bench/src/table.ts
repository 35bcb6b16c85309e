import { digits, median, ratios, spread } from './statistics.ts'

export interface Row {
  work: string
  ours: string
  other: string
  ratio: string
  goal: string
}

/** Two things measured side by side, one value a round each. */
export function paired(
  work: string,
  ours: readonly number[],
  theirs: readonly number[],
  text: { unit: string; other: string; goal?: string; ratio?: boolean },
): Row {
  return {
    work,
    ours: `${spread(ours)} ${text.unit}`,
    other: `${text.other}: ${spread(theirs)} ${text.unit}`,
    ratio: text.ratio === false ? '' : `${digits(median(ratios(ours, theirs)))} ×`,
    goal: text.goal ?? '',
  }
}

export function single(work: string, ours: readonly number[], unit: string, goal = ''): Row {
  return { work, ours: `${spread(ours)} ${unit}`, other: '', ratio: '', goal }
}

export function markdown(rows: readonly Row[]): string {
  const cells = [
    ['Work', 'AgentOS', 'Beside it, same run', 'Ratio', 'Goal'],
    ...rows.map((row) => [row.work, row.ours, row.other, row.ratio, row.goal]),
  ]
  const widths = cells[0]!.map((_, column) => Math.max(...cells.map((line) => line[column]!.length)))
  const lines = cells.map((line) => `| ${line.map((cell, column) => cell.padEnd(widths[column]!)).join(' | ')} |`)
  const rule = `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`
  return [lines[0], rule, ...lines.slice(1)].join('\n')
}
