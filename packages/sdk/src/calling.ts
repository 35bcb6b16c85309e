import { randomUUID } from 'node:crypto'
import type { InvokeFunctionFrame } from '@agentos/protocol'
import type { TriggerRequest } from './api.ts'
import type { Connection } from './connection.ts'
import type { CallOptions } from './context.ts'
import type { FunctionContract } from './contract.ts'
import { toInvocationError } from './errors.ts'
import { Outbox } from './outbox.ts'
import { abortBody, PendingCalls, type PendingOptions } from './pending-calls.ts'
import { withRetry } from './retry.ts'

/** On whose behalf a call is made; empty for a client's own. */
export interface CallScope {
  /** The invocation being served. */
  parent?: string | undefined
  /** The realm to enter. */
  realm?: string
  traceparent?: string | undefined
  /** Place of the call in the run of its parent: the engine journals its outcome, repeats it where it may, and bounds it.
   *  Nothing is decided here, so that a later attempt is told the same. */
  step?: string
  /** Bound of the call where the engine cannot derive it from a parent, in milliseconds. */
  remainingMs?: number | undefined
}

const AWAY_LIMITS = { messages: 1_000, size: 16 * 1024 * 1024 }
/** Bytes that may wait in the socket for an engine that does not read. */
const MOST_BUFFERED = 64 * 1024 * 1024

/** Makes calls and takes their answers, over the losses of the connection. */
export class Calling {
  private readonly connection: () => Connection
  private readonly pending = new PendingCalls()
  private readonly outbox = new Outbox(AWAY_LIMITS, (id) => this.pending.has(id))
  /** Bytes of a frame that the engine takes; past them it would end the connection. */
  frameLimit = Number.POSITIVE_INFINITY
  private over: Error | undefined

  constructor(connection: () => Connection) {
    this.connection = connection
  }

  invoke(request: TriggerRequest & CallOptions, scope: CallScope): Promise<unknown> {
    const { retry, signal, deadlineMs } = request
    if (!retry || retry.max <= 0 || scope.step !== undefined) return this.invokeOnce(request, scope, deadlineMs)
    const end = deadlineMs === undefined ? undefined : performance.now() + deadlineMs
    // What a handler was asked by a connection that is gone, it can ask nobody any more.
    const survives = scope.parent === undefined && (request.repeatable === true || request.idempotencyKey !== undefined)
    return withRetry(request.function_id, retry, { signal, survives }, () =>
      this.invokeOnce(request, scope, end === undefined ? undefined : Math.max(0, end - performance.now())),
    )
  }

  succeed(id: string, result: unknown): void {
    this.pending.succeed(id, result)
  }

  fail(id: string, error: unknown): void {
    this.pending.fail(id, error)
  }

  /** Sends what was given while the engine was away. */
  flush(): void {
    for (const { text, invocationId } of this.outbox.take()) {
      this.connection().send(text)
      if (invocationId) this.pending.markSent(invocationId)
    }
  }

  connectionLost(): void {
    this.pending.failSent()
  }

  end(reason: Error): void {
    this.over = reason
    this.outbox.take()
    this.pending.failAll(reason)
  }

