import { EngineError, type ErrorBody, payloadValue } from '@agentos/protocol'
import type { CallResult, StepRequest } from '../../core/module.ts'
import type { StepCall, StepOutcome, Waiting } from './entry.ts'
import { hashOf } from './fingerprint.ts'

/** A step that calls a function. */
export function callOf({ action, functionId }: StepRequest, input: unknown): StepCall {
  return {
    kind: action?.type ?? 'call',
    name: action?.type === 'enqueue' ? `${action.queue} ${functionId}` : functionId,
    hash: hashOf(input),
  }
}

/** What `engine::journal::look` is answered with where the step is recorded. */
export function found(result: CallResult): CallResult {
  if (!result.ok && result.error.code === 'run_suspended') return result
  const value = result.ok ? { result: payloadValue(result.payload) } : { error: result.error }
  return { ok: true, payload: { value: { recorded: true, ...value } } }
}

/** Steps that are no calls of a function: what the SDK sends for `ctx.step` and `ctx.wait`. */

/** `engine::journal::record` and `::look`: work that ran in the process itself. */
export function readWork(input: unknown): { call: StepCall; outcome: StepOutcome } {
  const fields = fieldsOf(input)
  const error = fields.error as ErrorBody | undefined
  const outcome: StepOutcome = error
    ? { ok: false, error }
    : { ok: true, ...('result' in fields ? { value: fields.result } : {}) }
  return { call: { kind: 'work', name: nameOf(fields), hash: hashOf(null) }, outcome }
}

/** `engine::journal::wait`: for a signal. Times are epoch milliseconds. */
export function readWait(input: unknown, now: number): { call: StepCall; how: Waiting } {
  const fields = fieldsOf(input)
  const signal = nameOf(fields)
  const { expiresMs, question, expiredCode } = fields
  const how: Waiting = { signal, approval: false }
  if (typeof expiresMs === 'number') how.expiresAt = now + Math.max(0, expiresMs)
  if (question !== undefined) how.question = question
  if (typeof expiredCode === 'string') how.expiredCode = expiredCode
  return { call: { kind: 'wait', name: signal, hash: hashOf(null) }, how }
}

function fieldsOf(input: unknown): Record<string, unknown> {
  if (typeof input === 'object' && input !== null) return input as Record<string, unknown>
  throw new EngineError('deserialization_error', 'A step of the journal takes an object')
}

function nameOf({ name }: Record<string, unknown>): string {
  if (typeof name === 'string' && name !== '' && name.length <= 200) return name
  throw new EngineError('deserialization_error', '`name` is a text of 1 to 200 characters')
}
