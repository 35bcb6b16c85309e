import type { ChannelRef, Principal } from '@agentos/protocol'
import type { Logger } from 'pino'
import type { Channel, TriggerRequest } from './api.ts'
import type { ChannelReader, ChannelWriter } from './channel.ts'
import type { FunctionContract, InputOf, OutputOf } from './contract.ts'
import type { StateClient } from './state.ts'

export interface CallOptions {
  /** The call fails with `deadline_exceeded` after this many milliseconds; never later than the caller's own deadline. */
  deadlineMs?: number
  /** Aborting cancels the call at the executor too. The handler's own signal is always honoured. */
  signal?: AbortSignal
  /**
   * The call is made once: a second one with this key, by the same principal with the same input, gets its recorded
   * result, or `in_doubt` while nobody knows it. Kept for 24 hours.
   */
  idempotencyKey?: string
  /**
   * Further attempts after a retryable failure, by the engine and within the deadline; the handler must bear being run
   * again. After the loss of its worker or of the engine, a call is repeated only where that is harmless: it reads, is
   * idempotent, or carries an idempotency key.
   */
  retry?: { max: number; backoffMs: number }
  /** Repeating the call is harmless; `call` knows it from the contract. */
  repeatable?: boolean
  /**
   * Runs the call as this agent: what a model chose never has more authority than that. Only within a call that a worker
   * serves whose manifest says `speaks_for_agents`; else `forbidden`.
   */
  agent?: string
  /** Names the session that the call and everything below it belongs to; for the owner and installed workers. */
  session?: string
  /** The run that the call belongs to; for whom `agent` is. */
  run?: string
}

/** The HTTP side of a call that came in by a contract's route. */
export interface HttpDetails {
  method: string
  path: string
  headers: Record<string, string>
}

/** What can be called, from a handler or from a worker's own start and timers. */
export interface Caller {
  /** Typed end to end: a misspelt field does not compile. */
  call<C extends FunctionContract>(contract: C, input: InputOf<C>, options?: CallOptions): Promise<OutputOf<C>>
  /** The plain call of the iii SDK, for ids known only at run time. */
  trigger<T = unknown>(request: TriggerRequest & CallOptions): Promise<T>
  readonly state: StateClient
  readonly log: Logger
}

export interface HandlerContext extends Caller {
  readonly invocationId: string
  readonly functionId: string
  readonly realm: string
  readonly principal: Principal
  /**
   * The installed worker that made this call, and whether its manifest says `speaks_for_agents`. Nothing where it was somebody
   * else, or a model that chose the call.
   */
  readonly caller: { readonly worker: string; readonly speaksForAgents: boolean } | undefined
  readonly session: string | undefined
  readonly run: string | undefined
  readonly traceId: string
  readonly idempotencyKey: string | undefined
  /** The same call may have been made before, under the same idempotency key. */
  readonly repeated: boolean
  readonly labels: readonly string[]
  /** Milliseconds left, `undefined` where the call has no deadline. */
  remainingMs(): number | undefined
  /** Aborted when the caller cancels, the deadline passes or the engine is lost. */
  readonly signal: AbortSignal
  readonly http: HttpDetails | undefined
  /** Protocol metadata of the invocation. */
  readonly metadata: unknown
  /** Runs `work` as a child span of this call; attributes may be added until it ends. */
  span<T>(name: string, work: (span: SpanHandle) => Promise<T>): Promise<T>
  openWriter(ref: ChannelRef): ChannelWriter
  openReader(ref: ChannelRef): ChannelReader
  createChannel(bufferSize?: number): Promise<Channel>
  /** For work that goes on after the answer; must be asked for before the handler answers. */
  detach(options: { deadlineMs: number }): Caller
  /**
   * The same caller in another realm, `default` for the default one. For what a worker does on its own behalf (a cron
   * trigger fires in the realm `system`), and only where its manifest says `enters_realms: true`; else `forbidden`.
   */
  inRealm(realm: string): Caller
}

export interface SpanHandle {
  set(name: string, value: string | number | boolean): void
}
