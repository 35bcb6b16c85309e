import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          testTimeout: 30_000,
          expect: { poll: { timeout: 10_000 } },
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
          include: ['e2e/**/*.test.ts'],
          testTimeout: 60_000,
          hookTimeout: 60_000,
          expect: { poll: { timeout: 10_000 } },
          maxWorkers: 2,
          // Real processes on a shared machine: .ci/run tries a test twice, and names those that needed it.
          retry: Number(process.env.AGENTOS_TEST_RETRY ?? 0),
        },
      },
    ],
  },
})
