import { isUtf8 } from 'node:buffer'
import { type Addressee, addresseeOf, UUID } from './addressee.ts'
import type {
  Action,
  ErrorBody,
  HttpInvocation,
  InvocationResultFrame,
  InvokeFunctionFrame,
  RegisterFunctionFrame,
  RegisterServiceFrame,
  RegisterTriggerTypeFrame,
  WorkerFrame,
} from './frames.ts'
import type { Payload } from './payload.ts'
import { countKeys, type Entry, scanObject, TOO_DEEP } from './scan.ts'
import { holdsTooLarge, TOO_LARGE_NUMBER } from './too-large.ts'

/** From this size on a frame is scanned and its payload stays bytes; smaller ones are parsed. */
export const SPLICE_BYTES = 4096

/** A frame without what it carries: that is in the payload beside it. */
export type DecodedFrame =
  | Exclude<WorkerFrame, InvokeFunctionFrame | InvocationResultFrame>
  | Omit<InvokeFunctionFrame, 'data' | 'context'>
  | Omit<InvocationResultFrame, 'result'>

export interface Decoded {
  frame: DecodedFrame
  /** `data` of a call, `result` of a result; absent where there is none. A `null` result is none. */
  payload?: Payload
}

/** The fields of a frame. Only the names of the protocol are read, and no prototype has one of those. */
type Fields = Readonly<Record<string, unknown>>

class Malformed extends Error {}

const NULL = Buffer.from('null')

/**
 * Reads one frame that a worker sent. Unknown types, malformed frames and frames with a duplicate key of the envelope
 * are `undefined`, never an exception; `refused` is told the reason, and who waits for the frame where it says that.
 */
export function decodeFrame(
  bytes: Buffer,
  refused?: (reason: string, addressee: Addressee | undefined) => void,
): Decoded | undefined {
  try {
    return bytes.length < SPLICE_BYTES ? decodeSmall(bytes) : decodeLarge(bytes)
  } catch (error) {
    if (!(error instanceof Malformed)) throw error
    refused?.(error.message, addresseeOf(bytes))
    return undefined
  }
}

function decodeSmall(bytes: Buffer): Decoded {
  if (!isUtf8(bytes)) throw new Malformed('not valid UTF-8')
  const parsed = parse(bytes.toString('utf8'))
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) throw new Malformed('not a JSON object')
  const count = countKeys(bytes)
  if (count === -1) throw new Malformed(TOO_DEEP)
  if (holdsTooLarge(bytes, parsed)) throw new Malformed(TOO_LARGE_NUMBER)
  // One key of two equal ones is gone after parsing, however it was spelt.
  if (count !== Object.keys(parsed).length) throw new Malformed('duplicate key')
  const fields = parsed as Fields
  const frame = readFrame(fields)
  if (frame.type === 'invokefunction') return carrying(frame, fields.data)
  if (frame.type === 'invocationresult') return carrying(frame, fields.result ?? undefined)
  return { frame }
}

function carrying(frame: DecodedFrame, value: unknown): Decoded {
  return value === undefined ? { frame } : { frame, payload: { value } }
}

function decodeLarge(bytes: Buffer): Decoded {
  const entries = scanObject(bytes)
  if (typeof entries === 'string') throw new Malformed(entries)
  const type = entries.find((entry) => entry.key === 'type')
  const name = type && read(bytes, type)
  const carried = name === 'invokefunction' ? 'data' : name === 'invocationresult' ? 'result' : undefined
  const fields: Record<string, unknown> = Object.create(null)
  let json: Buffer | undefined
  for (const entry of entries) {
    if (entry.key === carried) json = bytes.subarray(entry.start, entry.end)
    else fields[entry.key] = read(bytes, entry)
  }
  const frame = readFrame(fields)
  if (json === undefined || (carried === 'result' && json.equals(NULL))) return { frame }
  return { frame, payload: { json } }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new Malformed(cause instanceof Error ? cause.message : 'not JSON')
  }
}

function read(bytes: Buffer, entry: Entry): unknown {
  return parse(bytes.toString('utf8', entry.start, entry.end))
}

