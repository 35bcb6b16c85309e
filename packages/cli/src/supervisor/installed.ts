import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { WorkerDescriptor } from '@agentos/protocol'
import { Refusal } from '../refusal.ts'

/** The workers that the build knows, by name. */
export function readInstalled(dist: string): WorkerDescriptor[] {
  let names: string[]
  try {
    names = readdirSync(join(dist, 'workers'))
  } catch (error) {
    throw notBuilt(dist, error)
  }
  return names
    .filter((name) => name.endsWith('.json'))
    .sort()
    .map((name) => JSON.parse(readFileSync(join(dist, 'workers', name), 'utf8')) as WorkerDescriptor)
}

export const notBuilt = (dist: string, cause?: unknown): Refusal =>
  new Refusal(
    'not_built',
    'AgentOS is not built',
    `${dist} is missing or incomplete.`,
    ['Run npm start, which builds it.'],
    cause,
  )
