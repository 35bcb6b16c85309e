import { useEffect, useState } from 'preact/hooks'
import { get } from '../shared/api.ts'
import { usePolled } from '../shared/polled.ts'
import type { Problem } from '../shared/problem.ts'
import type { Resource } from '../shared/resource.ts'
import { followRun } from './follow.ts'
import type { JournalEvent, StepCall } from './journal.ts'

export type RunStatus = 'running' | 'waiting' | 'parked' | 'done' | 'failed' | 'cancelled'

/** The state of a run, as `engine::runs::get` and `engine::runs::list` give it. */
export interface Run {
  id: string
  function: string
  /** Installed worker that it belongs to. */
  worker?: string
  status: RunStatus
  reason?: string
  /** What a person or a signal has to decide. */
  question?: { step: string; function?: string; input?: unknown; signal?: string; expiresAt?: number }
  createdAt: number
  finishedAt?: number
  /** Times that it was handed to a process. */
  attempts: number
  /** Steps whose result is recorded. */
  steps: number
  costMicroUsd: number
  usage: Record<string, number>
  code: { worker?: string; version?: string }
  replayOf?: string
  forkOf?: { run: string; step: string }
}

/** What a replay came to. */
export interface ReplayReport {
  ok: boolean
  /** `null`: there was no such step, or it was not asked for. */
  divergences: { step: string; recorded: StepCall | null; asked: StepCall | null }[]
  resultEqual?: boolean
  /** Step at which the journal of the original ends. */
  endedAt?: string
}

export const isOver = ({ status }: Run): boolean => status === 'done' || status === 'failed' || status === 'cancelled'

const EVERY_MS = 2_000

export const useRuns = (): Resource<Run[]> =>
  usePolled(async (signal) => (await get<{ runs: Run[] }>('/v1/runs?limit=100', { signal })).runs, [], EVERY_MS)

/** Its state; what its steps came to is told by its events. */
export const useRun = (id: string, inputs: unknown[]): Resource<Run> =>
  usePolled((signal) => get<Run>(`${runPath(id)}?values=false`, { signal }), [id, ...inputs], EVERY_MS)

export const runPath = (id: string): string => `/v1/runs/${encodeURIComponent(id)}`

export interface RunEvents {
  events: JournalEvent[]
  /** Why no more come now. */
  problem?: Problem
}

/** The events of a run as they are written. */
export function useRunEvents(id: string): RunEvents {
  const [state, setState] = useState<RunEvents>({ events: [] })
  useEffect(() => {
    const abort = new AbortController()
    setState({ events: [] })
    void followRun(id, abort.signal, {
      event: (event) => setState(({ events }) => ({ events: [...events, event] })),
      problem: (problem) => setState(({ events }) => ({ events, problem })),
    })
    return () => abort.abort()
  }, [id])
  return state
}
