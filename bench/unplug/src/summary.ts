import type { Verdict } from './verdict.ts'

/** What a system's runs come to. */
export interface Summary {
  name: string
  version: string
  runs: number
  finished: number
  parked: number
  /** Of the parked ones, those that finished once a person had answered. */
  finishedAfterAnswer: number
  failed: number
  stuck: number
  modelRequestsOver: { total: number; mostInOneRun: number }
  toolRequestsOver: number
  doubled: { charge: number; notify: number; runs: number }
  silentlyWrong: number
}

export function summaryOf(name: string, version: string, verdicts: readonly Verdict[]): Summary {
  const count = (holds: (verdict: Verdict) => boolean) => verdicts.filter(holds).length
  const sum = (of: (verdict: Verdict) => number) => verdicts.reduce((total, verdict) => total + of(verdict), 0)
  return {
    name,
    version,
    runs: verdicts.length,
    finished: count(({ ended }) => ended === 'finished'),
    parked: count(({ ended }) => ended === 'parked'),
    finishedAfterAnswer: count(({ afterAnswer }) => afterAnswer === 'finished'),
    failed: count(({ ended }) => ended === 'failed'),
    stuck: count(({ ended }) => ended === 'stuck'),
    modelRequestsOver: {
      total: sum(({ modelRequestsOver }) => modelRequestsOver),
      mostInOneRun: Math.max(0, ...verdicts.map(({ modelRequestsOver }) => modelRequestsOver)),
    },
    toolRequestsOver: sum(({ toolRequestsOver }) => toolRequestsOver),
    doubled: {
      charge: sum(({ doubled }) => doubled.charge),
      notify: sum(({ doubled }) => doubled.notify),
      runs: count(({ doubled }) => doubled.charge + doubled.notify > 0),
    },
    silentlyWrong: count(({ silentlyWrong }) => silentlyWrong),
  }
}

export function markdown(summaries: readonly Summary[]): string {
  const share = (part: number, { runs }: Summary) => `${((100 * part) / runs).toFixed(1).replace(/\.0$/, '')} %`
  const cells = [
    [
      'System',
      'Finished',
      'Parked: asks a person',
      'Failed or stuck',
      'Model requests over the minimum, all runs (most in one)',
      'Effects doubled: with a key / without',
      'Silently wrong',
    ],
    ...summaries.map((each) => [
      each.name,
      share(each.finished, each),
      share(each.parked, each),
      share(each.failed + each.stuck, each),
      `${each.modelRequestsOver.total} (${each.modelRequestsOver.mostInOneRun})`,
      `${each.doubled.charge} / ${each.doubled.notify}`,
      String(each.silentlyWrong),
    ]),
  ]
  const widths = cells[0]!.map((_, column) => Math.max(...cells.map((line) => line[column]!.length)))
  const lines = cells.map((line) => `| ${line.map((cell, column) => cell.padEnd(widths[column]!)).join(' | ')} |`)
  return [lines[0], `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`, ...lines.slice(1)].join('\n')
}
