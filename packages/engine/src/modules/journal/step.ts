import type { ErrorBody } from '@agentos/protocol'
import type { CallResult, StepRequest } from '../../core/module.ts'
import type { Timer } from '../../core/ports.ts'
import type { StepCall, StepOutcome, Waiting } from './entry.ts'

/**
 * `idle`: the next attempt that asks has its call sent (again). `sent`: its call is under way, or about to be.
 * `recording`: the outcome is known and on its way to the disk. `done`: recorded. The others stop the run.
 */
export type StepState = 'idle' | 'sent' | 'recording' | 'done' | 'waiting' | 'in_doubt'

/** One step of an open run. Its outcome is on disk, not here. */
export class Step {
  readonly key: string
  readonly call: StepCall
  state: StepState = 'idle'
  /** Repeating its call is harmless. */
  repeatable = false
  /** Its call has been made before, as far as is known. */
  repeated = false
  /** Entry of the intent of a call that may not be repeated. */
  intentEntry = 0
  /** What that call was to be given, as long as nobody knows what came of it. */
  input: unknown
  /** When its call was made first, as far as an earlier engine knew. Epoch milliseconds. */
  madeAt: number | undefined
  /** Entry that holds its outcome, once there is one. */
  resultEntry = 0
  /** Its call never reached its function. */
  unsent = false
  /** Its recorded outcome, where that is a failure that may pass. */
  passing: ErrorBody | undefined
  /** It came after a failure that counts no more: it stands where it is asked for again, and gives way to another. */
  givesWay = false
  /** Steps that were recorded at this number and gave way. */
  before = 0
  /** As the latest attempt asked it. */
  request: StepRequest | undefined
  /** Hears the outcome; absent where the process that asked is gone. */
  listener: ((result: CallResult) => void) | undefined
  /** Gives up the call that is under way. */
  cancel: ((reason: string) => void) | undefined
  waiting: Waiting | undefined
  /** Ends the waiting. */
  timer: Timer | undefined

  constructor(key: string, call: StepCall) {
    this.key = key
    this.call = call
  }

  answer(result: CallResult): void {
    const { listener } = this
    this.listener = undefined
    listener?.(result)
  }
}

/** Number of a step at the top level: 4 of `4`, and of `4.0.1`. */
export function topNumber(key: string): number {
  return Number.parseInt(key, 10)
}

/** Did the handler go on to it after the other? Steps of branches side by side come after one another in no order. */
export function comesAfter(key: string, other: string): boolean {
  const [a, b] = [key.split('.'), other.split('.')]
  const at = a.findIndex((part, index) => part !== b[index])
  return at >= 0 && at % 2 === 0 && Number(a[at]) > Number(b[at] ?? Number.POSITIVE_INFINITY)
}

/** `4`, or `4.0.1`: numbers without leading zeros, an odd count of them. */
export function isStepKey(key: string): boolean {
  return key.length <= 100 && /^[1-9]\d{0,6}(\.(0|[1-9]\d{0,6})\.[1-9]\d{0,6})*$/.test(key)
}

export function toResult(outcome: StepOutcome): CallResult {
  if (!outcome.ok) return outcome
  return { ok: true, payload: outcome.value === undefined ? undefined : { value: outcome.value } }
}
