import { EngineError, type ErrorBody, payloadValue } from '@agentos/protocol'
import type { CallResult } from '../../core/module.ts'
import type { StoreWrite } from '../../core/ports.ts'
import type { Entry, ResumeAnswer, RunHead, StepCall, StepOutcome, Waiting } from './entry.ts'
import { withoutChannels } from './fingerprint.ts'
import type { Noted } from './journal.ts'
import type { Run } from './run.ts'
import type { Step } from './step.ts'

const MAX_TIMER_MS = 2 ** 31 - 1
/** How soon whoever gives approvals is asked again about a request, at the earliest. */
const ASK_AGAIN_MS = 1_000
const APPROVAL = 'approval:'

/** What a person or a program decides about a run that stands still. */
export interface Decision {
  /** @default the one that the run asks about */
  step?: string
  answer: ResumeAnswer
  result?: unknown
  by: RunHead['principal']
  /** Written with it. */
  beside: readonly StoreWrite[]
}

/** All that makes a run stand still: signals, approvals, steps in doubt and divergences, and what lets it go on. */
export class RunWaits {
  private readonly run: Run
  /** Values of signals that came. A name is signalled once. */
  private readonly signals = new Map<string, unknown>()
  /** Approvals that a step has used. */
  private readonly used = new Set<string>()

  constructor(run: Run) {
    this.run = run
  }

  // Signals

  forSignal(step: Step, how: Waiting): void {
    const { signal } = how
    if (this.signals.has(signal)) this.run.steps.record(step, { ok: true, value: this.signals.get(signal) })
    else this.wait(step, how)
  }

  /** The call of a step was refused until somebody approves it. */
  forApproval(step: Step, requestId: string, expiresAt: number | undefined): void {
    const signal = `${APPROVAL}${requestId}`
    if (this.used.has(signal)) {
      const message = 'The approval of this call was used up already, and it needs one again'
      return this.run.steps.record(step, { ok: false, error: { code: 'approval_required', message } })
    }
    // Decided before we knew that we would have to wait.
    if (this.signals.has(signal)) return this.decidedFor(step, signal, [])
    const input = withoutChannels(payloadValue(step.request?.payload)) ?? null
    this.wait(step, { signal, approval: true, ...(expiresAt === undefined ? {} : { expiresAt }) }, { input })
  }

  private wait(step: Step, how: Waiting, more: { input?: unknown } = {}): void {
    const { run } = this
    step.state = 'waiting'
    step.waiting = how
    this.watchExpiry(step)
    this.standStill()
    run.journal.insist(run.head, [{ kind: 'waiting', step: step.key, call: step.call, ...more, ...how }], () => {
      // Unless it was asked for by an attempt that is over: the present one comes to it in its own time.
      if (step.state === 'waiting' && step.listener) this.suspendAgain()
    })
  }

  private watchExpiry(step: Step): void {
    const { waiting } = step
    if (waiting?.expiresAt === undefined) return
    const { clock, timers } = this.run.host.ports
    const left = Math.max(0, waiting.expiresAt - clock.now())
    step.timer = timers.set(Math.min(left, MAX_TIMER_MS), () => {
      // The clock may have been set, and a timer has its limit.
      if (waiting.expiresAt! > clock.now()) this.watchExpiry(step)
      else if (!this.run.over && step.waiting === waiting) this.expire(step, waiting)
    })
  }

  private expire(step: Step, waiting: Waiting): void {
    const { signal, approval, expiredCode } = waiting
    if (approval) return this.ask(step, waiting)
    const message = `The signal ${signal} did not come in time`
    const error = { code: expiredCode ?? 'deadline_exceeded', message, details: { expired: true, signal } }
    this.conclude(step, { ok: false, error }, [])
  }

  /**
   * Nobody told of a decision in time, which may be lost on its way: whoever keeps it is asked first. As long as it does
   * not say, nothing is decided.
   */
  private ask(step: Step, waiting: Waiting): void {
    const { run } = this
    const { signal } = waiting
    run.host.askAbout(signal.slice(APPROVAL.length), run.head.context, (fate) => {
      if (run.over || run.owner.stopped || step.waiting !== waiting) return
      if (fate.is === 'pending' || fate.is === 'unknown') {
        const again = run.host.ports.clock.now() + ASK_AGAIN_MS
        waiting.expiresAt = fate.is === 'pending' ? Math.max(fate.expiresAt, again) : again
        return this.watchExpiry(step)
      }
      const value = fate.is === 'decided' ? fate.value : { expired: true }
      this.signals.set(signal, value)
      this.decidedFor(step, signal, [{ kind: 'signal', name: signal, value }])
    })
  }

