import type { Action, ChannelRef, HttpInvocation } from '@agentos/protocol'
import type { ChannelReader, ChannelWriter } from './channel.ts'
import type { CallOptions } from './context.ts'
import type { FunctionContract, InputOf, OutputOf } from './contract.ts'
import type { StateClient } from './state.ts'

export interface ReconnectionConfig {
  /** @default 50 */
  initialDelayMs?: number
  /** @default 1000 */
  maxDelayMs?: number
  /** @default 2 */
  backoffMultiplier?: number
  /** @default 0.3 */
  jitterFactor?: number
  /** -1 never gives up. @default -1 */
  maxRetries?: number
}

export interface TelemetryOptions {
  language?: string
  project_name?: string
  framework?: string
}

/** Options of `registerWorker`: those of the iii SDK, and below the line ours. */
export interface InitOptions {
  /** @default `III_WORKER_NAME`, else `<hostname>:<pid>` */
  workerName?: string
  workerDescription?: string
  /** How long `trigger` waits where the call says nothing. @default 30000 */
  invocationTimeoutMs?: number
  reconnectionConfig?: ReconnectionConfig
  /** Sent with the upgrade of the worker socket. */
  headers?: Record<string, string>
  telemetry?: TelemetryOptions

  /** Owner token or worker credential; a function is asked at each attempt to connect. */
  credential?: string | (() => string | undefined)
  /** The worker's name; processes of one group share the load. */
  group?: string
  /** One per process, kept over reconnects. */
  instance?: string
  /** Optional parts of the protocol that this client takes part in. @default ['cancel'] */
  features?: string[]
}

/** A call as the iii SDK writes it. */
export interface TriggerRequest<TInput = unknown> {
  function_id: string
  payload?: TInput
  action?: Action
  /** The caller stops waiting after this time, with the code `TIMEOUT`. */
  timeoutMs?: number
  /** Opaque JSON, handed to the handler beside the payload. */
  metadata?: unknown
  /** The realm to call in, for the owner and for workers that may enter realms. @default that of the connection */
  realm?: string
}

export interface EnqueueResult {
  messageReceiptId: string
}

export interface RegisterFunctionOptions {
  description?: string
  request_format?: unknown
  response_format?: unknown
  metadata?: unknown
}

/** A plain handler; `createChannel` references inside the payload arrive as readers and writers. */
export type RemoteFunctionHandler<TInput = unknown, TOutput = unknown> = (
  data: TInput,
  metadata?: unknown,
) => Promise<TOutput> | TOutput

export type HttpInvocationConfig = HttpInvocation

export interface FunctionRef {
  id: string
  unregister(): void
}

export interface RegisterTriggerInput {
  type: string
  function_id: string
  config: unknown
  metadata?: unknown
}

export interface Trigger {
  unregister(): void
}

export interface RegisterTriggerTypeInput {
  id: string
  description: string
  trigger_request_format?: unknown
  call_request_format?: unknown
}

/** A binding, as the provider of its type sees it. */
export interface TriggerConfig<TConfig = unknown> {
  id: string
  function_id: string
  config: TConfig
  metadata?: unknown
}

export interface TriggerHandler<TConfig = unknown> {
  registerTrigger(config: TriggerConfig<TConfig>): Promise<void> | void
  unregisterTrigger(config: TriggerConfig<TConfig>): Promise<void> | void
}

export interface TriggerTypeRef<TConfig = unknown> {
  id: string
  registerTrigger(functionId: string, config: TConfig, metadata?: unknown): Trigger
  registerFunction(
    functionId: string,
    handler: RemoteFunctionHandler,
    config: TConfig,
    metadata?: unknown,
  ): { function: FunctionRef; trigger: Trigger }
  unregister(): void
}

export interface RegisterServiceInput {
  id: string
  name?: string
  description?: string
  parent_service_id?: string
}

/** Both ends of a channel, as objects and as the references that travel in payloads. */
export interface Channel {
  writer: ChannelWriter
  reader: ChannelReader
  writerRef: ChannelRef
  readerRef: ChannelRef
}

/** A connection to the engine: the client of the iii Node SDK, and the typed `call` and `state`. */
export interface IIIClient {
  registerFunction<TInput = unknown, TOutput = unknown>(
    id: string,
    handler: RemoteFunctionHandler<TInput, TOutput> | HttpInvocationConfig,
    options?: RegisterFunctionOptions,
  ): FunctionRef
  registerTrigger(input: RegisterTriggerInput): Trigger
  registerTriggerType<TConfig = unknown>(
    input: RegisterTriggerTypeInput,
    handler: TriggerHandler<TConfig>,
  ): TriggerTypeRef<TConfig>
  unregisterTriggerType(input: { id: string }): void
  registerService(input: RegisterServiceInput): void
  /** With `TriggerAction.Void()` resolves at once; with `Enqueue` to an `EnqueueResult`; else to the function's result. */
  trigger<TOutput = unknown>(request: TriggerRequest & CallOptions): Promise<TOutput>
  trigger<TInput, TOutput>(request: TriggerRequest<TInput> & CallOptions): Promise<TOutput>
  createChannel(bufferSize?: number): Promise<Channel>
  /** Closes the connection; what waits for an answer rejects. */
  shutdown(): Promise<void>

  /** Typed end to end: a misspelt field does not compile. */
  call<C extends FunctionContract>(contract: C, input: InputOf<C>, options?: CallOptions): Promise<OutputOf<C>>
  readonly state: StateClient
  /** Resolves when the engine has handled everything registered so far. */
  ready(): Promise<void>
  /** Takes no further calls and waits for those being served; false where some were still running after `timeoutMs`. */
  drain(timeoutMs: number): Promise<boolean>
}

export const TriggerAction = {
  Enqueue: (options: { queue: string }): Action => ({ type: 'enqueue', queue: options.queue }),
  Void: (): Action => ({ type: 'void' }),
}
