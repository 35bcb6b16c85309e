import { InvocationError, toInvocationError } from './errors.ts'

/** The longest that a timer of Node runs; a longer one would fire at once. */
export const MAX_TIMER_MS = 2 ** 31 - 1

interface PendingCall {
  functionId: string
  /** Handed to a socket; a call that still waits in the outbox survives the loss of the engine. */
  sent: boolean
  resolve: (value: unknown) => void
  reject: (error: Error) => void
  timer: NodeJS.Timeout | undefined
  release: (() => void) | undefined
}

export interface PendingOptions {
  /** Fails locally after this time with this code. */
  timeout?: { ms: number; code: 'TIMEOUT' | 'deadline_exceeded' }
  signal?: AbortSignal
  /** Runs where the caller gives up before the answer: it timed out or was aborted. */
  onAbandoned: (id: string, reason: string) => void
  /** Runs once it has left the table. */
  onSettled?: () => void
}

/** Calls that were made and are not answered yet. Each leaves the table exactly once. */
export class PendingCalls {
  private readonly calls = new Map<string, PendingCall>()

  get size(): number {
    return this.calls.size
  }

  has(id: string): boolean {
    return this.calls.has(id)
  }

  add(id: string, functionId: string, options: PendingOptions): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const release = options.onSettled
      const call: PendingCall = { functionId, sent: false, resolve, reject, timer: undefined, release }
      this.calls.set(id, call)
      const { timeout, signal } = options
      if (timeout) {
        const message =
          timeout.code === 'TIMEOUT'
            ? `invocation timed out after ${timeout.ms}ms`
            : `${functionId} did not answer within ${timeout.ms} ms`
        call.timer = setTimeout(
          () => {
            this.abandon(id, { code: timeout.code, message }, options)
          },
          Math.min(timeout.ms, MAX_TIMER_MS),
        )
      }
      if (signal) {
        const onAbort = () => this.abandon(id, abortBody(signal.reason), options)
        signal.addEventListener('abort', onAbort, { once: true })
        call.release = () => signal.removeEventListener('abort', onAbort)
      }
    })
  }

  markSent(id: string): void {
    const call = this.calls.get(id)
    if (call) call.sent = true
  }

  succeed(id: string, result: unknown): void {
    this.remove(id)?.resolve(result)
  }

  fail(id: string, error: unknown): void {
    const call = this.remove(id)
    call?.reject(toInvocationError(call.functionId, error))
  }

  /** The connection on which these were sent is gone, and with it their answers. */
  failSent(): void {
    for (const [id, call] of [...this.calls]) {
      if (!call.sent) continue
      this.fail(id, {
        code: 'engine_lost',
        message: `The connection to the engine was lost before ${call.functionId} answered`,
      })
    }
  }

  failAll(error: Error): void {
    for (const id of [...this.calls.keys()]) this.remove(id)?.reject(error)
  }

  private abandon(id: string, body: { code: string; message: string }, options: PendingOptions): void {
    if (!this.calls.has(id)) return
    options.onAbandoned(id, body.code)
    this.fail(id, body)
  }

  private remove(id: string): PendingCall | undefined {
    const call = this.calls.get(id)
    if (!call) return undefined
    this.calls.delete(id)
    if (call.timer) clearTimeout(call.timer)
    call.release?.()
    return call
  }
}

/** Why a signal was aborted, as an error body; the reasons that this SDK gives keep their code. */
export function abortBody(reason: unknown): { code: string; message: string } {
  if (reason instanceof InvocationError) return { code: reason.code, message: reason.reason }
  if (reason instanceof DOMException && reason.name === 'TimeoutError') {
    return { code: 'deadline_exceeded', message: 'The time that the caller gave is over' }
  }
  return { code: 'cancelled', message: 'The caller cancelled the call' }
}
