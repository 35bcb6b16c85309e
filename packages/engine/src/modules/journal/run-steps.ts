import { EngineError, type ErrorBody, effectsOf, isRetryable, payloadValue } from '@agentos/protocol'
import type { CallResult, StepRequest } from '../../core/module.ts'
import { DiskWait, isUnanswered } from '../disk-wait.ts'
import { KEPT_MS } from '../keys/record.ts'
import { type Attempt, suspension } from './attempt.ts'
import { type Entry, type NewEntry, type StepCall, type StepOutcome, sameCall } from './entry.ts'
import { withoutChannels } from './fingerprint.ts'
import type { Noted } from './journal.ts'
import { callOf, found, readWait, readWork } from './own-steps.ts'
import type { ReplayCheck } from './replay.ts'
import type { Run } from './run.ts'
import { sendStep, type Verdict } from './sender.ts'
import { comesAfter, isStepKey, Step, topNumber, toResult } from './step.ts'

const MAX_STEPS = 10_000
/** As long as an installed worker recognizes a key; the engine's own functions do for `KEPT_MS`. */
const WORKERS_KEEP_KEYS_MS = 7 * KEPT_MS

type Answer = (result: CallResult) => void
type Cancel = (reason: string) => void

/** The steps of one run: answered from its journal where they are recorded, else done, written down and then told. */
export class RunSteps {
  /** The highest number at the top level of a recorded step. */
  highest = 0
  private readonly run: Run
  private readonly table = new Map<string, Step>()
  /** Jobs that are not on disk yet. */
  private readonly disk: DiskWait

  constructor(run: Run) {
    this.run = run
    this.disk = new DiskWait(run.host.ports, 'A job of a run waits for the disk', { run: run.id })
  }

  get size(): number {
    return this.table.size
  }

  get(key: string): Step | undefined {
    return this.table.get(key)
  }

  /** The first that fits, in the order in which they were begun. */
  find(fits: (step: Step) => boolean): Step | undefined {
    for (const step of this.table.values()) if (fits(step)) return step
    return undefined
  }

  all(): IterableIterator<Step> {
    return this.table.values()
  }

  // What a process asks for

  /** A step that a process asks for. Returns how its handler cancels it. */
  ask(attempt: Attempt, request: StepRequest): Cancel | undefined {
    const { onResult, functionId } = request
    try {
      if (this.run.attempt !== attempt || this.run.over) {
        throw new EngineError('conflict', 'This attempt of the run is over: another process has it, or it has ended')
      }
      if (!isStepKey(request.step)) {
        throw new EngineError('deserialization_error', `${request.step.slice(0, 100)} is no number of a step`)
      }
      attempt.asked += 1
      if (attempt.suspended) return void onResult(suspension(this.run))
      const input = withoutChannels(payloadValue(request.payload))
      if (functionId === 'engine::journal::record') return this.recordWork(request, input)
      if (functionId === 'engine::journal::look') return this.look(request, input)
      if (functionId === 'engine::journal::wait') return this.wait(request, input)
      return this.call(request, input)
    } catch (error) {
      if (error instanceof EngineError) return void onResult({ ok: false, error: error.toBody() })
      const message = error instanceof Error ? error.message : String(error)
      return void onResult({ ok: false, error: { code: 'deserialization_error', message } })
    }
  }

  private call(request: StepRequest, input: unknown): Cancel | undefined {
    const step = this.known(request, callOf(request, input))
    if (!step) return undefined
    if (step.state === 'idle') {
      step.request = request
      step.repeatable = this.isRepeatable(request, input)
      if (this.isForgotten(step, request)) this.run.waits.park(step)
      else this.make(step, input)
    }
    return (reason) => step.cancel?.(reason)
  }

  /** What the process did itself. */
  private recordWork(request: StepRequest, input: unknown): undefined {
    const { call, outcome } = readWork(input)
    const step = this.known(request, call)
    if (step?.state === 'idle') this.record(step, outcome)
  }

