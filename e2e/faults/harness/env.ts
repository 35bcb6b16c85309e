import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startEngine, startSystem } from '@agentos/testing'
import type { PlantedBug } from '../planted/bugs.ts'
import { buildPlanted } from '../planted/build.ts'
import { Findings, type Outcome } from './findings.ts'
import { randomFrom } from './random.ts'
import type { Row, RowEnv } from './row.ts'

export interface RunOptions {
  short: boolean
  seed: number
  bug?: PlantedBug
  say?: (text: string) => void
}

/** A row that has not ended by then never will. */
const LIMIT_MS = { short: 150_000, full: 45 * 60_000 }

/** Runs one row, and ends everything that it started. What it throws is a finding like any other. */
export async function runRow(row: Row, options: RunOptions): Promise<Outcome & { rounds: number; seconds: number }> {
  const { short, seed, bug, say = () => {} } = options
  const findings = new Findings()
  const random = randomFrom(seed * 1_009 + row.row)
  const cleanups: (() => unknown)[] = []
  const folder = (): string => {
    const path = mkdtempSync(join(tmpdir(), 'agentos-faults-'))
    cleanups.push(() => rmSync(path, { recursive: true, force: true }))
    return path
  }
  const patches = [...(row.instruments ?? []), ...(bug && !bug.store ? [bug] : [])]
  const dist = patches.length === 0 ? undefined : await buildPlanted(patches, folder())
  const env: RowEnv = {
    short,
    seed,
    random,
    rounds: short ? row.rounds.short : row.rounds.full,
    between: (low, high) => low + Math.floor(random() * (high - low + 1)),
    bug,
    async system(given) {
      const system = await startSystem({ ...(dist === undefined ? {} : { dist }), ...given })
      cleanups.push(() => system.stop())
      return system
    },
    async engine(given = {}) {
      const system = await startEngine({ ...(dist === undefined ? {} : { dist }), ...given })
      cleanups.push(() => system.stop())
      return system
    },
    cleanUp: (run) => void cleanups.push(run),
    folder,
    say,
  }
  const began = performance.now()
  let timer: NodeJS.Timeout | undefined
  const limit = new Promise<void>((resolve) => {
    timer = setTimeout(
      () => {
        findings.hung('the row itself has not ended')
        resolve()
      },
      short ? LIMIT_MS.short : LIMIT_MS.full,
    )
  })
  try {
    await Promise.race([row.run(env, findings), limit])
  } catch (error) {
    findings.wrong(`the row broke off: ${error instanceof Error ? error.message : String(error)}`)
  } finally {
    clearTimeout(timer)
    for (const run of cleanups.reverse()) await Promise.resolve(run()).catch((error) => findings.note(String(error)))
  }
  return { ...findings.outcome(), rounds: env.rounds, seconds: (performance.now() - began) / 1_000 }
}
