import { EngineError, type ErrorBody, isRetryable, payloadValue } from '@agentos/protocol'
import { type Loss, MOST_LOSSES, pauseAfter } from '../../core/losses.ts'
import type { BuiltinCall, CallResult, ModuleHost } from '../../core/module.ts'
import type { StoreOutcome, Timer } from '../../core/ports.ts'
import { isUnanswered } from '../disk-wait.ts'
import { type Attempt, isAway, isStepOf, wasReturned } from './attempt.ts'
import { type Entry, inputOf, type NewEntry, type RunHead, type RunInput } from './entry.ts'
import { Journal } from './journal.ts'
import type { ReplayCheck } from './replay.ts'
import { RunSteps } from './run-steps.ts'
import { RunWaits } from './run-waits.ts'

/** A run that processes gave back so often without a new recorded step makes no progress. */
const MAX_RETURNS = 5
/** How soon a run whose function cannot be reached is handed over again. */
const AWAY_RETRY_MS = { first: 200, last: 5_000 }
/** How long a suspended handler may take to unwind once there is more to do. */
const UNWIND_MS = 10_000

/** What a run tells whoever keeps the runs. */
export interface RunOwner {
  readonly host: ModuleHost
  /** Reading of the monotonic clock. */
  readonly startedAt: number
  /** The engine is stopping: what fails from now on is its own doing. */
  readonly stopped: boolean
  handedOver(invocation: string, attempt: Attempt): void
  returned(invocation: string): void
  /** It is over, and that is on disk. */
  ended(run: Run): void
  entry(run: Run, n: number, entry: Entry): void
}

/**
 * One open run: in which process it is, who waits for it, and how it ends. Everything that a handler is told is on disk
 * before it is told, so that the next process is told the same.
 */
export class Run {
  readonly owner: RunOwner
  readonly host: ModuleHost
  readonly head: RunHead
  readonly journal: Journal
  readonly steps: RunSteps
  readonly waits: RunWaits
  /** Of a replay: what it is compared with. It executes nothing. */
  readonly check: ReplayCheck | undefined
  /** In the process that has it now. */
  attempt: Attempt | undefined
  /** Its end is decided, though maybe not yet on disk. */
  over = false
  /** Callers that wait for its end. */
  private readonly callers = new Set<BuiltinCall>()
  private given: RunInput = { input: undefined }
  /** Accepted in this life of the engine and not yet in a process: a failure of the way is its caller's to know. */
  private fresh: boolean
  /** Its callers may still take it along when they leave. */
  private bound: boolean
  /** Reading of the monotonic clock: deadline of the one caller that it is bound to. */
  private deadline: number | undefined
  /** Another attempt is due when the present one has unwound. */
  private again = false
  /** Losses of processes that counted against it, since it came further. */
  private losses = 0
  /** Processes that gave it back, since it came further. */
  private returns = 0
  /** It has come further since a loss counted against it: a step was recorded, an answer came. */
  private hasComeFurther = false
  private away = 0
  private timer: Timer | undefined
  /** Of an earlier engine, or before it was opened again: with what it failed. */
  private failure: ErrorBody | undefined

  /** `fresh`: begun just now by a caller that waits for it. */
  constructor(owner: RunOwner, head: RunHead, fresh: boolean, check?: ReplayCheck) {
    this.owner = owner
    this.host = owner.host
    this.head = head
    this.fresh = fresh
    this.bound = fresh
    this.check = check
    this.journal = new Journal(this.host.ports, head.realm, head.id, (n, entry) => owner.entry(this, n, entry))
    this.steps = new RunSteps(this)
    this.waits = new RunWaits(this)
  }

  get id(): string {
    return this.head.id
  }

  /** It never came to a process: its idempotency key is forgotten. */
  get neverBegan(): boolean {
    return this.head.status === 'failed' && this.head.attempts === 0 && this.steps.size === 0
  }

  // Beginning

