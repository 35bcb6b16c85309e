import { EngineError, payloadValue } from '@agentos/protocol'
import type { BuiltinCall, CallHandle, DurableCall, ModuleHost, StepRequest } from '../../core/module.ts'
import type { Timer } from '../../core/ports.ts'
import { DiskWait } from '../disk-wait.ts'
import { storedContext } from '../queue/job.ts'
import { suspension } from './attempt.ts'
import { type Entry, type RunHead, type StepCall, sameCall } from './entry.ts'
import { withoutChannels } from './fingerprint.ts'
import { Journal } from './journal.ts'
import { callOf, found, readWait, readWork } from './own-steps.ts'
import type { EntryListener } from './runs.ts'
import { toResult } from './step.ts'

/** A handler that asks for nothing for so long, though the run has come to its end, is not waited for. */
const QUIET_MS = 5_000

/** What a follower needs of whoever keeps the runs. */
interface Runs {
  readonly host: ModuleHost
  listen(id: string, listener: EntryListener): () => void
}

/**
 * The handler of a run once more, for a reader who joined the run with a stream: it executes nothing. Its steps are
 * answered as they are recorded, so that it tells the stream what the run came to, up to where the run is over or stands
 * still. The reader is answered after that.
 */
export class Follower {
  private readonly runs: Runs
  private readonly head: RunHead
  private readonly journal: Journal
  private readonly disk: DiskWait
  private readonly onEnd: (invocation: string) => void
  /** Entries that hold the results of steps. */
  private readonly recorded = new Map<string, number>()
  /** Steps that are not recorded yet. */
  private readonly pending = new Set<StepRequest>()
  private handle: CallHandle | undefined
  private unlisten: () => void = () => {}
  private isRead = false
  /** The reader's answer is known. */
  private answer: (() => void) | undefined
  private over = false
  private timer: Timer | undefined

  constructor(runs: Runs, head: RunHead, onEnd: (invocation: string) => void) {
    this.runs = runs
    this.head = head
    this.onEnd = onEnd
    this.journal = new Journal(runs.host.ports, head.realm, head.id, () => {})
    this.disk = new DiskWait(runs.host.ports, 'A reader of a run waits until its journal can be read', { run: head.id })
  }

  /** Begins. Returns the id of the invocation whose steps are to be asked here; nothing where it is over already. */
  start(call: DurableCall): string | undefined {
    const { host } = this.runs
    const { head } = this
    this.unlisten = this.runs.listen(head.id, (n, entry) => this.hear(n, entry))
    this.read()
    const { context, input, http, metadata, spanId } = call
    const { deadline } = context
    const handle = host.invoke({
      functionId: head.function,
      payload: { value: input },
      context: {
        ...storedContext(context),
        parentSpanId: spanId,
        run: head.id,
        ...(deadline === undefined ? {} : { deadline }),
      },
      caller: head.calledBy === undefined ? {} : { worker: head.calledBy },
      attempt: { number: Math.max(1, head.attempts), recorded: Number.MAX_SAFE_INTEGER, follows: true },
      ...(http === undefined ? {} : { http }),
      ...(metadata === undefined ? {} : { metadata }),
      onResult: () => this.end(),
    })
    if (this.over) return undefined
    this.handle = handle
    return handle.id
  }

  private read(): void {
    this.journal.load(
      (n, entry) => this.note(n, entry),
      (error) => {
        if (error) return this.disk.failed(error, () => this.read())
        this.isRead = true
        this.tell()
      },
    )
  }

  /** The reader's call: what it is answered with comes after what is told. */
  after(call: BuiltinCall): BuiltinCall {
    const onCancel: BuiltinCall['onCancel'] = (run) =>
      call.onCancel((error) => {
        this.handle?.cancel(error.message)
        run(error)
      })
    onCancel(() => {})
    return {
      ...call,
      onCancel,
      reply: (value) => this.finish(() => call.reply(value)),
      fail: (code, message, details) => this.finish(() => call.fail(code, message, details)),
    }
  }

  /** A step that the handler asks for. */
  ask(request: StepRequest): undefined {
    this.pending.add(request)
    this.watch()
    this.tell()
  }

  private hear(n: number, entry: Entry): void {
    this.note(n, entry)
    this.tell()
  }

  private note(n: number, entry: Entry): void {
    if (entry.kind === 'result') this.recorded.set(entry.step, n)
    else if (entry.kind === 'reopened') for (const step of entry.steps) this.recorded.delete(step)
  }

  /** Answers what can be answered. Once no more is coming, the handler is told to unwind. */
  private tell(): void {
    const isAtEnd = this.isRead && (this.answer !== undefined || this.head.status !== 'running')
    for (const request of this.pending) {
      const n = this.recorded.get(request.step)
      if (n === undefined && !isAtEnd) continue
      this.pending.delete(request)
      if (n === undefined) this.reply(request, undefined)
      else this.journal.read(n, (entry) => this.reply(request, entry))
    }
  }

  private reply(request: StepRequest, entry: Entry | undefined): void {
    const isKnown = entry?.kind === 'result' && sameCall(entry.call, askedFor(request))
    const result = isKnown ? toResult(entry.outcome) : suspension({ head: this.head })
    request.onResult(request.functionId === 'engine::journal::look' ? found(result) : result)
  }

  private finish(answer: () => void): void {
    if (this.over) return answer()
    this.answer = answer
    this.watch()
    this.tell()
  }

  private watch(): void {
    const { timers } = this.runs.host.ports
    if (this.answer === undefined || this.over) return
    if (this.timer) timers.clear(this.timer)
    this.timer = timers.set(QUIET_MS, () => this.handle?.cancel('The run is over'))
  }

  private end(): void {
    if (this.over) return
    this.over = true
    this.unlisten()
    this.journal.stop()
    this.disk.stop()
    if (this.timer) this.runs.host.ports.timers.clear(this.timer)
    if (this.handle) this.onEnd(this.handle.id)
    this.answer?.()
  }
}

/** The step as it would be recorded; one that cannot be read is none that is. */
function askedFor(request: StepRequest): StepCall {
  const { functionId, payload } = request
  try {
    const input = withoutChannels(payloadValue(payload))
    if (functionId === 'engine::journal::wait') return readWait(input, 0).call
    if (functionId === 'engine::journal::look' || functionId === 'engine::journal::record') return readWork(input).call
    return callOf(request, input)
  } catch (error) {
    if (error instanceof EngineError || error instanceof SyntaxError) return { kind: 'work', name: '', hash: '' }
    throw error
  }
}