  /** A signal comes. Throws `conflict` where it has come already; `done` runs when it is on disk, with what is beside it. */
  signal(name: string, value: unknown, beside: readonly StoreWrite[], done: () => void): void {
    const { run } = this
    if (run.over) throw new EngineError('conflict', `The run ${run.id} is ${run.head.status}`)
    if (this.signals.has(name)) throw new EngineError('conflict', `The signal ${name} of ${run.id} has come already`)
    this.signals.set(name, value)
    const entry: Noted = { kind: 'signal', name, value, beside }
    // Nobody waits yet: whoever does later has it at once. Several branches: the signal is written with the first.
    const steps = [...run.steps.all()].filter(({ waiting }) => waiting?.signal === name)
    if (steps.length === 0) run.journal.insist(run.head, [entry], done)
    steps.forEach((step, index) => {
      const entries = index === 0 ? [entry] : []
      const written = index === 0 ? done : undefined
      if (step.waiting?.approval) this.decidedFor(step, name, entries, written)
      else this.conclude(step, { ok: true, value }, entries, written)
    })
  }

  /**
   * Somebody decided about a step's approval, or nobody did in time. What was refused is the step's result; else its call
   * is made again, by this process or the next, and whoever asked for the approval lets it through.
   */
  private decidedFor(step: Step, signal: string, entries: readonly Noted[], done?: () => void): void {
    const error = refusalOf(this.signals.get(signal), step)
    if (!error) return this.callAgain(step, signal, entries, done)
    this.used.add(signal)
    this.conclude(step, { ok: false, error }, entries, done)
  }

  private callAgain(step: Step, signal: string, entries: readonly Noted[], done: () => void = () => {}): void {
    const { run } = this
    this.used.add(signal)
    this.forget(step)
    step.state = 'idle'
    run.hasProgressed()
    this.goOn()
    run.journal.insist(run.head, entries, () => {
      done()
      run.wake()
    })
  }

  /** What a step waited for is its result. */
  private conclude(step: Step, outcome: StepOutcome, entries: readonly Noted[], done: () => void = () => {}): void {
    const { run } = this
    this.forget(step)
    step.state = 'recording'
    this.goOn()
    run.steps.record(step, outcome, entries, () => {
      done()
      run.wake()
    })
  }

  /** It waits no more. */
  forget(step: Step): void {
    if (step.timer) this.run.host.ports.timers.clear(step.timer)
    step.timer = undefined
    step.waiting = undefined
  }

  // Doubt and divergence

  /** Nobody knows whether the call of a step took effect: a person decides. */
  park(step: Step): void {
    const { run } = this
    step.state = 'in_doubt'
    this.standStill()
    run.journal.insist(run.head, [{ kind: 'parked', reason: 'in_doubt', step: step.key, call: step.call }], () => {
      if (step.state === 'in_doubt') this.suspendAgain()
    })
  }

  /** The code asks for something else than what is recorded at this place. */
  diverge(step: Step, asked: StepCall, onResult: (result: CallResult) => void): void {
    const { run } = this
    const { head } = run
    const { key, call: recorded } = step
    const message = `Step ${key} was ${nameOf(recorded)} and is ${nameOf(asked)} now, or has another input: the code has changed`
    const error: ErrorBody = { code: 'run_diverged', message, details: { runId: run.id, step: key, recorded, asked } }
    onResult({ ok: false, error })
    head.status = 'parked'
    head.reason = 'diverged'
    head.question = { step: key, function: recorded.name }
    run.journal.insist(head, [{ kind: 'parked', reason: 'diverged', step: key, recorded, asked }], () => {})
    run.suspend()
    run.failCallers(error)
  }

  /** Answers the question of a parked run. Throws `conflict` where it does not ask it (any more). */
  resume(decision: Decision, done: () => void): void {
    const { run } = this
    const { head } = run
    if (run.over || head.status !== 'parked') {
      throw new EngineError('conflict', `The run ${run.id} is ${head.status}, and asks nothing`)
    }
    const { answer, by, beside } = decision
    if (head.reason === 'diverged') {
      if (answer !== 'repeat') throw new EngineError('conflict', 'A run that diverged can only be tried again: repeat')
      delete head.reason
      return this.resumed({ kind: 'resumed', answer, by, beside }, done)
    }
    const key = decision.step ?? head.question?.step ?? ''
    const step = run.steps.get(key)
    if (step?.state !== 'in_doubt') throw new EngineError('conflict', `Step ${key} of ${run.id} is not in doubt`)
    const entry: Noted = { kind: 'resumed', step: key, answer, by, beside }
    if (answer !== 'repeat') return this.conclude(step, decided(step, decision), [entry], done)
    step.state = 'idle'
    step.madeAt = undefined
    this.resumed(entry, done)
  }