  /** Writes the run down, then hands it to a process. `written` hears of a refusal, and says whether the run begins. */
  begin(given: RunInput, entries: NewEntry[], written: (error?: ErrorBody) => boolean): void {
    this.given = given
    for (const [index, entry] of entries.entries()) this.restore(index + 2, { at: 0, ...entry } as Entry)
    const started: NewEntry = { kind: 'started', ...given }
    this.journal.write(this.head, [started, ...entries], (outcome) => {
      const begins = written(outcome.ok ? undefined : outcome.error)
      if (begins && !this.over) this.start()
    })
  }

  /** It could not be written down: it never was. */
  refuse(error: ErrorBody): void {
    this.over = true
    this.failCallers(error)
  }

  /** It is written down, and what leads to it is not: it is over before anything else is said of it. */
  abandon(error: ErrorBody): void {
    this.finish('failed', { error })
  }

  /** Reads the journal of a run that was open when the engine stopped; `takeUp` follows. */
  recover(done: (error?: ErrorBody) => void): void {
    this.head.steps = 0
    this.losses = 0
    this.steps.clear()
    this.waits.clear()
    this.journal.load((n, entry) => this.restore(n, entry), done)
  }

  private restore(n: number, entry: Entry): void {
    if (entry.kind === 'started') this.given = inputOf(entry)
    else if (entry.kind === 'attempt') this.head.attempts = Math.max(this.head.attempts, entry.attempt)
    else if (entry.kind === 'lost') this.losses = entry.losses
    else if (entry.kind === 'finished') this.failure = entry.status === 'failed' ? entry.error : undefined
    else if (entry.kind === 'result' || entry.kind === 'signal' || entry.kind === 'resumed') this.losses = 0
    else if (entry.kind === 'reopened') this.losses = 0
    this.steps.restore(n, entry)
    this.waits.restore(entry)
  }

  /** After its journal has been read: has it failed with what may pass? */
  get mayPass(): boolean {
    return this.failure !== undefined && isRetryable(this.failure.code)
  }

  /** What it failed with counts no more; all else that is recorded stands. `takeUp` follows once that is on disk. */
  reopen(done: (outcome: StoreOutcome) => void): void {
    const { head, failure } = this
    const entry: Entry = { kind: 'reopened', at: 0, steps: failure ? this.steps.failedWith(failure) : [] }
    this.restore(0, entry)
    head.status = 'running'
    delete head.finishedAt
    this.journal.write(head, [{ kind: entry.kind, steps: entry.steps }], done)
  }

  /** Goes on after its journal has been read. */
  takeUp(): void {
    if (!this.waits.takeUp()) this.start()
  }

  /** A caller waits for the end; of a run that stands still it hears why, as those did who saw it come to that. */
  join(call: BuiltinCall): void {
    this.callers.add(call)
    if (this.bound && !this.head.key) this.deadline = call.context.deadline
    call.onCancel((error) => this.left(call, error))
    const standsStill = this.head.status === 'waiting' || this.head.status === 'parked'
    // Only the handler has words for it: it is led back to where it waits, by what is recorded.
    if (standsStill && !this.attempt && !this.over && !isStepOf(call)) this.start()
  }

  stop(): void {
    this.journal.stop()
    this.steps.stop()
    this.clearTimer()
    this.waits.stop()
  }

  // Attempts

  /** Hands the run to a process. */
  private start(): void {
    this.again = false
    this.clearTimer()
    const { head, host } = this
    if (head.calledBy !== undefined && !host.isInstalled(head.calledBy)) {
      const message = `The worker ${head.calledBy}, which began this run, is no longer installed`
      return this.finish('failed', { error: { code: 'forbidden', message } })
    }
    const attempt: Attempt = {
      run: this,
      number: head.attempts + 1,
      invocation: '',
      handle: undefined,
      sent: false,
      asked: 0,
      suspended: false,
    }
    this.attempt = attempt
    const { input, http, metadata } = this.given
    const handle = host.invoke({
      functionId: head.function,
      payload: input === undefined ? undefined : { value: input },
      context: {
        ...head.context,
        // A replay is that run again: its handler may have put the id into what it asked for or answered.
        run: head.replayOf ?? head.id,
        ...(this.deadline === undefined ? {} : { deadline: this.deadline }),
      },
      caller: head.calledBy === undefined ? {} : { worker: head.calledBy },
      // In a replay nothing is new: what is not recorded is not done either.
      attempt: { number: attempt.number, recorded: this.check ? Number.MAX_SAFE_INTEGER : this.steps.highest },
      handover: { losses: this.losses },
      ...(http === undefined ? {} : { http }),
      ...(metadata === undefined ? {} : { metadata }),
      onSent: ({ pid }) => this.handedOver(attempt, pid),
      onResult: (result) => this.attemptEnded(attempt, result),
    })
    if (this.attempt !== attempt) return
    attempt.handle = handle
    attempt.invocation = handle.id
    this.owner.handedOver(handle.id, attempt)
  }

