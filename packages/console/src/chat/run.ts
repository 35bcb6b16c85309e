import { open, request } from '../shared/api.ts'
import { readEvents } from '../shared/events.ts'
import { problemOf } from '../shared/problem.ts'
import { sourceOf } from '../trace/trace.ts'
import { type Answer, applyEvent, failed, newAnswer } from './answer.ts'

export interface ChatInput {
  message: string
  agentId: string
  sessionId?: string
  model?: string
}

/** An answer that is being made. */
export interface Run {
  /** Resolves with the answer however it ends; never rejects. */
  finished: Promise<Answer>
  stop(): void
}

/** Asks, and tells of each change of the answer. */
export function startRun(input: ChatInput, onChange: (answer: Answer) => void): Run {
  const abort = new AbortController()
  let answer = newAnswer()
  const change = (next: Answer): void => {
    answer = next
    onChange(answer)
  }
  const work = async (): Promise<Answer> => {
    try {
      const response = await open('POST', '/v1/chat', { ...input, stream: true }, { signal: abort.signal })
      const trace = sourceOf(response.headers, 'POST /v1/chat')
      if (trace) change({ ...answer, trace })
      for await (const event of readEvents(response)) change(applyEvent(answer, event))
      if (answer.status === 'running') change(failed(answer, CUT_OFF))
    } catch (error) {
      change(abort.signal.aborted ? { ...answer, status: 'stopped' } : failed(answer, problemOf(error)))
    }
    return answer
  }
  return {
    finished: work(),
    stop() {
      // Going away ends the run too, but only after the engine has waited for us to come back.
      const { runId } = answer
      if (runId !== undefined) request('POST', `/v1/chat/${runId}/cancel`, {}).catch(() => undefined)
      abort.abort()
    },
  }
}

const CUT_OFF = {
  title: 'The answer was cut off.',
  detail: 'The connection ended before the answer did.',
  code: 'unreachable',
  next: 'See whether AgentOS still runs, then ask again.',
}
