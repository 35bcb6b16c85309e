import type { BuiltinCall, CallHandle, CallResult } from '../../core/module.ts'
import type { Run } from './run.ts'

/** One handing-over of a run to a process. Only the present one's steps are taken. */
export interface Attempt {
  readonly run: Run
  readonly number: number
  invocation: string
  handle: CallHandle | undefined
  sent: boolean
  /** Steps that it asked for. */
  asked: number
  /** It was told to unwind; whatever it answers, the run is not over. */
  suspended: boolean
}

/** What a process is told that is to unwind: its handler may tell callers why they have no answer yet. */
export function suspension({ head: { reason, question } }: Pick<Run, 'head'>): CallResult {
  const message = 'The run waits; it goes on in another attempt'
  return { ok: false, error: { code: 'run_suspended', message, details: { reason, ...question } } }
}

/** Failures of the way to a function, where it was never reached. */
const AWAY = new Set([
  'worker_unavailable',
  'overloaded',
  'shutting_down',
  'channel_send_failed',
  'function_not_found',
  'realm_suspended',
])

/** May the same hand-over succeed later? */
export function isAway(code: string): boolean {
  return AWAY.has(code)
}

/** A process that was stopping gave it back, or lost us before it heard of the end. */
export function wasReturned(code: string, attempt: Attempt): boolean {
  return code === 'shutting_down' || code === 'engine_lost' || (code === 'worker_unavailable' && attempt.asked === 0)
}

/** A caller that is itself a step of a run: it wants the end, not what is said in between. */
export function isStepOf({ context }: BuiltinCall): boolean {
  return context.run !== undefined && context.idempotencyKey?.startsWith(`${context.run}/`) === true
}
