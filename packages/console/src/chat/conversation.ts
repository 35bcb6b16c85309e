import type { Agent } from '@agentos/contracts/agent-core'
import type { SessionInfo } from '@agentos/contracts/memory'
import { useCallback, useEffect, useRef, useState } from 'preact/hooks'
import { followRun } from '../runs/follow.ts'
import { get } from '../shared/api.ts'
import { isFinal, type Problem, problemOf } from '../shared/problem.ts'
import { type Resource, useResource } from '../shared/resource.ts'
import { type Answer, applyRunEvent, failed } from './answer.ts'
import { type Run, startRun } from './run.ts'
import { type Transcript, type Turn, turnsOf } from './transcript.ts'

export interface Conversation {
  agentId: string
  agents: Agent[]
  sessionId?: string
  turns: Turn[]
  /** An answer is being made. */
  busy: boolean
  /** Why a stored conversation could not be read. */
  problem?: Problem
  sessions: Resource<SessionInfo[]>
  send(message: string, model?: string): void
  stop(): void
  /** Shows a stored conversation, or an empty one; not while an answer is made. */
  show(sessionId?: string): void
  chooseAgent(agentId: string): void
}

/** Deltas may come faster than they can be drawn. */
const DRAW_MS = 40

/** The conversation on the page; `inputs` say when the list of stored ones has to be read again. */
export function useConversation(inputs: unknown[]): Conversation {
  const [agentId, setAgentId] = useState('default')
  const [sessionId, setSessionId] = useState<string>()
  const [turns, setTurns] = useState<Turn[]>([])
  const [busy, setBusy] = useState(false)
  const [problem, setProblem] = useState<Problem>()
  const run = useRef<Run | undefined>(undefined)
  /** Ends the listening to the runs of answers that wait. */
  const waits = useRef(new AbortController())
  const asked = useRef<string | undefined>(undefined)
  const list = `/v1/sessions?agentId=${encodeURIComponent(agentId)}&limit=50`
  const sessions = useResource((signal) => get<SessionInfo[]>(list, { signal }), [...inputs, agentId])

  const agents = useResource((signal) => get<Agent[]>('/v1/agents', { signal }), inputs)

  /** An answer that stands still comes by itself: its run says how it goes on. */
  const follow = useCallback((waiting: Answer): void => {
    const { runId } = waiting
    if (runId === undefined) return
    let answer = waiting
    const change = (next: Answer): void => {
      if (next === answer) return
      const before = answer
      answer = next
      setTurns((turns) => turns.map((turn) => (turn === before ? next : turn)))
    }
    void followRun(runId, waits.current.signal, {
      event: (event) => change(applyRunEvent(answer, event)),
      problem: (problem) => isFinal(problem) && change(failed(answer, problem)),
    }).then(sessions.reload)
  }, [])

  const send = useCallback(
    (message: string, model?: string): void => {
      let latest: Answer | undefined
      let timer: ReturnType<typeof setTimeout> | undefined
      const draw = (): void => {
        clearTimeout(timer)
        timer = undefined
        const answer = latest
        if (answer) setTurns((before) => [...before.slice(0, -1), answer])
      }
      setBusy(true)
      setTurns((before) => [
        ...before,
        { role: 'user', text: message },
        { role: 'assistant', status: 'running', pieces: [] },
      ])
      const choice = { ...(sessionId === undefined ? {} : { sessionId }), ...(model === undefined ? {} : { model }) }
      run.current = startRun({ message, agentId, ...choice }, (answer) => {
        latest = answer
        timer ??= setTimeout(draw, DRAW_MS)
      })
      run.current.finished.then((answer) => {
        draw()
        run.current = undefined
        setBusy(false)
        if (answer.sessionId !== undefined) setSessionId(answer.sessionId)
        sessions.reload()
        if (answer.status === 'waiting') follow(answer)
      })
    },
    [agentId, sessionId],
  )

  const show = useCallback(
    (id?: string): void => {
      asked.current = id
      waits.current.abort()
      waits.current = new AbortController()
      setSessionId(id)
      setTurns([])
      setProblem(undefined)
      if (id === undefined) return
      get<Transcript>(`/v1/sessions/${encodeURIComponent(id)}?agentId=${encodeURIComponent(agentId)}`).then(
        ({ messages }) => asked.current === id && setTurns(turnsOf(messages)),
        (error: unknown) => asked.current === id && setProblem(problemOf(error)),
      )
    },
    [agentId],
  )

  // Who leaves the page does not want the answer any more.
  useEffect(
    () => () => {
      run.current?.stop()
      waits.current.abort()
    },
    [],
  )
  return {
    agentId,
    agents: agents.value ?? [],
    ...(sessionId === undefined ? {} : { sessionId }),
    turns,
    busy,
    ...(problem ? { problem } : {}),
    sessions,
    send,
    stop: () => run.current?.stop(),
    show,
    chooseAgent(id) {
      setAgentId(id)
      show()
    },
  }
}
