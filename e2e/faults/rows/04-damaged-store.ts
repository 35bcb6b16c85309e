import type { Row } from '../harness/row.ts'
import { runFlips, runPowerCut } from '../power-cut/run.ts'
import { hasStrace } from '../power-cut/trace.ts'

/**
 * One bit at a time is flipped in the files of a stopped store: each record must be what was written, or refused by
 * checksum with its place. Torn tails come from cuts in mid-commit: they are dropped with a warning.
 */
export const row: Row = {
  row: 4,
  title: 'torn tail or flipped bit',
  rounds: { full: 400, short: 60 },
  unit: 'batches written',
  unavailable: () => (hasStrace ? undefined : 'strace is not installed'),

  async run({ seed, rounds, short, bug }, findings) {
    const options = { seed: seed + 1, batches: rounds }
    const flips = await runFlips({ ...options, budgetMs: short ? 2_500 : 60_000 }, bug)
    findings.acknowledge(rounds)
    findings.figure('bits flipped', flips.flips, '')
    findings.figure('found', flips.found, '')
    findings.figure('in bytes that nothing reads', flips.harmless, '')
    findings.expect(flips.found > 10, `only ${flips.found} flips were found: they do not reach what is read`)
    for (const problem of flips.problems) findings.wrong(problem)
    if (bug) return
    const torn = await runPowerCut({ ...options, budgetMs: short ? 1_500 : 30_000 })
    findings.figure('torn tails dropped with a warning', torn.dropped, '')
    findings.expect(torn.dropped > 10, `only ${torn.dropped} tails were torn: the cuts do not reach them`)
    for (const problem of torn.problems) findings.wrong(problem)
  },
}
