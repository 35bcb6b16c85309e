import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { SupervisedState } from '@agentos/protocol'
import { writeAtomically } from './orphans.ts'

/** What the supervisor knows and the engine cannot: `<data>/supervisor.json`, read by `agentos status`. */
export interface SupervisorStatus {
  pid: number
  /** Address of the page. */
  address: string
  /** Where workers connect, as `host:port`. */
  workerAddress: string
  /** Epoch milliseconds. */
  startedAt: number
  dev: boolean
  stopping: boolean
  processes: ProcessStatus[]
  /** What the engine had to tell its owner when it started. */
  notice?: string
}

export interface ProcessStatus {
  /** That of the worker; further processes of the same worker are `memory.2`, … */
  name: string
  state: SupervisedState
  pid?: number
  restarts: number
  /** Why it last ended without being asked to. */
  reason?: string
  /** Since when it is in this state, epoch milliseconds. */
  since: number
  memoryMb?: number
  /** Of one that is held: when it is tried again without being told to, epoch milliseconds. */
  retryAt?: number
  /** What is wrong with it though it may run: its sources do not build, or something of it does not stand. */
  problem?: string
}

const statusPath = (data: string): string => join(data, 'supervisor.json')

export const writeStatus = (data: string, status: SupervisorStatus): void => writeAtomically(statusPath(data), status)

export function readStatus(data: string): SupervisorStatus | undefined {
  try {
    return JSON.parse(readFileSync(statusPath(data), 'utf8')) as SupervisorStatus
  } catch {
    return undefined
  }
}