  private resumed(entry: Noted, done: () => void): void {
    const { run } = this
    run.hasProgressed()
    this.goOn()
    run.journal.insist(run.head, [entry], () => {
      done()
      run.wake()
    })
  }

  // The state that all of it comes to

  /** A process has come to a step that still waits. */
  suspendAgain(): undefined {
    const { run } = this
    if (run.head.status === 'running') {
      this.standStill()
      run.journal.insist(run.head, [], () => {})
    }
    run.suspend()
  }

  /** A divergence comes before a doubt, and a doubt before a signal: a person has to decide it first. */
  private standStill(): void {
    const { run } = this
    const { head } = run
    run.unbind()
    if (head.status === 'parked' && head.reason === 'diverged') return
    const doubted = run.steps.find(({ state }) => state === 'in_doubt')
    if (doubted) return this.askAbout(doubted)
    const step = run.steps.find(({ state }) => state === 'waiting')
    if (step?.waiting) this.askFor(step, step.waiting)
  }

  private askAbout(step: Step): void {
    const { head } = this.run
    head.status = 'parked'
    head.reason = 'in_doubt'
    head.question = { step: step.key, function: step.call.name }
    if (step.intentEntry > 0) head.question.input = step.input
  }

  private askFor(step: Step, { signal, approval, expiresAt, question }: Waiting): void {
    const { head } = this.run
    head.status = 'waiting'
    head.reason = approval ? 'approval' : 'signal'
    head.question = { step: step.key, signal }
    if (approval) head.question.function = step.call.name
    if (expiresAt !== undefined) head.question.expiresAt = expiresAt
    if (question !== undefined) head.question.question = question
  }

  /** One thing less: the run goes on, unless a person has to decide another first. */
  goOn(): void {
    const { head, steps } = this.run
    if (head.status === 'parked' && head.reason === 'diverged') return
    const doubted = steps.find(({ state }) => state === 'in_doubt')
    if (doubted) return this.askAbout(doubted)
    head.status = 'running'
    delete head.reason
    delete head.question
  }

  // Life and death of the engine

  restore(entry: Entry): void {
    if (entry.kind !== 'signal') return
    this.signals.set(entry.name, entry.value)
    for (const step of this.run.steps.all()) {
      if (step.waiting?.signal !== entry.name || !step.waiting.approval) continue
      this.used.add(entry.name)
      step.waiting = undefined
      step.state = 'idle'
    }
  }

  /** After the journal has been read: does the run stand still? */
  takeUp(): boolean {
    const { head, steps } = this.run
    let isWoken = false
    for (const step of steps.all()) {
      const signal = step.waiting?.signal
      if (signal === undefined) continue
      this.watchExpiry(step)
      // Its signal had come, and the result was not yet written.
      if (!this.signals.has(signal)) continue
      isWoken = true
      steps.record(step, { ok: true, value: this.signals.get(signal) })
    }
    if (head.status === 'parked' && head.reason === 'diverged') return true
    const doubted = steps.find(({ state }) => state === 'in_doubt')
    if (doubted) {
      const isAsked = head.reason === 'in_doubt' && steps.get(head.question?.step ?? '')?.state === 'in_doubt'
      if (!isAsked) this.park(doubted)
      return true
    }
    if (!isWoken && head.status === 'waiting' && steps.find(({ state }) => state === 'waiting')) {
      // What it asked about may not have come to the disk.
      this.standStill()
      return true
    }
    this.goOn()
    return false
  }

  clear(): void {
    this.signals.clear()
    this.used.clear()
  }

  stop(): void {
    for (const step of this.run.steps.all()) this.forget(step)
  }
}

function decided(step: Step, { answer, by, result }: Decision): StepOutcome {
  if (answer === 'done') return result === undefined ? { ok: true } : { ok: true, value: result }
  const message = `It was decided that step ${step.key} (${step.call.name}) did not take effect`
  return { ok: false, error: { code: 'in_doubt', message, details: { decidedBy: by } } }
}

/** What the signal of an approval says against the call: `{decision}` as the approval worker sends it. */
function refusalOf(value: unknown, { call: { name } }: Step): ErrorBody | undefined {
  const { decision, expired, reason } = (value ?? {}) as { decision?: unknown; expired?: unknown; reason?: unknown }
  const why = typeof reason === 'string' ? `: ${reason}` : ''
  if (decision === 'denied') return { code: 'approval_denied', message: `A person denied ${name}${why}` }
  if (!expired && decision !== 'timed_out') return undefined
  return { code: 'approval_expired', message: `Nobody approved ${name} in time` }
}

function nameOf({ kind, name }: StepCall): string {
  return `${kind} ${name}`
}