  private invokeOnce(
    request: TriggerRequest & CallOptions,
    scope: CallScope,
    deadlineMs: number | undefined,
  ): Promise<unknown> {
    const { function_id } = request
    const wantsAnswer = request.action?.type !== 'void'
    const id = wantsAnswer ? randomUUID() : undefined
    try {
      const text = this.encode(request, scope, deadlineMs, id)
      if (id === undefined) {
        this.dispatch(function_id, text)
        return Promise.resolve(undefined)
      }
      const options =
        scope.step === undefined ? this.pendingOptions(request, deadlineMs) : this.stepOptions(id, request)
      const answer = this.pending.add(id, function_id, options)
      try {
        this.dispatch(function_id, text, id)
      } catch (error) {
        this.pending.fail(id, error)
      }
      return answer
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /** The frame of a call. Throws where it is not to be made. */
  private encode(
    request: TriggerRequest & CallOptions,
    scope: CallScope,
    deadlineMs: number | undefined,
    id: string | undefined,
  ): string {
    if (this.over) throw this.over
    const { function_id, signal } = request
    if (signal?.aborted) throw toInvocationError(function_id, abortBody(signal.reason))
    const text = JSON.stringify(invokeFrame(request, scope, deadlineMs, id))
    if (!isOver(text, this.frameLimit)) return text
    const message = `The call is over the engine's limit of ${this.frameLimit} bytes for a frame`
    throw toInvocationError(function_id, { code: 'payload_too_large', message })
  }

  private pendingOptions({ timeoutMs, signal }: TriggerRequest & CallOptions, deadlineMs?: number): PendingOptions {
    const timeout: PendingOptions['timeout'] =
      deadlineMs !== undefined && (timeoutMs === undefined || deadlineMs <= timeoutMs)
        ? { ms: deadlineMs, code: 'deadline_exceeded' }
        : timeoutMs !== undefined
          ? { ms: timeoutMs, code: 'TIMEOUT' }
          : undefined
    return {
      ...(timeout ? { timeout } : {}),
      ...(signal ? { signal } : {}),
      onAbandoned: (id, reason) => this.sendCancel(id, reason),
    }
  }

  /** Aborting a step asks for its cancellation; what became of it is for the journal to say. */
  private stepOptions(id: string, { signal }: CallOptions): PendingOptions {
    const onAbort = (): void => {
      if (this.pending.has(id)) this.sendCancel(id, abortBody(signal?.reason).code)
    }
    signal?.addEventListener('abort', onAbort, { once: true })
    return { onAbandoned: () => {}, onSettled: () => signal?.removeEventListener('abort', onAbort) }
  }

  private sendCancel(id: string, reason: string): void {
    this.connection().send(JSON.stringify({ type: 'cancelinvocation', invocation_id: id, reason }))
  }

  private dispatch(functionId: string, text: string, id?: string): void {
    const connection = this.connection()
    if (connection.isOpen) {
      if (connection.buffered > MOST_BUFFERED) throw overloaded(functionId, 'The engine does not read its socket')
      connection.send(text)
      if (id) this.pending.markSent(id)
    } else if (!this.outbox.add(text, id)) {
      throw overloaded(functionId, 'The engine is away, and too much waits for it already')
    }
  }
}

/** The call of a contract as a request; whether it may be repeated matters only where it might be. */
export function requestOf(
  { id, effects, idempotent }: FunctionContract,
  payload: unknown,
  options: CallOptions,
): TriggerRequest & CallOptions {
  const request = { ...options, function_id: id, payload }
  return options.retry ? { repeatable: effects === 'read' || idempotent === true, ...request } : request
}

function invokeFrame(
  request: TriggerRequest & CallOptions,
  scope: CallScope,
  deadlineMs: number | undefined,
  id: string | undefined,
): InvokeFunctionFrame {
  const frame: InvokeFunctionFrame = { type: 'invokefunction', function_id: request.function_id }
  if (id) frame.invocation_id = id
  // The reference engine drops a call without `data`.
  frame.data = request.payload ?? null
  if (request.action) frame.action = request.action
  if (request.metadata !== undefined) frame.metadata = request.metadata
  if (scope.parent) frame.parent = scope.parent
  const realm = request.realm ?? scope.realm
  if (realm) frame.realm = realm
  if (scope.traceparent) frame.traceparent = scope.traceparent
  const deadline = least(deadlineMs, scope.remainingMs)
  if (deadline !== undefined) frame.deadline_ms = Math.round(deadline)
  if (request.retry) frame.retry = { max: request.retry.max, backoff_ms: request.retry.backoffMs }
  if (request.idempotencyKey) frame.idempotency_key = request.idempotencyKey
  if (scope.step !== undefined) {
    frame.step = scope.step
    if (request.retry) frame.retry = { max: request.retry.max, backoff_ms: request.retry.backoffMs }
  }
  if (request.agent) frame.agent = request.agent
  if (request.session) frame.session = request.session
  if (request.run) frame.run = request.run
  return frame
}

function least(a: number | undefined, b: number | undefined): number | undefined {
  if (a === undefined) return b
  return b === undefined ? a : Math.min(a, b)
}

/** Is the UTF-8 of this text over the limit? Counted only where it may be. */
export function isOver(text: string, bytes: number): boolean {
  if (text.length * 3 <= bytes) return false
  return text.length > bytes || Buffer.byteLength(text) > bytes
}

function overloaded(functionId: string, message: string): Error {
  return toInvocationError(functionId, { code: 'overloaded', message })
}
