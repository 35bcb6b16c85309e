import type { ErrorBody } from '@agentos/protocol'
import type { Connection } from './connection.ts'
import type { CallContext } from './context.ts'
import { isOfGuests } from './guest-share.ts'
import type { InvokeRequest } from './module.ts'
import type { Timer } from './ports.ts'
import type { Registration } from './registry.ts'

/** One handing-over of a call to an executor. A call that is repeated after a failure has several. */
export interface Attempt {
  /** Counts from 1. */
  number: number
  /** Given to the executor; never the caller's own id, so that two callers cannot collide. */
  id: string
  /** The call's own span; of a further attempt one below it. */
  spanId: string
  startedAt: number
}

/** One invocation in the table: from the moment it is accepted until its caller has the result. */
export class Call {
  readonly id: string
  readonly request: InvokeRequest
  readonly spanId: string
  readonly startedAt: number
  /** It counts against the bounds of the guests, and against nobody else's. */
  readonly ofGuests: boolean
  attempt: Attempt
  /** Connection that made it; absent for HTTP, triggers and the engine itself. */
  caller: Connection | undefined
  /** Call that it was made under, as long as that is in flight. */
  parent: Call | undefined
  /** Calls that were made while serving this one. */
  children: Set<Call> | undefined
  /** Of the last attempt that was sent to a process. */
  executor: Registration | undefined
  /** An executor has it and has not answered. */
  running = false
  /** Of a run or job: when it was handed to its process, by the monotonic clock. */
  handedOverAt = 0
  /** Some attempt reached an executor, which answered or was lost. */
  reached = false
  /** Processes that gave it back without having begun. */
  refusals = 0
  deadlineTimer: Timer | undefined
  waitTimer: Timer | undefined
  /** Until the next attempt. */
  retryTimer: Timer | undefined
  /** The place whose next free process it waits for, and its line there; empty where it never waited. */
  place = ''
  line = ''
  onCancel: ((error: ErrorBody) => void) | undefined
  /** Its idempotency key is noted on disk. */
  claimed = false
  /** Its result is settled; under an idempotency key it is being recorded. */
  ended = false
  /** The gate, or the worker's check before it, is being asked: that call is the only one below this one. */
  asking = false
  /** Its caller has the result. */
  settled = false
  /** After `engine::calls::detach`: how long its context outlives the answer, in milliseconds. */
  detachMs = 0

  constructor(id: string, request: InvokeRequest, spanId: string, startedAt: number) {
    this.id = id
    this.request = request
    this.spanId = spanId
    this.startedAt = startedAt
    this.ofGuests = isOfGuests(request.context)
    this.attempt = { number: 1, id, spanId, startedAt }
  }

  get context(): CallContext {
    return this.request.context
  }

  /** What a call made under this one starts from: the same authority and deadline, this call as its parent. */
  childContext(): CallContext {
    const { idempotencyKey: _own, repeated: _too, chosen: _chosen, ...context } = this.request.context
    return { ...context, parent: this.id, parentSpanId: this.attempt.spanId }
  }
}
