import { execFile } from 'node:child_process'
import { join } from 'node:path'
import type { Row } from '../harness/row.ts'

const ROOT = join(import.meta.dirname, '../../..')
/** Seeds of one process: its tests have time limits of their own. */
const CHUNK = 500
const PROCESSES = 2
const GOAL_MS = 5 * 60_000

/**
 * The core, its calls and its queues on simulated sockets, clock and store, with cuts, kills, delays and repetitions by
 * seed. A seed that fails is replayed by the command in its message.
 */
export const row: Row = {
  row: 24,
  title: 'simulation of the core',
  rounds: { full: 10_000, short: 20 },
  unit: 'seeds',

  async run(env, findings) {
    const chunks = Array.from({ length: Math.ceil(env.rounds / CHUNK) }, (_, index) => ({
      first: env.seed + index * CHUNK,
      count: Math.min(CHUNK, env.rounds - index * CHUNK),
    }))
    const began = performance.now()
    const work = async (): Promise<void> => {
      for (let chunk = chunks.shift(); chunk; chunk = chunks.shift()) {
        const output = await simulate(chunk.first, chunk.count)
        if (output === undefined) findings.acknowledge(chunk.count)
        else findings.wrong(failureOf(output))
      }
    }
    await Promise.all(Array.from({ length: PROCESSES }, work))
    const bounds = env.short ? {} : { goal: GOAL_MS, gate: 3 * GOAL_MS }
    findings.figure('all seeds', performance.now() - began, 'ms', bounds)
  },
}

/** Runs all simulations over some seeds; what they said where one fails. */
function simulate(first: number, count: number): Promise<string | undefined> {
  const args = [
    join(ROOT, 'node_modules/vitest/vitest.mjs'),
    'run',
    '--project',
    'unit',
    'packages/engine/test/simulation',
  ]
  const env = { ...process.env, NO_COLOR: '1', SIMULATION_SEED: String(first), SIMULATION_SEEDS: String(count) }
  // Set in a test's own process, where it would make these report to it.
  for (const name of Object.keys(env).filter((key) => key.startsWith('VITEST'))) delete env[name as keyof typeof env]
  return new Promise((resolve) => {
    execFile(process.execPath, args, { cwd: ROOT, env, maxBuffer: 64 * 1024 * 1024 }, (error, out, err) => {
      resolve(error ? `${out}\n${err}` : undefined)
    })
  })
}

function failureOf(output: string): string {
  const line = output.split('\n').find((text) => text.includes('SIMULATION_SEED=')) ?? output.slice(-500)
  const seed = /SIMULATION_SEED=(\d+)/.exec(line)?.[1]
  const replay = `SIMULATION_SEED=${seed} SIMULATION_SEEDS=1 npm test -- packages/engine/test/simulation`
  return seed === undefined ? line.trim() : `${line.trim()}; replay it with: ${replay}`
}
