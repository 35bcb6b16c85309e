import { EngineError, type ErrorBody, payloadValue } from '@agentos/protocol'
import type { CallResult } from '../../core/module.ts'
import { type Entry, inputOf, type NewEntry, type RunHead, type RunInput, type StepCall, sameCall } from './entry.ts'
import { hashOf } from './fingerprint.ts'
import { comesAfter, topNumber } from './step.ts'

/** Where a replay went another way. `null`: there was no such step, or it was not asked for. */
export interface Divergence {
  step: string
  recorded: StepCall | null
  asked: StepCall | null
}

/** What a replay came to. */
export interface ReplayReport {
  ok: boolean
  divergences: Divergence[]
  /** Was the end the same? Absent where the original has none, or the replay did not come that far. */
  resultEqual?: boolean
  /** The step at which the original's journal ends. */
  endedAt?: string
}

type Result = Entry & { kind: 'result' }

/** What a finished journal holds, as far as another run begins with it or is compared with it. */
export class Recording {
  readonly head: RunHead
  input: RunInput = { input: undefined }
  readonly results = new Map<string, Result>()
  /** Steps that were begun and have no result. */
  readonly begun = new Map<string, StepCall>()
  /** Results that may be asked for no more. */
  readonly givesWay = new Set<string>()
  end: (Entry & { kind: 'finished' }) | undefined

  constructor(head: RunHead) {
    this.head = head
  }

  add(entry: Entry): void {
    if (entry.kind === 'started') this.input = inputOf(entry)
    else if (entry.kind === 'intent' || entry.kind === 'waiting') this.begun.set(entry.step, entry.call)
    else if (entry.kind === 'finished') this.end = entry
    else if (entry.kind === 'reopened') this.reopen(entry.steps)
    else if (entry.kind === 'result') {
      this.results.set(entry.step, entry)
      this.begun.delete(entry.step)
      this.givesWay.delete(entry.step)
    }
  }

  /** Failures of these steps count no more; what came after them may have given way to something else, or to nothing. */
  private reopen(steps: readonly string[]): void {
    this.end = undefined
    for (const step of steps) {
      const failed = this.results.get(step)
      if (failed) this.begun.set(step, failed.call)
      this.results.delete(step)
      for (const key of this.results.keys()) if (comesAfter(key, step)) this.givesWay.add(key)
    }
  }

  /** Entries with which another run begins: all results, or those of the steps before one at the top level. */
  copies(before?: string): NewEntry[] {
    const end = before === undefined ? Number.POSITIVE_INFINITY : topNumber(before)
    const kept = [...this.results.values()].filter(({ step }) => topNumber(step) < end)
    return kept.map(({ at: _at, ...entry }) => ({ ...entry, from: this.head.id }))
  }

  /** Throws where a fork cannot begin at this step. */
  assertForkable(step: string): void {
    const isTop = /^[1-9]\d*$/.test(step)
    const known = [...this.results.keys(), ...this.begun.keys()].some((key) => topNumber(key) === Number(step))
    if (isTop && known) return
    throw new EngineError('not_found', `The run ${this.head.id} has no step ${step} at the top level to fork it at`)
  }
}

/** Compares what a replay asks for with what was recorded. Nothing is executed. */
export class ReplayCheck {
  private readonly recording: Recording
  private readonly divergences: Divergence[] = []
  private readonly asked = new Set<string>()
  private endedAt: string | undefined

  constructor(recording: Recording) {
    this.recording = recording
  }

  /** May the step be answered from the journal? Where not, the replay ends here. */
  mayAnswer(step: string, asked: StepCall): boolean {
    const isNew = !this.asked.has(step)
    this.asked.add(step)
    const recorded = this.recording.results.get(step)?.call
    if (recorded && sameCall(recorded, asked)) return true
    const begun = this.recording.begun.get(step)
    if (!recorded && begun && sameCall(begun, asked)) {
      this.endedAt = step
      return false
    }
    if (isNew) this.divergences.push({ step, recorded: recorded ?? begun ?? null, asked })
    // Another input of the same thing: told, and gone on with, so that one look finds all of them.
    return recorded?.kind === asked.kind && recorded.name === asked.name
  }

  /** `result`: how the handler ended; absent where it was stopped before. */
  report(result?: CallResult): ReplayReport {
    const { end, results, givesWay } = this.recording
    if (!result) return this.reportOf({})
    for (const { step, call } of results.values()) {
      if (!this.asked.has(step) && !givesWay.has(step)) this.divergences.push({ step, recorded: call, asked: null })
    }
    if (!end || end.status === 'cancelled') return this.reportOf({})
    const outcome = result.ok ? { result: payloadValue(result.payload) } : { error: result.error }
    return this.reportOf({ resultEqual: sameEnd(end, outcome) })
  }

  private reportOf(more: { resultEqual?: boolean }): ReplayReport {
    const { divergences, endedAt } = this
    return {
      ok: divergences.length === 0 && more.resultEqual !== false,
      divergences,
      ...more,
      ...(endedAt === undefined ? {} : { endedAt }),
    }
  }
}

interface End {
  result?: unknown
  error?: ErrorBody
}

function sameEnd(a: End, b: End): boolean {
  if (a.error || b.error) return a.error?.code === b.error?.code
  return hashOf(a.result) === hashOf(b.result)
}