  /** Is the work of a step recorded already? */
  private look(request: StepRequest, input: unknown): undefined {
    const { onResult, step: key } = request
    const { call } = readWork(input)
    const known = this.at(key, call)
    if ((known && known.state !== 'idle') || this.run.check)
      this.known({ ...request, onResult: (result) => onResult(found(result)) }, call)
    else onResult({ ok: true, payload: { value: { recorded: false } } })
  }

  private wait(request: StepRequest, input: unknown): undefined {
    const { call, how } = readWait(input, this.run.host.ports.clock.now())
    const step = this.known(request, call)
    if (step?.state === 'idle') this.run.waits.forSignal(step, how)
  }

  /**
   * The step at this place, new or known; absent where the request is answered already: it is recorded, it stops the
   * run, or it is not what was here before.
   */
  private known({ step: key, onResult }: StepRequest, call: StepCall): Step | undefined {
    const { run } = this
    if (run.check) return this.compare(run.check, key, call, onResult)
    const known = this.at(key, call)
    if (!known) {
      const step = this.add(key, call)
      step.listener = onResult
      return step
    }
    if (!sameCall(known.call, call)) return void run.waits.diverge(known, call, onResult)
    if (known.state === 'done') return this.tell(known, onResult)
    if (known.state === 'waiting' || known.state === 'in_doubt') {
      onResult(suspension(run))
      return run.waits.suspendAgain()
    }
    known.listener = onResult
    return known
  }

  /** A step of a replay: answered from what was recorded, or the end of it. */
  private compare(check: ReplayCheck, key: string, call: StepCall, onResult: Answer): undefined {
    const known = this.table.get(key)
    if (check.mayAnswer(key, call) && known) return this.tell(known, onResult)
    onResult(suspension(this.run))
    this.run.endReplay(check)
  }

  /** The step at a place. One that gives way to this call is a new one, with a key of its own. */
  private at(key: string, call: StepCall): Step | undefined {
    const known = this.table.get(key)
    if (!known?.givesWay || sameCall(known.call, call)) return known
    const step = new Step(key, call)
    step.before = known.before + 1
    this.table.set(key, step)
    return step
  }

  private add(key: string, call: StepCall): Step {
    if (this.table.size >= MAX_STEPS) {
      throw new EngineError('payload_too_large', `A run takes ${MAX_STEPS} steps; let it end and begin another`)
    }
    const step = new Step(key, call)
    this.table.set(key, step)
    return step
  }

  /** Tells what is recorded, once that can be read. */
  private tell(step: Step, onResult: Answer): undefined {
    const { run } = this
    step.listener = onResult
    run.journal.read(step.resultEntry, (entry, error) => {
      if (error) run.damaged(error)
      else if (entry?.kind === 'result') step.answer(toResult(entry.outcome))
    })
  }

  // Calls

  private isRepeatable({ functionId, action }: StepRequest, input: unknown): boolean {
    // A job has the step's key, and the queue knows it again; a call that nobody waits for is sent at most once.
    if (action) return action.type === 'enqueue'
    const facts = this.run.host.factsOf(functionId)
    if (facts?.durable || facts?.keyed || facts?.idempotent) return true
    return facts !== undefined && effectsOf(facts, input) === 'read'
  }

  /** Was its call made so long ago that its key may be forgotten, and nobody would know it again? */
  private isForgotten({ madeAt, repeatable }: Step, { functionId, action }: StepRequest): boolean {
    const { host } = this.run
    const facts = action ? undefined : host.factsOf(functionId)
    if (madeAt === undefined || !repeatable || !facts?.keyed || facts.durable || facts.idempotent) return false
    const keptMs = host.ownerOf(functionId) ? WORKERS_KEEP_KEYS_MS : KEPT_MS
    return host.ports.clock.now() - madeAt >= keptMs
  }

  private make(step: Step, input: unknown): void {
    step.state = 'sent'
    if (step.repeatable) this.run.journal.note(intentOf(step, input))
    this.send(step, input)
  }

  /**
   * Writes down that the call will be made, and lets it go on when that is on disk: repeating it might do it twice. What
   * is refused before, by whoever has to approve it or by the engine, is known not to have been made.
   */
  private intend(step: Step, input: unknown, go: () => void): void {
    const { run } = this
    step.input = input
    step.intentEntry = run.journal.insist(run.head, [intentOf(step, input)], () => {
      if (!run.over && step.state === 'sent') go()
    })
  }

