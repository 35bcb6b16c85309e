export type {
  ChannelRef,
  Effects,
  ErrorBody,
  ErrorCode,
  OpenAiError,
  Principal,
  WorkerDescriptor,
} from '@agentos/protocol'
export { canonicalJson, expandHome, openAiError, VisibleStream, visibleLine, visibleText } from '@agentos/protocol'
export type {
  Channel,
  EnqueueResult,
  FunctionRef,
  HttpInvocationConfig,
  IIIClient,
  InitOptions,
  ReconnectionConfig,
  RegisterFunctionOptions,
  RegisterServiceInput,
  RegisterTriggerInput,
  RegisterTriggerTypeInput,
  RemoteFunctionHandler,
  TelemetryOptions,
  Trigger,
  TriggerConfig,
  TriggerHandler,
  TriggerRequest,
  TriggerTypeRef,
} from './api.ts'
export { TriggerAction } from './api.ts'
export { ChannelReader, ChannelWriter } from './channel.ts'
export { isChannelRef } from './channel-refs.ts'
export type { Claims, ForWhom } from './claims.ts'
export { forWhom, mayNameOthers } from './claims.ts'
export { registerWorker } from './client.ts'
export type { Caller, CallOptions, HandlerContext, HttpDetails, SpanHandle } from './context.ts'
export type { FunctionContract, HttpRoute, InputOf, OutputOf, ParsedInputOf } from './contract.ts'
export { defineFunction } from './contract.ts'
export type { DurableContext, Waiting, WaitOptions } from './durable.ts'
export { durable } from './durable.ts'
export type { AnyErrorCode, InvocationErrorInit } from './errors.ts'
export { AgentError, InvocationError, InvocationError as IIIInvocationError, isErrorBody, isPassing } from './errors.ts'
export type { ApiResponse, HttpRequest, HttpResponse, InternalHttpRequest } from './http.ts'
export { http } from './http.ts'
export { newId, uuidv7 } from './ids.ts'
export { knownSecrets } from './known-secrets.ts'
export { openLog } from './log.ts'
export { REDACTED, redactSecrets, redactText } from './redact.ts'
export type {
  SetOptions,
  StateEntry,
  StatePage,
  StateVersioned,
  StateWrite,
  StateWritten,
  UpdateOp,
  UpdateOpError,
  WriteOptions,
} from './state.ts'
export { StateClient } from './state.ts'
export { isSuspended, Suspended } from './suspended.ts'
export type {
  BoundTrigger,
  ConnectOptions,
  RunOptions,
  ServedFunction,
  Worker,
  WorkerDefinition,
  WorkerHandle,
  WorkerSelf,
} from './worker.ts'
export { defineWorker, on, serve } from './worker.ts'
