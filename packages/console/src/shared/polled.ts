import { type Inputs, useEffect } from 'preact/hooks'
import { isFinal } from './problem.ts'
import { type Resource, useResource } from './resource.ts'

/**
 * Loaded again every so often while the page is looked at: for what others change. What is refused or not there is not
 * asked for again by itself.
 */
export function usePolled<T>(load: (signal: AbortSignal) => Promise<T>, inputs: Inputs, everyMs: number): Resource<T> {
  const resource = useResource(load, inputs)
  const { reload, problem } = resource
  const refused = problem !== undefined && isFinal(problem)
  useEffect(() => {
    if (refused) return undefined
    const timer = setInterval(() => document.hidden || reload(), everyMs)
    return () => clearInterval(timer)
  }, [reload, everyMs, refused])
  return resource
}
