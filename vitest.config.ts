import { defineConfig } from 'vitest/config'
import { LongestFirst } from './scripts/longest-first.ts'

/** Of both projects, which run beside each other: one more than two cores, because many files wait for a while. */
const maxWorkers = 3

export default defineConfig({
  test: {
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        test: {
          name: 'unit',
          maxWorkers,
          testTimeout: 30_000,
          hookTimeout: 30_000,
          expect: { poll: { timeout: 20_000 } },
          include: [
            'packages/*/{src,test}/**/*.test.ts',
            'workers/*/src/**/*.test.ts',
            'scripts/**/*.test.ts',
            'bench/unplug/src/*.test.ts',
          ],
        },
      },
      {
        test: {
          name: 'e2e',
          maxWorkers,
          include: ['e2e/**/*.test.ts'],
          testTimeout: 90_000,
          hookTimeout: 90_000,
          expect: { poll: { timeout: 20_000 } },
          // Real processes on a shared machine: .ci/run tries a test twice, and names those that needed it.
          retry: Number(process.env.AGENTOS_TEST_RETRY ?? 0),
        },
      },
    ],
  },
})