  private send(step: Step, input: unknown): void {
    const { run } = this
    const { key, repeatable, repeated, before } = step
    step.repeated = true
    const asked = step.request!
    const own = `${run.id}/${key}${before === 0 ? '' : `~${before}`}`
    const idempotencyKey = asked.context.idempotencyKey ?? own
    const request = { ...asked, context: { ...asked.context, idempotencyKey } }
    if (request.action?.type === 'enqueue') return this.enqueue(step, request, request.action.queue)
    if (request.action?.type === 'void') return this.intend(step, input, () => this.sendAndForget(step, request))
    const { startedAt } = run.owner
    let intended = repeatable
    const onCleared = (go: () => void): void => {
      if (intended) return go()
      this.intend(step, input, () => {
        intended = true
        go()
      })
    }
    const how = { request, repeatable, repeated, startedAt, onCleared }
    const cancel = sendStep(run.host, how, (verdict) => this.decided(step, verdict))
    if (step.state === 'sent') step.cancel = cancel
  }

  private sendAndForget(step: Step, request: StepRequest): void {
    const { functionId, payload, context, caller, metadata } = request
    const more = metadata === undefined ? {} : { metadata }
    this.run.host.invoke({ functionId, payload, context, caller, ...more, outlives: true, onResult: () => {} })
    this.record(step, { ok: true })
  }

  private enqueue(step: Step, request: StepRequest, queue: string): void {
    const { functionId, payload, context, caller } = request
    const onResult: Answer = (result) => {
      if (!result.ok && isUnanswered(result.error)) return this.enqueueLater(step, request, queue, result.error)
      const outcome: StepOutcome = result.ok ? { ok: true, value: payloadValue(result.payload) } : result
      this.decided(step, { kind: 'outcome', outcome })
    }
    try {
      this.run.host.enqueue({ queue, functionId, payload, context, caller, onResult })
    } catch (error) {
      const body = error instanceof EngineError ? error.toBody() : { code: 'internal', message: String(error) }
      onResult({ ok: false, error: body })
    }
  }

  /** The disk has not said whether it takes the job: the same job again, under the same key. */
  private enqueueLater(step: Step, request: StepRequest, queue: string, error: ErrorBody): void {
    this.disk.failed(error, () => {
      if (!this.run.over && step.state === 'sent') this.enqueue(step, request, queue)
    })
  }

  private decided(step: Step, verdict: Verdict): void {
    const { run } = this
    step.cancel = undefined
    if (run.over || step.state !== 'sent') return
    if (run.owner.stopped && !(verdict.kind === 'outcome' && verdict.outcome.ok)) return
    if (verdict.kind === 'outcome') {
      step.unsent = verdict.unsent === true
      this.record(step, verdict.outcome)
    } else if (verdict.kind === 'in_doubt') run.waits.park(step)
    else run.waits.forApproval(step, verdict.requestId, verdict.expiresAt)
  }

  /** Writes an outcome down, with the entries that led to it, then tells it. */
  record(step: Step, outcome: StepOutcome, before: readonly Noted[] = [], done: () => void = () => {}): void {
    const { run } = this
    const { head } = run
    const { key, call } = step
    step.state = 'recording'
    step.request = undefined
    step.input = undefined
    run.waits.forget(step)
    head.steps += 1
    this.count(outcome)
    // Known from now on: an attempt that begins before it is on disk waits for it.
    this.highest = Math.max(this.highest, topNumber(key))
    const entry: NewEntry = { kind: 'result', step: key, call, outcome, ...(step.unsent ? { unsent: true } : {}) }
    step.resultEntry = run.journal.insist(head, [...before, entry], () => {
      step.state = 'done'
      run.hasProgressed()
      step.answer(toResult(outcome))
      done()
    })
  }

