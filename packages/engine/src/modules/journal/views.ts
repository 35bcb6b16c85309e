import { AnswerSize, answerTooLarge } from '../answer-size.ts'
import type { Entry, RunHead, StepCall } from './entry.ts'
import { withoutChannels } from './fingerprint.ts'

/** A run as it is shown. Times are epoch milliseconds. */
export function runView(head: RunHead): object {
  const { context: _context, key, calledBy, parent, ...shown } = head
  return {
    ...shown,
    keyed: key !== undefined,
    traceId: head.context.traceId,
    ...(calledBy === undefined ? {} : { calledBy }),
    ...(parent === undefined ? {} : { parent }),
  }
}

interface StepView {
  step: string
  kind: StepCall['kind']
  name: string
  /** `open`: its call is under way, or will be made again. */
  status: 'open' | 'done' | 'failed' | 'waiting' | 'in_doubt'
  startedAt: number
  finishedAt?: number
  input?: unknown
  result?: unknown
  error?: unknown
  signal?: string
  expiresAt?: number
  question?: unknown
}

/**
 * The whole story of a run, put together from its entries, oldest first; with `values` false without what steps were
 * given and came to. Throws `payload_too_large` as soon as it is more than one answer may have.
 */
export class Story {
  private readonly run: string
  private readonly values: boolean
  private readonly size: AnswerSize
  private readonly steps = new Map<string, StepView>()
  private input: unknown
  private end: { result?: unknown; error?: unknown } = {}

  constructor(run: string, values: boolean, maxBytes: number) {
    this.run = run
    this.values = values
    this.size = new AnswerSize(maxBytes)
  }

  add(entry: Entry): void {
    const shown = this.values && entry.kind !== 'signal' ? entry : withoutValues(entry)
    if (!this.size.takes(shown)) {
      const instead = this.values
        ? 'ask for it without the values of its steps, engine::runs::get {runId, values: false}, or for'
        : 'ask for'
      const events = 'its entries one by one, engine::runs::events {runId, after, stream}'
      throw answerTooLarge(`All of the run ${this.run}`, this.size.maxBytes, `${instead} ${events}`)
    }
    this.tell(shown)
  }

  private tell(entry: Entry): void {
    switch (entry.kind) {
      case 'started':
        this.input = withoutChannels(entry.input)
        return
      case 'intent': {
        const step = this.step(entry)
        step.status = 'open'
        step.input = entry.input
        return
      }
      case 'waiting': {
        const step = this.step(entry)
        step.status = 'waiting'
        step.signal = entry.signal
        if (entry.input !== undefined) step.input = entry.input
        if (entry.expiresAt !== undefined) step.expiresAt = entry.expiresAt
        if (entry.question !== undefined) step.question = entry.question
        return
      }
      case 'signal':
        for (const step of this.steps.values()) {
          if (step.status === 'waiting' && step.signal === entry.name) step.status = 'open'
        }
        return
      case 'parked':
        if (entry.reason === 'in_doubt') this.step(entry).status = 'in_doubt'
        return
      case 'result': {
        const step = this.step(entry)
        step.status = entry.outcome.ok ? 'done' : 'failed'
        step.finishedAt = entry.at
        if (!entry.outcome.ok) step.error = entry.outcome.error
        else if (entry.outcome.value !== undefined) step.result = entry.outcome.value
        return
      }
      case 'finished':
        this.end = {
          ...(entry.result === undefined ? {} : { result: entry.result }),
          ...(entry.error === undefined ? {} : { error: entry.error }),
        }
        return
      case 'reopened':
        this.end = {}
        for (const step of entry.steps.map((key) => this.steps.get(key))) {
          if (!step) continue
          step.status = 'open'
          delete step.finishedAt
          delete step.error
        }
    }
  }

  view(head: RunHead): object {
    const journal = [...this.steps.values()]
    return { ...runView(head), steps: head.steps, input: this.input ?? null, ...this.end, journal }
  }

  private step({ step: key, call, at }: Entry & { step: string; call: StepCall }): StepView {
    let step = this.steps.get(key)
    if (!step) {
      step = { step: key, kind: call.kind, name: call.name, status: 'open', startedAt: at }
      this.steps.set(key, step)
    }
    return step
  }
}

/** An entry of a step without what that was given and came to. */
function withoutValues(entry: Entry): Entry {
  if (entry.kind === 'intent' || entry.kind === 'waiting') return { ...entry, input: undefined }
  if (entry.kind === 'signal') return { ...entry, value: null }
  return entry.kind === 'result' && entry.outcome.ok ? { ...entry, outcome: { ok: true } } : entry
}
