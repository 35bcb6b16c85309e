import { type ErrorBody, isRetryable, payloadValue } from '@agentos/protocol'
import type { CallResult, ModuleHost, StepRequest } from '../../core/module.ts'
import type { Timer } from '../../core/ports.ts'
import { isUnanswered } from '../disk-wait.ts'
import type { StepOutcome } from './entry.ts'

/** How the call of a step ended. */
export type Verdict =
  /** `unsent`: it never reached its function. */
  | { kind: 'outcome'; outcome: StepOutcome; unsent?: boolean }
  /** Its executor went away, and repeating may do it twice. */
  | { kind: 'in_doubt' }
  /** A person has to approve it first. */
  | { kind: 'approval'; requestId: string; expiresAt?: number }

const SENDS = 5
/** Failures of the way to the function. What the function itself says, the handler decides about, or its `retry`. */
const ON_THE_WAY = new Set(['worker_unavailable', 'overloaded', 'shutting_down', 'engine_lost', 'channel_send_failed'])
const BACKOFF_MS = { first: 200, last: 5_000 }
const LONGEST_WAIT_MS = 60_000
/** After a start clients need time to come back: so long a missing function is away, not missing. */
export const START_GRACE_MS = 30_000

/**
 * Makes the call of a step until it is decided: what may be repeated is sent again after a retryable failure, with
 * growing delays, and so is what never reached its executor. Returns how to give it up.
 */
export function sendStep(
  host: ModuleHost,
  step: {
    request: StepRequest
    repeatable: boolean
    repeated: boolean
    startedAt: number
    /** Runs before the call can take effect, which it does not before `go`. */
    onCleared?: (go: () => void) => void
  },
  done: (verdict: Verdict) => void,
): (reason: string) => void {
  const { request, repeatable, onCleared } = step
  const { context, caller } = request
  const { clock, timers } = host.ports
  const most = request.retry ? request.retry.max + 1 : SENDS
  const first = request.retry?.backoff_ms ?? BACKOFF_MS.first
  let sends = 0
  let unanswered = 0
  let { repeated } = step
  let reached = step.repeated
  let over = false
  let timer: Timer | undefined
  let cancelCall: ((reason: string) => void) | undefined

  const decide = (verdict: Verdict): void => {
    if (over) return
    over = true
    done(verdict)
  }
  const send = (): void => {
    sends += 1
    let sent = false
    const answered = (result: CallResult): void => {
      cancelCall = undefined
      if (result.ok) return decide({ kind: 'outcome', outcome: outcomeOf(result) })
      const { error } = result
      const approval = error.code === 'approval_required' ? approvalOf(error.details) : undefined
      if (approval) return decide({ kind: 'approval', ...approval })
      const missing = error.code === 'function_not_found' && clock.monotonic() - step.startedAt < START_GRACE_MS
      const harmless = repeatable || !sent
      const inTime = context.deadline === undefined || clock.monotonic() < context.deadline
      // The engine's own word, before the call was made: the disk decides nothing, however long that takes.
      const silent = !sent && isUnanswered(error)
      if (silent && inTime) {
        unanswered += 1
        sends -= 1
        return later(unanswered, error.details)
      }
      const curable = request.retry ? isRetryable(error.code) : ON_THE_WAY.has(error.code)
      if (inTime && harmless && (result.lost || missing || curable) && sends < (missing ? 30 : most)) {
        return later(sends, error.details)
      }
      if (result.lost && !harmless) return decide({ kind: 'in_doubt' })
      const { stacktrace: _inside, ...kept } = silent ? outOfTime(error) : error
      decide({ kind: 'outcome', outcome: { ok: false, error: kept }, unsent: !reached })
    }
    const onSent = (): void => {
      sent = true
      reached = true
      repeated = true
    }
    const { functionId, payload, metadata } = request
    const handle = host.invoke({
      functionId,
      payload,
      context: repeated ? { ...context, repeated } : context,
      caller,
      ...(metadata === undefined ? {} : { metadata }),
      outlives: true,
      ...(onCleared ? { onCleared } : {}),
      onSent,
      onResult: answered,
    })
    if (!over && !timer) cancelCall = (reason) => handle.cancel(reason)
  }
  const later = (times: number, details: unknown): void => {
    const backoff = Math.min(first * 2 ** (times - 1), BACKOFF_MS.last)
    const named = (details as { retryAfterMs?: unknown } | null | undefined)?.retryAfterMs
    const wait = typeof named === 'number' ? Math.max(backoff, Math.min(named, LONGEST_WAIT_MS)) : backoff
    timer = timers.set(wait, () => {
      timer = undefined
      send()
    })
  }
  send()
  return (reason) => {
    if (over) return
    if (cancelCall) return cancelCall(reason)
    if (timer) timers.clear(timer)
    const message = reason || 'The caller cancelled the call'
    decide({ kind: 'outcome', outcome: { ok: false, error: { code: 'cancelled', message } } })
  }
}

function outcomeOf(result: CallResult & { ok: true }): StepOutcome {
  try {
    const value = payloadValue(result.payload)
    return value === undefined ? { ok: true } : { ok: true, value }
  } catch (error) {
    const message = `The result is not valid JSON: ${error instanceof Error ? error.message : String(error)}`
    return { ok: false, error: { code: 'serialization_error', message } }
  }
}

/** A step has its own time; that the disk did not answer within it is no outcome of its call. */
function outOfTime({ message }: ErrorBody): ErrorBody {
  return { code: 'deadline_exceeded', message: `The call was not made before its deadline: ${message}` }
}

function approvalOf(details: unknown): { requestId: string; expiresAt?: number } | undefined {
  if (typeof details !== 'object' || details === null || !('requestId' in details)) return undefined
  const { requestId } = details
  if (typeof requestId !== 'string') return undefined
  const expiresAt = 'expiresAt' in details ? details.expiresAt : undefined
  return typeof expiresAt === 'number' ? { requestId, expiresAt } : { requestId }
}
