import { type Inputs, useCallback, useEffect, useState } from 'preact/hooks'
import { type Problem, problemOf } from './problem.ts'

export interface Resource<T> {
  /** The last that was loaded; it stays while it is loaded again. */
  value?: T
  problem?: Problem
  reload: () => void
}

/** Loads something now, and again whenever an input changes; the answer to an older question is thrown away. */
export function useResource<T>(load: (signal: AbortSignal) => Promise<T>, inputs: Inputs): Resource<T> {
  const [state, setState] = useState<Omit<Resource<T>, 'reload'>>({})
  const [round, setRound] = useState(0)
  useEffect(() => {
    const abort = new AbortController()
    load(abort.signal).then(
      (value) => abort.signal.aborted || setState({ value }),
      (error: unknown) => abort.signal.aborted || setState((last) => ({ ...last, problem: problemOf(error) })),
    )
    return () => abort.abort()
  }, [...inputs, round])
  return { ...state, reload: useCallback(() => setRound((last) => last + 1), []) }
}