  private handedOver(attempt: Attempt, pid: number | undefined): void {
    attempt.sent = true
    this.away = 0
    this.head.attempts = attempt.number
    const entry: NewEntry = { kind: 'attempt', attempt: attempt.number, ...(pid === undefined ? {} : { pid }) }
    // The first one is no news: nothing is lost with it.
    if (attempt.number === 1) this.journal.note(entry)
    else this.journal.insist(this.head, [entry], () => {})
  }

  private attemptEnded(attempt: Attempt, result: CallResult): void {
    if (this.attempt !== attempt) return
    this.attempt = undefined
    this.clearTimer()
    if (attempt.invocation !== '') this.owner.returned(attempt.invocation)
    this.steps.forgetListeners()
    if (this.over || (this.owner.stopped && !result.ok)) return
    if (attempt.sent) this.fresh = false
    if (attempt.suspended || this.head.status !== 'running') return this.unwound(result)
    if (result.ok) return this.handlerEnded(result)
    const { error } = result
    if (this.isDeadline(error)) return this.finish('cancelled', { error }, 'deadline_exceeded')
    if (!attempt.sent) return this.notSent(error)
    if (result.lost) return this.attemptLost(result.lost)
    if (wasReturned(error.code, attempt)) return this.attemptReturned()
    this.handlerEnded(result)
  }

  private handlerEnded(result: CallResult): void {
    if (this.check) this.finish('done', { result: this.check.report(result) })
    else if (result.ok) this.finish('done', { result: payloadValue(result.payload) })
    else this.finish('failed', { error: result.error })
  }

  private isDeadline({ code }: ErrorBody): boolean {
    if (code !== 'deadline_exceeded' || this.deadline === undefined) return false
    return this.host.ports.clock.monotonic() >= this.deadline
  }

  /** It never reached a process. A new run has failed with that, unless the disk is to blame; one under way waits. */
  private notSent(error: ErrorBody): void {
    const waits = isUnanswered(error) || (!this.fresh && isAway(error.code))
    if (!waits) return this.finish('failed', { error })
    const delay = Math.min(AWAY_RETRY_MS.first * 2 ** this.away, AWAY_RETRY_MS.last)
    this.away += 1
    this.timer = this.host.ports.timers.set(delay, () => this.start())
  }

  /** The run has come further: losses count anew. */
  hasProgressed(): void {
    this.losses = 0
    this.returns = 0
    this.hasComeFurther = true
  }

  private attemptLost(loss: Loss): void {
    if (!loss.counts) return this.start()
    this.losses += 1
    if (this.losses >= MOST_LOSSES) {
      return this.crashed(`${this.losses} processes ended soon after they were given ${this.head.function}`)
    }
    this.journal.insist(this.head, [{ kind: 'lost', losses: this.losses }], () => {})
    const pause = this.hasComeFurther ? 0 : pauseAfter(loss, this.losses)
    this.hasComeFurther = false
    if (pause === 0) return this.start()
    this.timer = this.host.ports.timers.set(pause, () => this.start())
  }

  private attemptReturned(): void {
    this.returns += 1
    if (this.returns < MAX_RETURNS) return this.start()
    this.crashed(`${this.returns} processes gave ${this.head.function} back before it made a step`)
  }

  private crashed(message: string): void {
    this.finish('failed', { error: { code: 'run_crashed', message, details: { runId: this.id } } })
  }

  // Suspension

  /** It lives on without its callers. */
  unbind(): void {
    this.bound = false
    this.deadline = undefined
  }

