import type { ErrorBody, Principal } from '@agentos/protocol'
import type { StoredContext } from '../queue/job.ts'

export type RunStatus = 'running' | 'waiting' | 'parked' | 'done' | 'failed' | 'cancelled'

/** What a step is, apart from its place: a replay that asks something else at this place has diverged. */
export interface StepCall {
  /** `work` ran in the process itself; `wait` is for a signal; the others are calls of functions. */
  kind: 'call' | 'void' | 'enqueue' | 'work' | 'wait'
  /** Function, queue and function, or the name that the handler gave. */
  name: string
  /** sha256 of the canonical input, channels left out. */
  hash: string
}

export type StepOutcome = { ok: true; value?: unknown } | { ok: false; error: ErrorBody }

/** What a run waits for, or what a person has to decide. */
export interface Question {
  step: string
  function?: string
  input?: unknown
  /** Name of the signal that answers it. */
  signal?: string
  /** Epoch milliseconds. */
  expiresAt?: number
  /** As the handler asked it. */
  question?: unknown
}

/** What a step waits for. */
export interface Waiting {
  signal: string
  /** After the signal the step's call is made again; else the signal's value is the step's result. */
  approval: boolean
  expiresAt?: number
  question?: unknown
  /** Code of the error that the step ends with when nothing came in time. */
  expiredCode?: string
}

/** What a run is started with. */
export interface RunInput {
  input: unknown
  http?: { method: string; path: string; headers: Record<string, string> }
  metadata?: unknown
}

/** One line of a run's journal, under `e/<n>` of its partition; never changed once written. Times are epoch milliseconds. */
export type Entry = { at: number } & (
  | ({ kind: 'started' } & RunInput)
  /** `pid`: of the process, as it says itself. */
  | { kind: 'attempt'; attempt: number; pid?: number }
  /** The end of its process counts against it, for so many times in a row. */
  | { kind: 'lost'; losses: number }
  /** The call of a step is about to be sent. */
  | { kind: 'intent'; step: string; call: StepCall; repeatable: boolean; input: unknown }
  /** `unsent`: a failure of a call that never reached its function. */
  | { kind: 'result'; step: string; call: StepCall; outcome: StepOutcome; unsent?: true; from?: string }
  /** `input`: of a call that waits for its approval; it has not been made, so there may be no intent. */
  | ({ kind: 'waiting'; step: string; call: StepCall; input?: unknown } & Waiting)
  | { kind: 'signal'; name: string; value: unknown }
  | { kind: 'parked'; reason: 'in_doubt'; step: string; call: StepCall }
  | { kind: 'parked'; reason: 'diverged'; step: string; recorded: StepCall; asked: StepCall }
  | { kind: 'resumed'; step?: string; answer: ResumeAnswer; by: Principal }
  | { kind: 'finished'; status: 'done' | 'failed' | 'cancelled'; result?: unknown; error?: ErrorBody }
  /** It had failed with what may pass, and goes on: the failures of these steps count no more. */
  | { kind: 'reopened'; steps: readonly string[] }
)

/** Without the time, which the journal stamps. */
export type NewEntry = Entry extends infer E ? (E extends Entry ? Omit<E, 'at'> : never) : never

export type ResumeAnswer = 'repeat' | 'done' | 'failed'

/** The state of a run in one record, `head` of its partition, written with the entries that change it. */
export interface RunHead {
  id: string
  function: string
  /** Installed worker that the function belonged to at the start. */
  worker?: string
  realm: string
  principal: Principal
  session?: string
  context: StoredContext
  /** Installed worker that called it. */
  calledBy?: string
  createdAt: number
  updatedAt: number
  finishedAt?: number
  status: RunStatus
  reason?: 'in_doubt' | 'diverged' | 'signal' | 'approval' | 'cancelled' | 'deadline_exceeded'
  question?: Question
  /** Times that it was handed to a process. */
  attempts: number
  /** Steps whose result is recorded. */
  steps: number
  code: { worker?: string; version?: string }
  /** Record of its idempotency key. */
  key?: { record: string; hash: string }
  /** Run and step that called it. */
  parent?: { run: string; step: string }
  replayOf?: string
  forkOf?: { run: string; step: string }
  costMicroUsd: number
  /** Sums of what the steps' results call `usage`. */
  usage: Record<string, number>
}

export function isOpen(status: RunStatus): boolean {
  return status === 'running' || status === 'waiting' || status === 'parked'
}

export function sameCall(a: StepCall, b: StepCall): boolean {
  return a.kind === b.kind && a.name === b.name && a.hash === b.hash
}

export function inputOf({ input, http, metadata }: RunInput): RunInput {
  return { input, ...(http ? { http } : {}), ...(metadata === undefined ? {} : { metadata }) }
}
