import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { type Comparison, differences, observeWorkers, sandboxIds } from './check-manifests.ts'
import { checkPlaces } from './check-places.ts'
import { checkRequirements } from './check-requirements.ts'

/** Every check that is not a test. Each runs whatever the others found; the last line counts them. */

const root = join(import.meta.dirname, '..')

interface Check {
  name: string
  /** Resolves with what is wrong; nothing where all is well. */
  run: () => Promise<string[]>
}

const checks: Check[] = [
  { name: 'types', run: () => program('typescript/bin/tsc', '--noEmit', '-p', 'tsconfig.json') },
  ...(existsSync(join(root, 'packages/console/tsconfig.json'))
    ? [{ name: 'types of the page', run: () => program('typescript/bin/tsc', '--noEmit', '-p', 'packages/console') }]
    : []),
  {
    name: 'lint',
    run: () => program('@biomejs/biome/bin/biome', 'lint', '--error-on-warnings', '--max-diagnostics=100'),
  },
  { name: 'format', run: () => program('@biomejs/biome/bin/biome', 'format', '--max-diagnostics=100') },
  { name: 'workers register what their manifests declare', run: async () => (await observed()).flatMap(differences) },
  { name: 'no worker registers a sandbox:: id', run: async () => (await observed()).flatMap(sandboxIds) },
  { name: 'requirements have tests', run: () => checkRequirements(root) },
  { name: 'no registry host and no path of a machine', run: () => checkPlaces(root) },
]

let observation: Promise<Comparison[]> | undefined

/** The workers are started once, for all checks that look at them. */
function observed(): Promise<Comparison[]> {
  observation ??= observeWorkers(join(root, 'dist'))
  return observation
}

/** Runs a tool of the workspace; what it says counts only where it fails. */
function program(path: string, ...args: string[]): Promise<string[]> {
  const child = spawn(process.execPath, [join(root, 'node_modules', path), ...args], { cwd: root })
  let said = ''
  child.stdout.on('data', (chunk) => (said += chunk))
  child.stderr.on('data', (chunk) => (said += chunk))
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code) => resolve(code === 0 ? [] : [said.trim() || `ended with ${code}`]))
  })
}

const LIMIT_MS = 180_000

async function givenUp(): Promise<string[]> {
  await delay(LIMIT_MS, undefined, { ref: false })
  return [`gave up after ${LIMIT_MS / 1000} s`]
}

let failed = 0
for (const { name, run } of checks) {
  const started = performance.now()
  const problems = await Promise.race([run(), givenUp()]).catch((error: unknown) => [
    error instanceof Error ? (error.stack ?? error.message) : String(error),
  ])
  const seconds = ((performance.now() - started) / 1000).toFixed(1)
  console.log(`${problems.length === 0 ? '✓' : '✗'} ${name} (${seconds} s)`)
  for (const problem of problems) console.log(problem.replaceAll(/^/gm, '    '))
  if (problems.length > 0) failed += 1
}
console.log(`checks: ${checks.length - failed} passed, ${failed} failed`)
// Said outright: what a check that was given up left open must not keep this from ending.
process.exit(failed > 0 ? 1 : 0)