  private count(outcome: StepOutcome): void {
    if (!outcome.ok || typeof outcome.value !== 'object' || outcome.value === null) return
    const { head } = this.run
    const { cost, usage } = outcome.value as { cost?: { microUsd?: unknown } | null; usage?: unknown }
    if (typeof cost?.microUsd === 'number') head.costMicroUsd += cost.microUsd
    if (typeof usage !== 'object' || usage === null) return
    for (const [name, amount] of Object.entries(usage)) {
      if (typeof amount === 'number') head.usage[name] = (head.usage[name] ?? 0) + amount
    }
  }

  /** Makes the calls that may be made (again) for a process that is still there. */
  resend(): void {
    for (const step of this.table.values()) {
      if (step.state === 'idle' && step.request) this.make(step, withoutChannels(payloadValue(step.request.payload)))
    }
  }

  // All of them

  /** Tells the process to unwind. */
  answerAll(): void {
    for (const step of this.table.values()) step.answer(suspension(this.run))
  }

  stop(): void {
    this.disk.stop()
  }

  forgetListeners(): void {
    for (const step of this.table.values()) step.listener = undefined
  }

  cancelAll(error: ErrorBody): void {
    for (const step of this.table.values()) {
      step.answer({ ok: false, error })
      step.cancel?.(error.message)
    }
  }

  clear(): void {
    this.table.clear()
    this.highest = 0
  }

  restore(n: number, entry: Entry): void {
    if (entry.kind === 'intent') {
      const step = this.restored(entry)
      step.repeatable = entry.repeatable
      step.repeated = true
      step.madeAt ??= entry.at
      step.state = entry.repeatable ? 'idle' : 'in_doubt'
      step.intentEntry = n
      step.input = entry.input
    } else if (entry.kind === 'result') {
      const step = this.restored(entry)
      const { outcome, unsent } = entry
      if (step.state !== 'done') this.run.head.steps += 1
      step.state = 'done'
      step.unsent = unsent === true
      step.passing = !outcome.ok && isRetryable(outcome.error.code) ? outcome.error : undefined
      step.resultEntry = n
      step.waiting = undefined
      // Only what may be in doubt once more has to show it.
      if (!step.passing) step.input = undefined
      this.highest = Math.max(this.highest, topNumber(step.key))
    } else if (entry.kind === 'waiting') {
      const { at: _at, kind: _kind, step: _key, call: _call, input: _input, ...how } = entry
      const step = this.restored(entry)
      step.state = 'waiting'
      step.waiting = how
    } else if (entry.kind === 'resumed') {
      const step = this.table.get(entry.step ?? '')
      if (!step) return
      step.madeAt = undefined
      if (step.state === 'in_doubt') step.state = 'idle'
    } else if (entry.kind === 'reopened') {
      for (const key of entry.steps) {
        const step = this.table.get(key)
        if (step) this.reopen(step)
      }
    }
  }

  private restored({ step: key, call }: { step: string; call: StepCall }): Step {
    return this.at(key, call) ?? this.add(key, call)
  }

  // After a failure that may pass

  /**
   * Steps that failed with what may pass and that the handler did not go on after; where there is none, the latest of
   * those whose failure the run ended with, which it went on after only to end.
   */
  failedWith({ code, message }: ErrorBody): string[] {
    const all = [...this.table.values()]
    const passing = all.filter(({ state, passing }) => state === 'done' && passing)
    const last = passing.filter(({ key }) => !all.some((other) => comesAfter(other.key, key)))
    if (last.length > 0) return last.map(({ key }) => key)
    const cause = passing.findLast(({ passing }) => passing?.code === code && passing.message === message)
    return cause ? [cause.key] : []
  }

  /** Its failure counts no more. What may have taken effect outside is in doubt; all else may be done again. */
  private reopen(step: Step): void {
    const { key, intentEntry, repeatable, unsent } = step
    step.state = intentEntry === 0 || repeatable || unsent ? 'idle' : 'in_doubt'
    step.passing = undefined
    step.unsent = false
    step.resultEntry = 0
    this.run.head.steps -= 1
    for (const other of this.table.values()) if (comesAfter(other.key, key)) other.givesWay = true
  }
}

function intentOf({ key, call, repeatable }: Step, input: unknown): NewEntry {
  return { kind: 'intent', step: key, call, repeatable, input: input ?? null }
}
