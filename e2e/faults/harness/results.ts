import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Outcome } from './findings.ts'
import type { Host } from './host.ts'

const FILE = join(import.meta.dirname, '../results.json')

/** Under what something ran. */
export interface Circumstances {
  commit: string
  seed: number
  /** ISO 8601, UTC. */
  date: string
  host: Host
}

export interface RowResult extends Outcome, Circumstances {
  row: number
  rounds: number
  unit: string
  seconds: number
}

export interface PlantedResult extends Circumstances {
  bugs: {
    name: string
    row: number
    /** The first finding of the row with the bug, `null` where it stayed green. */
    found: string | null
  }[]
}

/** The latest whole run of each row, however long ago. */
export interface Results {
  rows: RowResult[]
  planted?: PlantedResult
}

export function readResults(file = FILE): Results {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Results
  } catch {
    return { rows: [] }
  }
}

export function withRow(results: Results, result: RowResult): Results {
  const rows = [...results.rows.filter(({ row }) => row !== result.row), result].sort((a, b) => a.row - b.row)
  return { ...results, rows }
}

export function writeResults(results: Results, file = FILE): void {
  const rounded = (_key: string, value: unknown): unknown =>
    typeof value === 'number' && !Number.isInteger(value) ? Number(value.toFixed(2)) : value
  writeFileSync(file, `${JSON.stringify(results, rounded, 2)}\n`)
}
