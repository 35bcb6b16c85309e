import { AgentError } from '@agentos/sdk'

/** How long a chat waits for the one before it in the same session. */
export const SESSION_WAIT_MS = 30_000

/** One chat at a time per session; the next ones wait their turn in order, for a bounded time unless they are patient. */
export class SessionQueue {
  private readonly waiting = new Map<string, (() => void)[]>()
  private readonly waitMs: number

  constructor(waitMs = SESSION_WAIT_MS) {
    this.waitMs = waitMs
  }

  /** Resolves when it is this chat's turn, to what ends the turn. Throws `session_busy` unless `patient`, and `cancelled`. */
  async enter(session: string, signal: AbortSignal, { patient = false } = {}): Promise<() => void> {
    if (signal.aborted) throw cancelled()
    const queue = this.waiting.get(session)
    if (!queue) {
      this.waiting.set(session, [])
      return this.leaver(session)
    }
    await new Promise<void>((resolve, reject) => {
      const turn = (): void => {
        settle()
        resolve()
      }
      const giveUp = (error: AgentError): void => {
        const at = queue.indexOf(turn)
        if (at >= 0) queue.splice(at, 1)
        settle()
        reject(error)
      }
      const onTimeout = (): void =>
        giveUp(new AgentError('session_busy', `Session ${session} is still answering; try again when it is done`))
      const timer = patient ? undefined : setTimeout(onTimeout, this.waitMs)
      const onAbort = (): void => giveUp(cancelled())
      const settle = (): void => {
        clearTimeout(timer)
        signal.removeEventListener('abort', onAbort)
      }
      signal.addEventListener('abort', onAbort, { once: true })
      queue.push(turn)
    })
    return this.leaver(session)
  }

  private leaver(session: string): () => void {
    let left = false
    return () => {
      if (left) return
      left = true
      const queue = this.waiting.get(session)
      const next = queue?.shift()
      if (next) next()
      else this.waiting.delete(session)
    }
  }
}

function cancelled(): AgentError {
  return new AgentError('cancelled', 'The chat was cancelled while it waited its turn')
}
