import type { HandlerContext } from './context.ts'
import type { FunctionContract, OutputOf, ParsedInputOf } from './contract.ts'
import type { ServedRun } from './durable-context.ts'
import type { AnyErrorCode } from './errors.ts'
import type { ServedFunction } from './worker.ts'

export interface WaitOptions {
  /** Give up after so many milliseconds, restarts included. @default waits for ever */
  expiresMs?: number
  /** Shown to whoever is to answer; plain JSON. */
  question?: unknown
  /** Code of the error when nothing came in time. @default 'deadline_exceeded' */
  expiredCode?: AnyErrorCode
}

/** Why a run is suspended. */
export interface Waiting {
  reason: 'approval' | 'signal' | 'in_doubt' | 'diverged'
  step: string
  /** Function whose call waits. */
  function?: string
  /** Name of the signal that it waits for; `approval:<request>` for an approval. */
  signal?: string
}

/**
 * The context of one attempt of a run. Every `call`, `trigger` and `state` access is a step: its outcome is on disk before
 * the handler has it, and an attempt after a crash gets the recorded outcome instead of doing it again. So a handler
 * has to ask for the same steps in the same order each time: what is different each time (the time, a random id, a
 * file) belongs into a step. Anything else that it does may be done once more.
 */
export interface DurableContext extends HandlerContext {
  /** The run's id. */
  readonly run: string
  /** Which handing-over of the run this is, from 1. */
  readonly attempt: number
  /**
   * This is for a caller who joined the run with a stream, while it goes on elsewhere or after its end: nothing is done,
   * and each step is answered when it is recorded. A handler tells the stream what it tells its first caller, and what
   * the functions that it calls have told that one themselves. What it returns is not used.
   */
  readonly following: boolean
  /** Steps that are asked for now are answered from the journal: what the outside has seen of them, it has seen. */
  readonly replaying: boolean
  /**
   * Runs `work` in this process and journals its JSON result, or its error. `work` makes no calls with this context, but
   * with the one that it is given: those are done again where the process dies within the step.
   */
  step<T>(name: string, work: (plain: HandlerContext) => Promise<T> | T): Promise<T>
  /** The time of the first attempt that came here, epoch milliseconds. */
  now(): Promise<number>
  /** `<prefix>-<uuid v7>`, the same in every attempt. */
  newId(prefix: string): Promise<string>
  /**
   * Runs the branches side by side, each with a context of its own, whose steps are told apart by the item's place and
   * not by time. Waits for all of them; fails with the first failure by place.
   */
  all<I, T>(items: readonly I[], work: (item: I, ctx: DurableContext, index: number) => Promise<T>): Promise<T[]>
  /**
   * The value of the signal `name` of this run (`engine::runs::signal`). While it has not come the run is suspended: this
   * throws `Suspended`, the handler unwinds, and a later attempt comes back here.
   */
  wait<T = unknown>(name: string, options?: WaitOptions): Promise<T>
  /** What callers that wait for the run are answered with when it suspends; else they go on waiting for its end. */
  onSuspend(answer: (waiting: Waiting) => unknown): void
}

/** Serves a durable contract: each call is a run, whose handler is run again after a crash. */
export function durable<C extends FunctionContract>(
  contract: C,
  handle: (input: ParsedInputOf<C>, ctx: DurableContext) => Promise<OutputOf<C>> | OutputOf<C>,
): ServedFunction {
  if (!contract.durable) throw new TypeError(`The contract ${contract.id} does not say \`durable: true\``)
  return {
    contract,
    durable: true,
    handle: (input, ctx) => {
      const run = ctx as ServedRun
      return run.unwind(async () => handle(input as ParsedInputOf<C>, run))
    },
  }
}