  /** Tells the process to unwind. What is under way goes on without it, and is recorded. */
  suspend(): void {
    const { attempt } = this
    if (!attempt || attempt.suspended) return
    attempt.suspended = true
    this.unbind()
    this.steps.answerAll()
  }

  /** Something that it waited for has come: the next attempt is due, where the process that asked is not there any more. */
  wake(): void {
    if (this.over || this.head.status !== 'running') return
    const { attempt } = this
    if (!attempt) {
      if (!this.timer) this.start()
      return
    }
    if (!attempt.suspended) return this.steps.resend()
    this.again = true
    this.timer ??= this.host.ports.timers.set(UNWIND_MS, () => {
      this.timer = undefined
      attempt.handle?.cancel('The run goes on in another attempt')
    })
  }

  /** A suspended handler is through. Callers that the handler has an answer for get it; the run goes on without them. */
  private unwound(result: CallResult): void {
    const details = result.ok ? undefined : (result.error.details as { answer?: unknown } | null | undefined)
    if (!result.ok && result.error.code === 'run_suspended' && details?.answer !== undefined) {
      for (const call of [...this.callers]) {
        if (isStepOf(call)) continue
        this.callers.delete(call)
        call.reply(details.answer)
      }
    }
    if (!this.again && this.head.status !== 'running') return
    // What has come lets other branches go on, though one still waits.
    this.waits.goOn()
    this.wake()
  }

  // End

  /** Ends it at somebody's wish. Throws `conflict` where it has ended. */
  cancel(reason: string, done: () => void = () => {}): void {
    if (this.over) throw new EngineError('conflict', `The run ${this.id} is ${this.head.status} already`)
    this.finish('cancelled', { error: { code: 'cancelled', message: reason } }, 'cancelled', done)
  }

  /** What is recorded is lost: nothing can go on behind it, and no handler is told of it as if a step had failed. */
  damaged(error: ErrorBody): void {
    if (this.over) return
    const { attempt } = this
    this.steps.answerAll()
    this.finish('failed', { error })
    attempt?.handle?.cancel(error.message)
    this.steps.cancelAll(error)
  }

  /** The replay can go no further. */
  endReplay(check: ReplayCheck): void {
    const { attempt } = this
    this.finish('done', { result: check.report() })
    attempt?.handle?.cancel('The replay has come to its end')
  }

  private left(call: BuiltinCall, error: ErrorBody): void {
    if (!this.callers.delete(call)) return
    if (this.over || this.owner.stopped || this.callers.size > 0 || !this.bound || this.head.key) return
    const reason = error.code === 'deadline_exceeded' ? 'deadline_exceeded' : 'cancelled'
    this.finish('cancelled', { error }, reason)
  }

  private finish(
    status: 'done' | 'failed' | 'cancelled',
    { result, error: cause }: { result?: unknown; error?: ErrorBody },
    reason?: RunHead['reason'],
    done: () => void = () => {},
  ): void {
    const { head, attempt } = this
    const error = cause && withoutStack(cause)
    this.over = true
    this.attempt = undefined
    this.clearTimer()
    this.waits.stop()
    head.status = status
    head.finishedAt = this.host.ports.clock.now()
    delete head.question
    if (reason) head.reason = reason
    else delete head.reason
    if (attempt) this.owner.returned(attempt.invocation)
    const end = { ...(result === undefined ? {} : { result }), ...(error ? { error } : {}) }
    this.journal.insist(head, [{ kind: 'finished', status, ...end }], () => {
      done()
      if (error) this.failCallers(error)
      for (const call of this.callers) call.reply(result)
      this.owner.ended(this)
    })
    if (status !== 'cancelled' || !error) return
    attempt?.handle?.cancel(error.message)
    this.steps.cancelAll(error)
  }

  failCallers(error: ErrorBody): void {
    for (const call of this.callers) call.fail(error.code, error.message, error.details)
    this.callers.clear()
  }

  private clearTimer(): void {
    if (this.timer) this.host.ports.timers.clear(this.timer)
    this.timer = undefined
  }
}

/** Where in its code a process failed is for its log, not for callers and journals. */
function withoutStack({ stacktrace: _inside, ...error }: ErrorBody): ErrorBody {
  return error
}
