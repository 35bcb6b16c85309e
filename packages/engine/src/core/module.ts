import type { Action, ChannelRef, ErrorBody, FunctionDescriptor, Payload, Principal } from '@agentos/protocol'
import type { CallContext } from './context.ts'
import type { FunctionFacts } from './function-facts.ts'
import type { Fate } from './gate.ts'
import type { GuestLog } from './guest-log.ts'
import type { GuestShare } from './guest-share.ts'
import type { Loss } from './losses.ts'
import type { Log, Ports } from './ports.ts'
import type { Ending, RetryPolicy } from './retries.ts'
import type { Span, SpanFeed } from './spans.ts'

export type CallResult =
  | { ok: true; payload: Payload | undefined }
  /** `lost`: its executor went away, and nobody knows how far it came. */
  | { ok: false; error: ErrorBody; lost?: Loss }

/** Where a call comes from, as functions of the engine see it. */
export interface CallerIdentity {
  /** Connection id (`worker_id` of the protocol), absent for HTTP and for the engine itself. */
  workerId?: string
  /** Name of the installed worker whose credential the connection gave. */
  worker?: string
}

/** One call that a function of the engine has to answer, exactly once, now or later. */
export interface BuiltinCall {
  readonly functionId: string
  readonly input: unknown
  readonly context: CallContext
  readonly caller: CallerIdentity
  /** The HTTP side, where the call came in by a route of this function. */
  readonly http?: { method: string; path: string; headers: Record<string, string> }
  /** Invocation id, as calls below it name their parent. */
  readonly callId: string
  reply(value?: unknown): void
  fail(code: string, message: string, details?: unknown): void
  /** Runs when the caller cancels, leaves, or the deadline passes; the error is what the caller heard. */
  onCancel(run: (error: ErrorBody) => void): void
}

/** A call of a durable function, to be answered like one of the engine's own. */
export interface DurableCall extends BuiltinCall {
  readonly metadata: unknown
  /** Span of this call: what is done for it is traced below it. */
  readonly spanId: string
}

/** A call that a handler makes as a numbered step of its run. */
export interface StepRequest {
  step: string
  functionId: string
  payload: Payload | undefined
  /** As for any call; `parent` is the invocation that makes the step. */
  context: CallContext
  caller: CallerIdentity
  action?: Action
  metadata?: unknown
  retry?: { max: number; backoff_ms: number }
  onResult(result: CallResult): void
}

export interface BuiltinFunction extends Partial<Omit<FunctionDescriptor, 'id' | 'summary'>> {
  id: string
  summary: string
  handle(call: BuiltinCall): void
}

/** A trigger instance, bound to a function. */
export interface TriggerBinding {
  id: string
  type: string
  functionId: string
  config: unknown
  metadata: unknown
  /** Connection that registered it; absent for what a manifest or the engine declares. */
  workerId?: string
  /** Installed worker that declared or registered it. */
  worker?: string
  /** Authority and realm with which it fires. */
  grant: { principal: Principal; realm: string }
}

export interface BuiltinTriggerType {
  id: string
  description: string
  configFormat?: unknown
  payloadFormat?: unknown
  /** Throws an `EngineError` where the config cannot be served. */
  bind(trigger: TriggerBinding): void
  /** `left`: its connection ended, and nobody took it away. */
  unbind(trigger: TriggerBinding, left: boolean): void
}

export interface InvokeRequest {
  functionId: string
  payload: Payload | undefined
  context: CallContext
  caller?: CallerIdentity
  /** Protocol metadata of the invocation. */
  metadata?: unknown
  /** Type of the trigger that fires, where one does. */
  trigger?: string
  /**
   * Hands a run to a process: which attempt it is, and up to which number its steps are recorded. `follows`: it goes on
   * elsewhere or is over, and this is for a reader who joined it.
   */
  attempt?: { number: number; recorded: number; follows?: true }
  /**
   * Whoever asks hands it over again where its process is lost: a run or a job. `losses`: how many have counted against
   * it. Where a worker's processes keep ending it waits for its turn.
   */
  handover?: { losses: number }
  /** It is not cancelled together with the call that it was made under. */
  outlives?: boolean
  onResult(result: CallResult): void
  /**
   * Runs once nothing but the way to its function is left: it may be called, and where an approval is needed it has one.
   * It goes on with `go`; a call that ends before never took effect.
   */
  onCleared?(go: () => void): void
  /** Runs when it is handed to a worker's process; a call that fails before that never took effect. */
  onSent?(process: { pid?: number }): void
  /** Further attempts after a retryable failure. */
  retry?: RetryPolicy
  /**
   * The context's idempotency key was given by the caller: the result is recorded under it. Keys that queues, schedules
   * and journals give are theirs to keep. `input` is what the caller wrote, where the payload holds more than that.
   */
  keyed?: { input?: unknown }
  /** Appended by the executor's side of an HTTP call: method, path, headers. */
  http?: { method: string; path: string; headers: Record<string, string> }
}