/** Required fields and types per frame type; unknown fields are left out, `null` is absent where a field is optional. */
function readFrame(fields: Fields): DecodedFrame {
  const type = fields.type
  switch (type) {
    case 'invokefunction':
      return readInvoke(fields)
    case 'invocationresult':
      return readResult(fields)
    case 'registerfunction':
      return readFunction(fields)
    case 'unregisterfunction':
      return { type, id: id(fields, 'id') }
    case 'registertriggertype':
      return readTriggerType(fields)
    case 'registertrigger': {
      if (fields.config === undefined) throw new Malformed('config is missing')
      return {
        type,
        id: id(fields, 'id'),
        trigger_type: id(fields, 'trigger_type'),
        function_id: id(fields, 'function_id'),
        config: fields.config,
        ...pick('metadata', any(fields, 'metadata')),
      }
    }
    case 'unregistertrigger':
      return { type, id: id(fields, 'id'), ...pick('trigger_type', text(fields, 'trigger_type')) }
    case 'triggerregistrationresult':
      return {
        type,
        id: id(fields, 'id'),
        ...pick('trigger_type', text(fields, 'trigger_type')),
        ...pick('function_id', text(fields, 'function_id')),
        ...pick('error', errorBody(fields)),
      }
    case 'registerservice':
      return readService(fields)
    case 'cancelinvocation':
      return { type, invocation_id: uuid(required(fields, 'invocation_id')), ...pick('reason', text(fields, 'reason')) }
    case 'reattach':
      return {
        type,
        previous_worker_id: string(required(fields, 'previous_worker_id'), 'previous_worker_id'),
        reattach_token: string(required(fields, 'reattach_token'), 'reattach_token'),
      }
    case 'ping':
    case 'pong':
      return { type }
    default:
      throw new Malformed(typeof type === 'string' ? `unknown type ${JSON.stringify(type.slice(0, 80))}` : 'no type')
  }
}

// The two frames of a call are built field by field: they are the hot path.
function readInvoke(fields: Fields): Omit<InvokeFunctionFrame, 'data' | 'context'> {
  const frame: Omit<InvokeFunctionFrame, 'data' | 'context'> = {
    type: 'invokefunction',
    function_id: id(fields, 'function_id'),
  }
  // Each name is asked for on its own: a walk over whatever keys there are would be slower.
  const { invocation_id, traceparent, baggage, action, metadata, deadline_ms, retry } = fields
  if (isGiven(invocation_id)) frame.invocation_id = uuid(invocation_id)
  if (isGiven(traceparent) && traceparent !== '') frame.traceparent = string(traceparent, 'traceparent')
  if (isGiven(baggage) && baggage !== '') frame.baggage = string(baggage, 'baggage')
  if (isGiven(action)) frame.action = readAction(action)
  if (isGiven(metadata)) frame.metadata = metadata
  const { parent, idempotency_key, agent, session, run, realm, step } = fields
  if (isGiven(parent)) frame.parent = string(parent, 'parent')
  if (isGiven(idempotency_key)) frame.idempotency_key = string(idempotency_key, 'idempotency_key')
  if (isGiven(agent)) frame.agent = string(agent, 'agent')
  if (isGiven(session)) frame.session = string(session, 'session')
  if (isGiven(run)) frame.run = string(run, 'run')
  if (isGiven(realm)) frame.realm = string(realm, 'realm')
  if (isGiven(step)) frame.step = string(step, 'step')
  if (isGiven(deadline_ms)) frame.deadline_ms = amount(deadline_ms, 'deadline_ms')
  if (isGiven(retry)) frame.retry = readRetry(retry)
  return frame
}

function readResult(fields: Fields): Omit<InvocationResultFrame, 'result'> {
  const frame: Omit<InvocationResultFrame, 'result'> = {
    type: 'invocationresult',
    invocation_id: uuid(required(fields, 'invocation_id')),
  }
  const functionId = text(fields, 'function_id')
  if (functionId !== undefined) frame.function_id = functionId
  const error = errorBody(fields)
  if (error !== undefined) frame.error = error
  const traceparent = text(fields, 'traceparent')
  if (traceparent) frame.traceparent = traceparent
  const baggage = text(fields, 'baggage')
  if (baggage) frame.baggage = baggage
  if (fields.refused === true && error !== undefined) frame.refused = true
  return frame
}

function readFunction(fields: Fields): RegisterFunctionFrame {
  return {
    type: 'registerfunction',
    id: id(fields, 'id'),
    ...pick('description', text(fields, 'description')),
    ...pick('request_format', any(fields, 'request_format')),
    ...pick('response_format', any(fields, 'response_format')),
    ...pick('metadata', any(fields, 'metadata')),
    ...pick('invocation', httpInvocation(any(fields, 'invocation'))),
    ...pick('group', text(fields, 'group')),
    ...pick('instance', text(fields, 'instance')),
  }
}

