import { existsSync, readFileSync } from 'node:fs'

/**
 * Adds up what .ci/run did: vitest's JSON report, and the last lines of the other steps ("checks: 8 passed, 0 failed").
 * A report or a last line that is missing, or a test file that could not even be loaded, counts as a failure: silence is
 * not success.
 */
export function count(report, ...steps) {
  const parts = [readReport(report), ...steps.map(readStep)]
  const sum = (key) => parts.reduce((total, part) => total + part[key], 0)
  return { passed: sum('passed'), failed: sum('failed') }
}

function readStep(text) {
  const [, passed, failed] = /^[a-z ]+: (\d+) passed, (\d+) failed$/m.exec(text) ?? []
  return passed === undefined ? { passed: 0, failed: 1 } : { passed: Number(passed), failed: Number(failed) }
}

function readReport(text) {
  try {
    const { numPassedTests, numFailedTests, testResults } = JSON.parse(text)
    const unloaded = testResults.filter((file) => file.status === 'failed' && file.assertionResults.length === 0)
    const failed = numFailedTests + unloaded.length
    return numPassedTests + failed === 0 ? { passed: 0, failed: 1 } : { passed: numPassedTests, failed }
  } catch {
    return { passed: 0, failed: 1 }
  }
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  const [report, ...steps] = process.argv.slice(2).map((file) => (existsSync(file) ? readFileSync(file, 'utf8') : ''))
  const { passed, failed } = count(report, ...steps)
  console.log(`${passed} passed, ${failed} failed`)
  process.exitCode = failed > 0 ? 1 : 0
}