/** A call that a client wants done later: `action: {type: 'enqueue', queue}`. */
export interface EnqueueRequest {
  queue: string
  functionId: string
  payload: Payload | undefined
  context: CallContext
  caller: CallerIdentity
  /** `{messageReceiptId}` after the job is durable. */
  onResult(result: CallResult): void
}

/** A call with an idempotency key, as the keeper of keys sees it. */
export interface KeyedCall {
  readonly request: InvokeRequest
  /** Repeating it is harmless, whatever became of an earlier one. */
  repeatable(): boolean
  /** It may change something outside of this system. */
  reachesOutside(): boolean
}

/** What becomes of a call with an idempotency key; one of them runs, once. */
export interface KeyTurn {
  /** It is the first: it may be sent. */
  proceed(): void
  /** An earlier one has this result. */
  answer(result: CallResult): void
  /** It could not be noted, and is not sent. */
  refuse(error: ErrorBody): void
}

/** Keeps what came of calls with an idempotency key. */
export interface KeyKeeper {
  /** Before the call is sent. Throws what refuses it at once. */
  claim(call: KeyedCall, turn: KeyTurn): void
  /** Before its result is delivered: `deliver` runs when that is on disk. */
  conclude(call: KeyedCall, result: CallResult, ending: Ending, deliver: (result: CallResult) => void): void
}

export interface CallHandle {
  readonly id: string
  cancel(reason: string): void
}

export interface TriggerOptions {
  deadlineMs?: number
  traceparent?: string
  realm?: string
  /** The call that caused the event. */
  cause?: CallContext
}

/** What a module is given: the four things beyond an ordinary worker's, and the ports. */
export interface ModuleHost {
  readonly ports: Ports
  /** What all guests together hold, and may. */
  readonly guestShare: GuestShare
  /** What there is in the engine's log because of guests, within their allowance. */
  readonly guestLog: GuestLog
  /** The log for lines with something in them that these gave: that is cut, and what is of guests is counted. */
  logOf(who: Pick<CallContext, 'realm' | 'principal'>): Log
  /** Runs when a connection has ended, with its id (`worker_id` of the protocol). */
  onConnectionEnd(run: (workerId: string) => void): void
  registerFunction(fn: BuiltinFunction): void
  registerTriggerType(type: BuiltinTriggerType): void
  /** Invokes a function as a stored context. */
  invoke(request: InvokeRequest): CallHandle
  /** Takes the calls that clients put into named queues; one module does. */
  onEnqueue(accept: (request: EnqueueRequest) => void): void
  /** Puts a call into a named queue, as a client would. Throws where it is not taken. */
  enqueue(request: EnqueueRequest): void
  /** Takes over the calls of durable functions; one module does. Its own attempts go to the process. */
  onDurable(take: (call: DurableCall) => void): void
  /** Takes over the calls that name a step. The handle cancels the step at its handler's wish. */
  onStep(take: (request: StepRequest) => CallHandle['cancel'] | undefined): void
  /** What is known of a function: declared, the engine's own, or as who serves it in this realm says. */
  factsOf(functionId: string, realm: string): FunctionFacts | undefined
  /** Installed worker that a function belongs to. */
  ownerOf(functionId: string): { worker: string; version: string } | undefined
  /** Keeps the results of calls with an idempotency key; one module does. */
  onKeyedCall(keeper: KeyKeeper): void
  /** Is a worker of this name installed? What it left behind outlives it. */
  isInstalled(worker: string): boolean
  /** Asks whoever gives approvals what became of a request, on behalf of what waits for it. */
  askAbout(requestId: string, context: CallContext, done: (fate: Fate) => void): void
  /** The context in which a trigger fires: its grant, a deadline, a new trace or the given one. */
  contextFor(trigger: TriggerBinding, options?: TriggerOptions): CallContext
  /** May this caller touch a scope, stream or topic? Throws `forbidden` where another worker owns it. */
  assertMayTouch(
    kind: 'scopes' | 'streams' | 'topics',
    name: string,
    caller: CallerIdentity,
    context: CallContext,
  ): void
  /** Realm under which data of this name is kept: the call's, or `system` for scopes that are kept once. */
  realmOf(kind: 'scopes', name: string, context: CallContext): string
  readonly spans: SpanFeed
}

export interface EngineModule {
  readonly name: string
  start(host: ModuleHost): void
  stop?(): void
}

export type { ChannelRef, Payload, Span }