function readTriggerType(fields: Fields): RegisterTriggerTypeFrame {
  return {
    type: 'registertriggertype',
    id: id(fields, 'id'),
    description: string(required(fields, 'description'), 'description'),
    ...pick('trigger_request_format', any(fields, 'trigger_request_format')),
    ...pick('call_request_format', any(fields, 'call_request_format')),
  }
}

function readService(fields: Fields): RegisterServiceFrame {
  return {
    type: 'registerservice',
    id: id(fields, 'id'),
    ...pick('name', text(fields, 'name')),
    ...pick('description', text(fields, 'description')),
    ...pick('parent_service_id', text(fields, 'parent_service_id')),
  }
}

function httpInvocation(value: unknown): HttpInvocation | undefined {
  if (value === undefined) return undefined
  const fields = record(value, 'invocation')
  const method = text(fields, 'method') ?? 'POST'
  if (!isHttpMethod(method)) throw new Malformed('invocation.method is not one of GET, POST, PUT, PATCH, DELETE')
  const timeout = any(fields, 'timeout_ms')
  return {
    url: string(required(fields, 'url'), 'invocation.url'),
    method,
    ...pick('timeout_ms', timeout === undefined ? undefined : amount(timeout, 'invocation.timeout_ms')),
    ...pick('headers', strings(any(fields, 'headers'), 'invocation.headers')),
    ...pick('auth', strings(any(fields, 'auth'), 'invocation.auth')),
  }
}

function isHttpMethod(method: string): method is NonNullable<HttpInvocation['method']> {
  return method === 'GET' || method === 'POST' || method === 'PUT' || method === 'PATCH' || method === 'DELETE'
}

function readAction(value: unknown): Action {
  const fields = record(value, 'action')
  const type = fields.type
  if (type === 'void') return { type }
  if (type === 'enqueue') return { type, queue: string(required(fields, 'queue'), 'action.queue') }
  throw new Malformed('action.type is not one of void, enqueue')
}

function readRetry(value: unknown): { max: number; backoff_ms: number } {
  const fields = record(value, 'retry')
  return {
    max: amount(required(fields, 'max'), 'retry.max'),
    backoff_ms: amount(required(fields, 'backoff_ms'), 'retry.backoff_ms'),
  }
}

function errorBody(fields: Fields): ErrorBody | undefined {
  const value = any(fields, 'error')
  if (value === undefined) return undefined
  const body = record(value, 'error')
  return {
    code: string(required(body, 'code'), 'error.code'),
    message: string(required(body, 'message'), 'error.message'),
    ...pick('stacktrace', text(body, 'stacktrace')),
    ...pick('details', any(body, 'details')),
  }
}

function uuid(value: unknown): string {
  if (typeof value !== 'string' || !UUID.test(value)) throw new Malformed('invocation_id is not a UUID')
  return value
}

/** A required text that is not empty. */
function id(fields: Fields, name: string): string {
  const value = string(required(fields, name), name)
  if (value === '') throw new Malformed(`${name} is empty`)
  return value
}

function isGiven(value: unknown): boolean {
  return value !== undefined && value !== null
}

function required(fields: Fields, name: string): unknown {
  const value = fields[name]
  if (value === undefined || value === null) throw new Malformed(`${name} is missing`)
  return value
}

/** An optional field of any type. */
function any(fields: Fields, name: string): unknown {
  return fields[name] ?? undefined
}

/** An optional text. */
function text(fields: Fields, name: string): string | undefined {
  const value = fields[name]
  return value === undefined || value === null ? undefined : string(value, name)
}

function string(value: unknown, name: string): string {
  if (typeof value !== 'string') throw new Malformed(`${name} is not a string`)
  return value
}

/** A count or a number of milliseconds. */
function amount(value: unknown, name: string): number {
  if (typeof value !== 'number' || !Number.isFinite(value) || value < 0) {
    throw new Malformed(`${name} is not a number from 0 on`)
  }
  return value
}

function record(value: unknown, name: string): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new Malformed(`${name} is not an object`)
  return value as Fields
}

function strings(value: unknown, name: string): Record<string, string> | undefined {
  if (value === undefined) return undefined
  return Object.fromEntries(
    Object.entries(record(value, name)).map(([key, text]) => [key, string(text, `${name}.${key}`)]),
  )
}

/** One optional field, for spreading: no key at all where there is no value. */
function pick<K extends string, V>(key: K, value: V | undefined): { [P in K]?: V } {
  return value === undefined ? {} : ({ [key]: value } as { [P in K]?: V })
}
