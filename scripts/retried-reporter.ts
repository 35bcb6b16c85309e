import type { Reporter, TestCase } from 'vitest/node'

/** Names every test that passed only at a further try: such a test or what it tests is to be mended. */
export default class RetriedReporter implements Reporter {
  private readonly retried: string[] = []

  onTestCaseResult(test: TestCase): void {
    if (test.diagnostic()?.flaky) this.retried.push(`${test.module.relativeModuleId} › ${test.fullName}`)
  }

  onTestRunEnd(): void {
    for (const name of this.retried) console.log(`passed only at the second try: ${name}`)
  }
}
