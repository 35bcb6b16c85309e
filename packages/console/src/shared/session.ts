import { createContext } from 'preact'
import { useCallback, useContext, useEffect, useState } from 'preact/hooks'
import { get, lookInto, request } from './api.ts'
import { type Problem, problemOf } from './problem.ts'

export interface Identity {
  principal: { kind: string; id: string }
  realm: string
  /** Whether one may be here without a code. */
  guests: boolean
}

/** The realm of whoever has no credential. */
export const GUEST_REALM = 'realm-guest'

/** Which realm this tab of the owner's looks into. */
const KEPT = 'agentos-realm'

export interface Session {
  /** Absent while it is asked, and where nobody is let in without a code. */
  identity?: Identity
  owner: boolean
  /** The realm that is looked into; the owner may choose another than the own. */
  realm: string
  look(realm: string): void
  /** Why nobody is known. */
  problem?: Problem
  /** The form that takes a code is open. */
  asking: boolean
  ask(open: boolean): void
  /** Throws `RequestFailed` where the code is not taken. */
  enter(code: string): Promise<void>
  leave(): Promise<void>
}

export const SessionContext = createContext<Session | undefined>(undefined)

export function useSession(): Session {
  const session = useContext(SessionContext)
  if (!session) throw new Error('A component is outside of the session')
  return session
}

/** Who sits before the page. A code in the address is used, and taken out of it before anything else happens. */
export function useNewSession(): Session {
  const [identity, setIdentity] = useState<Identity>()
  const [problem, setProblem] = useState<Problem>()
  const [asking, ask] = useState(false)
  const [realm, setRealm] = useState('')
  const refresh = useCallback(async () => {
    try {
      const found = await get<Identity>('/v1/auth/me', { realm: null })
      const kept = found.principal.kind === 'owner' ? sessionStorage.getItem(KEPT) : null
      lookInto(kept ?? undefined)
      setRealm(kept ?? found.realm)
      setIdentity(found)
      setProblem(undefined)
    } catch (error) {
      setIdentity(undefined)
      setProblem(problemOf(error))
    }
  }, [])
  const enter = useCallback(async (code: string) => {
    await request('POST', '/v1/auth/session', { code }, { realm: null })
    await refresh()
    ask(false)
  }, [])
  const leave = useCallback(async () => {
    await request('DELETE', '/v1/auth/session', undefined, { realm: null })
    sessionStorage.removeItem(KEPT)
    await refresh()
  }, [])
  const look = useCallback((wanted: string) => {
    sessionStorage.setItem(KEPT, wanted)
    lookInto(wanted)
    setRealm(wanted)
  }, [])
  useEffect(() => {
    const useCodeOfAddress = async (): Promise<void> => {
      const code = takeCode()
      if (code === undefined) return
      await enter(code).catch(async (error: unknown) => {
        await refresh()
        // Who is the owner already, say with a page that is loaded again, needs no code.
        setRefused(problemOf(error))
      })
    }
    const start = location.hash.startsWith('#code=') ? useCodeOfAddress() : refresh()
    void start
    const onHash = (): void => void useCodeOfAddress()
    addEventListener('hashchange', onHash)
    return () => removeEventListener('hashchange', onHash)
  }, [])
  const [refused, setRefused] = useState<Problem>()
  const owner = identity?.principal.kind === 'owner'
  const shown = problem ?? (owner ? undefined : refused)
  const known = { ...(identity ? { identity } : {}), ...(shown ? { problem: shown } : {}) }
  return { ...known, owner, realm, look, asking, ask, enter, leave }
}

function takeCode(): string | undefined {
  const code = /^#code=([\w-]+)$/.exec(location.hash)?.[1]
  // It must not stay in the history, nor in what somebody copies from the address bar.
  if (code !== undefined) history.replaceState(null, '', location.pathname)
  return code
}
