import { BaseSequencer, type TestSpecification } from 'vitest/node'

/** The files that take longest, or wait most. One of them alone at the end would keep all cores but one idle. */
const LONGEST = [
  'e2e/faults/rows.test.ts',
  'e2e/channel-telegram-kill.test.ts',
  'e2e/page-runs.test.ts',
  'e2e/ledger.test.ts',
  'e2e/on-demand.test.ts',
  'e2e/channel-telegram-approval.test.ts',
  'e2e/frozen-worker.test.ts',
  'packages/cli/test/up.test.ts',
  'packages/engine/test/simulation/journal.test.ts',
  'e2e/http-edge.test.ts',
]

/** First these, then the others in vitest's own order. */
export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification): number => {
      const at = LONGEST.findIndex((name) => moduleId.endsWith(`/${name}`))
      return at < 0 ? LONGEST.length : at
    }
    return (await super.sort(files)).sort((a, b) => rank(a) - rank(b))
  }
}
