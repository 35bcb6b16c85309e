import type { ErrorBody, InvokeFunctionFrame } from '@agentos/protocol'
import { isOver } from './calling.ts'
import type { Connection } from './connection.ts'
import { AgentError, toErrorBody } from './errors.ts'
import { Inbound } from './inbound.ts'
import { knownSecrets } from './known-secrets.ts'

export type Dispatch = (inbound: Inbound) => unknown

/** Serves the invocations that the engine sends: runs the handler, and answers on the connection that asked. */
export class Serving {
  private readonly connection: () => Connection
  private readonly handlers = new Map<string, Dispatch | 'http'>()
  private readonly running = new Map<string, Inbound>()
  private draining = false
  private idle: (() => void) | undefined
  frameLimit = Number.POSITIVE_INFINITY

  constructor(connection: () => Connection) {
    this.connection = connection
  }

  /** `'http'`: the engine invokes it over HTTP, there is no handler here. */
  add(functionId: string, dispatch: Dispatch | 'http'): void {
    this.handlers.set(functionId, dispatch)
  }

  remove(functionId: string): void {
    this.handlers.delete(functionId)
  }

  invoke(frame: InvokeFunctionFrame): void {
    const inbound = new Inbound(frame, this.connection().epoch)
    const handler = this.handlers.get(frame.function_id)
    if (this.draining) {
      this.refuse(inbound)
    } else if (handler === undefined) {
      const message = `Function ${frame.function_id} not found`
      this.answer(inbound, undefined, { code: 'function_not_found', message })
    } else if (handler === 'http') {
      const message = `Function ${frame.function_id} is invoked over HTTP and has no handler in this process`
      this.answer(inbound, undefined, { code: 'function_not_invokable', message })
    } else {
      this.run(inbound, handler)
    }
  }

  cancel(invocationId: string, reason: string | undefined): void {
    const inbound = this.running.get(invocationId)
    if (reason === 'deadline_exceeded') inbound?.abort(reason, 'The deadline of the call has passed')
    else inbound?.abort('cancelled', 'The caller cancelled the call')
  }

  connectionLost(): void {
    for (const inbound of this.running.values()) {
      inbound.abort('engine_lost', 'The connection to the engine was lost; nobody waits for this answer')
    }
  }

  /** Refuses what still comes, waits for what is running, and aborts what is running after `timeoutMs`. */
  async drain(timeoutMs: number): Promise<boolean> {
    this.draining = true
    if (this.running.size === 0) return true
    let timer: NodeJS.Timeout | undefined
    const finished = await Promise.race([
      new Promise<true>((resolve) => {
        this.idle = () => resolve(true)
      }),
      new Promise<false>((resolve) => {
        timer = setTimeout(() => resolve(false), timeoutMs)
      }),
    ])
    clearTimeout(timer)
    for (const inbound of this.running.values()) inbound.abort('shutting_down', 'The worker is stopping')
    return finished
  }

  private run(inbound: Inbound, handler: Dispatch): void {
    this.running.set(inbound.id, inbound)
    try {
      const result = handler(inbound)
      // A handler that is done is answered at once: its input then lives no longer than the message that brought it.
      if (!isThenable(result)) return this.finish(inbound, result, undefined)
      Promise.resolve(result).then(
        (value: unknown) => this.finish(inbound, value, undefined),
        (error: unknown) => this.finish(inbound, undefined, toErrorBody(error, inbound.functionId)),
      )
    } catch (error) {
      this.finish(inbound, undefined, toErrorBody(error, inbound.functionId))
    }
  }

  private finish(inbound: Inbound, result: unknown, error: ErrorBody | undefined): void {
    this.answer(inbound, result, error)
    this.running.delete(inbound.id)
    inbound.finish()
    if (this.running.size === 0) this.idle?.()
  }

  /** It was on the way when we took our functions back: nothing has happened, and the engine sends it elsewhere. */
  private refuse(inbound: Inbound): void {
    if (inbound.id === '') return
    const error: ErrorBody = { code: 'worker_unavailable', message: 'The worker is stopping; try again' }
    this.connection().send(this.encode(inbound, { error, refused: true }))
  }

  private answer(inbound: Inbound, result: unknown, error: ErrorBody | undefined): void {
    const connection = this.connection()
    // An answer for an earlier connection is for nobody: the engine has told the caller already.
    if (inbound.epoch !== connection.epoch || inbound.id === '') return
    inbound.answered = true
    connection.send(error ? this.encode(inbound, { error }) : this.encodeResult(inbound, result))
  }

  private encodeResult(inbound: Inbound, result: unknown): string {
    let text: string
    try {
      text = this.encode(inbound, { result })
    } catch (cause) {
      const error = new AgentError('serialization_error', `The result of ${inbound.functionId} is not plain JSON`)
      return this.encode(inbound, { error: { ...toErrorBody(error), details: { reason: String(cause) } } })
    }
    if (!isOver(text, this.frameLimit)) return text
    const message = `The result of ${inbound.functionId} is over the engine's limit of ${this.frameLimit} bytes`
    return this.encode(inbound, { error: { code: 'payload_too_large', message } })
  }

  private encode(inbound: Inbound, outcome: { result: unknown } | { error: ErrorBody; refused?: true }): string {
    return JSON.stringify({
      type: 'invocationresult',
      invocation_id: inbound.id,
      function_id: inbound.functionId,
      ...('error' in outcome ? knownSecrets.value(outcome) : outcome),
    })
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function'
}
