import { useState } from 'preact/hooks'
import { type Problem, problemOf } from './problem.ts'

export interface Action {
  /** What is being done, in words; empty while nothing is. */
  busy: string
  problem?: Problem
  /** Does one thing at a time, and keeps what went wrong. */
  perform: (doing: string, work: () => Promise<unknown>) => Promise<void>
}

export function useAction(after: () => void): Action {
  const [busy, setBusy] = useState('')
  const [problem, setProblem] = useState<Problem>()
  const perform = async (doing: string, work: () => Promise<unknown>): Promise<void> => {
    setBusy(doing)
    setProblem(undefined)
    await work().catch((error: unknown) => setProblem(problemOf(error)))
    setBusy('')
    after()
  }
  return { busy, perform, ...(problem ? { problem } : {}) }
}
