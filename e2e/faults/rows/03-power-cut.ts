import type { Row } from '../harness/row.ts'
import { runPowerCut } from '../power-cut/run.ts'
import { hasStrace } from '../power-cut/trace.ts'

/**
 * A client and its store are recorded, call by call. The power is cut after each call on a file, in several ways: what is
 * not synced may be gone, whole or in part. What is left has to open, and to hold all that was acknowledged by then.
 */
export const row: Row = {
  row: 3,
  title: 'power cut',
  rounds: { full: 400, short: 200 },
  unit: 'batches written',
  unavailable: () => (hasStrace ? undefined : 'strace is not installed'),

  async run({ seed, rounds, short, bug }, findings) {
    const report = await runPowerCut({ seed, batches: rounds, budgetMs: short ? 2_500 : 60_000 }, bug)
    findings.acknowledge(report.acknowledged)
    findings.figure('file calls recorded', report.calls, '')
    findings.figure('power cuts', report.cuts, '')
    findings.figure('last commits found torn and dropped', report.dropped, '')
    for (const problem of report.problems) {
      if (problem.includes('is gone')) findings.lost(problem)
      else findings.wrong(problem)
    }
  },
}
