import { useEffect, useState } from 'preact/hooks'

export type Route =
  | { view: 'chat' | 'models' | 'approvals' | 'budgets' }
  | { view: 'runs'; runId?: string }
  | { view: 'schedules'; traceId?: string }
  | { view: 'functions'; functionId?: string }

/** What stands behind the `#` of the address; whatever is not known is the chat. */
export function routeOf(hash: string): Route {
  const [view, rest] = hash.replace(/^#/, '').split(/\/(.*)/)
  if (view === 'models' || view === 'approvals' || view === 'budgets') return { view }
  if (view === 'runs') return { view, ...(rest ? { runId: decodeURIComponent(rest) } : {}) }
  if (view === 'schedules') return { view, ...(rest ? { traceId: decodeURIComponent(rest) } : {}) }
  if (view === 'functions') return { view, ...(rest ? { functionId: decodeURIComponent(rest) } : {}) }
  return { view: 'chat' }
}

export const functionHref = (id: string): string => `#functions/${encodeURIComponent(id)}`

export const runHref = (id: string): string => `#runs/${encodeURIComponent(id)}`

export const firingHref = (traceId: string): string => `#schedules/${encodeURIComponent(traceId)}`

export function useRoute(): Route {
  const [route, setRoute] = useState(() => routeOf(location.hash))
  useEffect(() => {
    const follow = (): void => setRoute(routeOf(location.hash))
    addEventListener('hashchange', follow)
    return () => removeEventListener('hashchange', follow)
  }, [])
  return route
}
