/**
 * The frames of the worker protocol: one flat JSON object per WebSocket text message, told apart by `type`.
 * Fields marked "ours" are optional additions that other clients of the protocol ignore.
 */

/** What a function does to the world; nothing declared counts as `external`. */
export type Effects = 'read' | 'write' | 'external'

/** The only shape of an error on the wire. */
export interface ErrorBody {
  code: string
  message: string
  stacktrace?: string
  /** Ours: facts for a program, for example `retryAfterMs`. */
  details?: unknown
}

/** On whose behalf a call runs. `agent` is the narrowest: what a model chose, never more than its grant. */
export interface Principal {
  kind: 'owner' | 'guest' | 'worker' | 'system' | 'agent'
  id: string
}

/** Stamped by the engine on every call that it delivers (ours). Times are milliseconds left, not clock readings. */
export interface WireContext {
  realm: string
  principal: Principal
  /** Installed worker that made the call of its own, and not because a model chose it. `speaks_for_agents`: it runs agents, and
   *  is believed about which of them it calls for. */
  caller?: { worker: string; speaks_for_agents?: true }
  session?: string
  run?: string
  /** Invocation id of the call that caused this one, as the engine knows it. */
  parent?: string
  deadline_ms?: number
  idempotency_key?: string
  labels?: string[]
  /** The same call may have been made before, under the same idempotency key. */
  repeated?: boolean
  /** Calls of a durable function: which handing-over of the run this is, from 1. */
  attempt?: number
  /** Calls of a durable function: the highest number of a step at the top level that the journal knows; a step with a
   *  higher number is new for certain. */
  recorded?: number
  /** Calls of a durable function: it is for a reader who joined the run. Its steps are answered as they are recorded. */
  follows?: boolean
}

export type Action = { type: 'void' } | { type: 'enqueue'; queue: string }

export interface RegisterTriggerTypeFrame {
  type: 'registertriggertype'
  id: string
  description: string
  trigger_request_format?: unknown
  call_request_format?: unknown
}

export interface RegisterTriggerFrame {
  type: 'registertrigger'
  id: string
  trigger_type: string
  function_id: string
  config: unknown
  metadata?: unknown
}

export interface UnregisterTriggerFrame {
  type: 'unregistertrigger'
  id: string
  trigger_type?: string
}

export interface TriggerRegistrationResultFrame {
  type: 'triggerregistrationresult'
  id: string
  trigger_type?: string
  function_id?: string
  error?: ErrorBody
}

export interface HttpInvocation {
  url: string
  method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  timeout_ms?: number
  headers?: Record<string, string>
  auth?: Record<string, string>
}

export interface RegisterFunctionFrame {
  type: 'registerfunction'
  id: string
  description?: string
  request_format?: unknown
  response_format?: unknown
  metadata?: unknown
  invocation?: HttpInvocation
  /** Ours: the worker's name; processes of one group share the load. */
  group?: string
  /** Ours: one per process, kept over reconnects. */
  instance?: string
}

/** Ours, engine to worker: the function was not registered. Clients that do not know the frame ignore it. */
export interface FunctionRegistrationResultFrame {
  type: 'functionregistrationresult'
  id: string
  error: ErrorBody
}

export interface UnregisterFunctionFrame {
  type: 'unregisterfunction'
  id: string
}

export interface RegisterServiceFrame {
  type: 'registerservice'
  id: string
  name?: string
  description?: string
  parent_service_id?: string
}

export interface InvokeFunctionFrame {
  type: 'invokefunction'
  invocation_id?: string
  function_id: string
  data?: unknown
  traceparent?: string
  baggage?: string
  action?: Action
  metadata?: unknown
  /** Ours, worker to engine: the invocation that the caller is serving. */
  parent?: string
  /** Ours, worker to engine: time left in milliseconds. */
  deadline_ms?: number
  /** Ours, worker to engine. */
  idempotency_key?: string
  /** Ours, worker to engine: attempts again after a retryable failure. */
  retry?: { max: number; backoff_ms: number }
  /** Ours, worker to engine: narrows the call's principal to this agent (what a model chose runs as the agent). Only from
   *  a worker whose manifest says `speaks_for_agents`, within a call that it serves. */
  agent?: string
  /** Ours, worker to engine: the session that the call belongs to. Only from the owner and installed workers. */
  session?: string
  /** Ours, worker to engine: the run that the call belongs to, from whom `agent` is taken. */
  run?: string
  /** Ours, worker to engine: place of this call in the durable run of its parent, such as `4` or `4.0.1`; its result
   *  is journaled, and a call that was journaled there before is answered from the journal. */
  step?: string
  /** Ours, worker to engine, only from workers whose manifest declares it: the realm to enter. */
  realm?: string
  /** Ours, engine to worker. */
  context?: WireContext
}

export interface InvocationResultFrame {
  type: 'invocationresult'
  invocation_id: string
  function_id?: string
  result?: unknown
  error?: ErrorBody
  traceparent?: string
  baggage?: string
  /** Ours, worker to engine, beside an error: the handler was not started, so that another process may serve the call. */
  refused?: boolean
}

/** Ours, both ways, only to workers that announced `features: ["cancel"]`. */
export interface CancelInvocationFrame {
  type: 'cancelinvocation'
  invocation_id: string
  reason?: string
}

export interface ReattachFrame {
  type: 'reattach'
  previous_worker_id: string
  reattach_token: string
}

export interface WorkerRegisteredFrame {
  type: 'workerregistered'
  worker_id: string
  reattach_token?: string
  /** Ours: fences what this connection registered. */
  epoch?: number
  /** Ours. */
  limits?: { frame_bytes: number; in_flight: number; heartbeat_ms?: number }
  /** Ours, to workers with a credential: the `config:` of their entry in config.yaml. */
  config?: unknown
}

export interface PingFrame {
  type: 'ping'
}

export interface PongFrame {
  type: 'pong'
}

/** Only before a refused connection is closed. */
export interface ErrorFrame {
  type: 'error'
  error: ErrorBody
}

export type WorkerFrame =
  | RegisterTriggerTypeFrame
  | RegisterTriggerFrame
  | UnregisterTriggerFrame
  | TriggerRegistrationResultFrame
  | RegisterFunctionFrame
  | UnregisterFunctionFrame
  | RegisterServiceFrame
  | InvokeFunctionFrame
  | InvocationResultFrame
  | CancelInvocationFrame
  | ReattachFrame
  | PingFrame
  | PongFrame

export type EngineFrame =
  | WorkerRegisteredFrame
  | RegisterTriggerFrame
  | UnregisterTriggerFrame
  | TriggerRegistrationResultFrame
  | FunctionRegistrationResultFrame
  | InvokeFunctionFrame
  | InvocationResultFrame
  | CancelInvocationFrame
  | PongFrame
  | ErrorFrame

/** A channel end that travels inside a payload; the key is the capability. */
export interface ChannelRef {
  channel_id: string
  access_key: string
  direction: 'read' | 'write'
}
