import { EngineError, type ErrorBody, type HttpBinding, type Principal } from '@agentos/protocol'
import { realmsShown } from '../../core/context.ts'
import type { BuiltinCall, BuiltinFunction, ModuleHost } from '../../core/module.ts'
import type { StoreWrite } from '../../core/ports.ts'
import { AnswerSize } from '../answer-size.ts'
import { inTurn } from '../firing.ts'
import type { Input } from '../input.ts'
import { ANY, arrayOf, BOOLEAN, integer, object, oneOf, STRING } from '../json-schema.ts'
import { KeyRecords } from '../keys/key-records.ts'
import { guarded, serve } from '../serve.ts'
import { isOpen, type RunHead, type RunStatus } from './entry.ts'
import type { EventReaders } from './events.ts'
import { listPartition, runPartition } from './partitions.ts'
import { Recording } from './replay.ts'
import type { Run } from './run.ts'
import type { Runs } from './runs.ts'
import { runView, Story } from './views.ts'

const STATUSES = ['running', 'waiting', 'parked', 'done', 'failed', 'cancelled'] as const satisfies RunStatus[]
/** Runs that one page looks at, whatever the filter leaves of them. */
const MOST_SCANNED = 2_000
const SCAN = 200
const MOST_WAIT_MS = 60_000

const READ: Pick<BuiltinFunction, 'effects' | 'idempotent'> = { effects: 'read', idempotent: true }
const RUN_ID = { runId: STRING }
const RUN = object({
  id: STRING,
  function: STRING,
  status: oneOf(...STATUSES),
  createdAt: integer(0),
  steps: integer(0),
})

export function route(method: HttpBinding['method'], path: string, stream = false): HttpBinding[] {
  return [{ method, path, status: 200, raw: false, stream }]
}

/** `engine::runs::*`: what people and programs do with runs. */
export class RunDesk {
  private readonly host: ModuleHost
  private readonly runs: Runs
  private readonly events: EventReaders | undefined
  private readonly keys: KeyRecords
  private readonly maxAnswerBytes: number

  constructor(parts: { host: ModuleHost; runs: Runs; events: EventReaders | undefined; maxAnswerBytes: number }) {
    this.host = parts.host
    this.runs = parts.runs
    this.events = parts.events
    this.keys = new KeyRecords(parts.host.ports)
    this.maxAnswerBytes = parts.maxAnswerBytes
  }

  serve(): void {
    this.add(
      {
        id: 'engine::runs::list',
        summary: 'Durable runs of this realm, the newest first; to the owner also those that schedules began',
        ...READ,
        http: route('GET', '/v1/runs'),
        request_format: object({
          'status?': oneOf(...STATUSES),
          'function?': STRING,
          'session?': STRING,
          'limit?': integer(1, 200),
          'after?': STRING,
        }),
        response_format: object({ runs: arrayOf(RUN), 'next?': STRING }),
      },
      (input, call) => this.list(input, call),
    )
    this.add(
      {
        id: 'engine::runs::get',
        summary: 'One run with its input, its steps and its end',
        ...READ,
        http: route('GET', '/v1/runs/:runId'),
        request_format: object({ ...RUN_ID, 'values?': BOOLEAN }),
        response_format: RUN,
      },
      (input, call) => this.get(input, call),
    )
    this.add(
      {
        id: 'engine::runs::result',
        summary: 'How a run ended, or what it waits for; waits up to `waitMs` for its end',
        ...READ,
        http: route('GET', '/v1/runs/:runId/result'),
        request_format: object({ ...RUN_ID, 'waitMs?': integer(0, MOST_WAIT_MS) }),
        response_format: object({
          ...RUN_ID,
          status: oneOf(...STATUSES),
          'result?': ANY,
          'error?': ANY,
          'reason?': STRING,
          'question?': ANY,
        }),
      },
      (input, call) => this.result(input, call),
    )
    this.add(
      {
        id: 'engine::runs::cancel',
        summary: 'End a run and what it has under way',
        effects: 'write',
        idempotent: true,
        http: route('POST', '/v1/runs/:runId/cancel'),
        request_format: object({ ...RUN_ID, 'reason?': STRING }),
        response_format: object({ ...RUN_ID, status: oneOf('cancelled') }),
      },
      (input, call) => {
        const head = this.headOf(input, call)
        // Whoever asks again under a key, because the answer was lost, hears what it was; of others one cancels.
        const asksAgain = call.context.idempotencyKey !== undefined
        if (asksAgain && head.status === 'cancelled' && !this.runs.get(head.id)) {
          return call.reply({ runId: head.id, status: 'cancelled' })
        }
        const run = this.openRun(input, call)
        run.cancel(input.optionalString('reason') ?? 'The run was cancelled', () =>
          call.reply({ runId: run.id, status: 'cancelled' }),
        )
      },
    )
    this.add(
      {
        id: 'engine::runs::resume',
        summary: 'Decide what became of a step in doubt, or try a run that diverged again',
        effects: 'write',
        keyed: true,
        access: 'owner',
        http: route('POST', '/v1/runs/:runId/resume'),
        request_format: object({
          ...RUN_ID,
          'step?': STRING,
          answer: oneOf('repeat', 'done', 'failed'),
          'result?': ANY,
        }),
        response_format: object({ ...RUN_ID, status: oneOf(...STATUSES) }),
      },
      (input, call) => this.resume(input, call),
    )
    this.add(
      {
        id: 'engine::runs::signal',
        summary: 'Give a run a value that it waits for, or will wait for; each name once',
        effects: 'write',
        keyed: true,
        access: 'owner',
        http: route('POST', '/v1/runs/:runId/signal'),
        request_format: object({ ...RUN_ID, name: STRING, 'value?': ANY }),
        response_format: object({ ...RUN_ID, status: oneOf(...STATUSES) }),
      },
      (input, call) => {
        const name = input.string('name')
        if (name === '' || name.length > 200) throw input.mismatch('`name` has 1 to 200 characters')
        const value = input.optionalValue('value') ?? null
        this.decide(input, call, (run, beside, done) => run.waits.signal(name, value, beside, done))
      },
    )
    this.add(
      {
        id: 'engine::runs::replay',
        summary:
          'Run the handler again against the journal and tell what differs; with `from`, begin a fork at that step',
        effects: 'external',
        keyed: true,
        access: 'owner',
        http: route('POST', '/v1/runs/:runId/replay'),
        request_format: object({ ...RUN_ID, 'from?': STRING }),
        response_format: object({
          'ok?': BOOLEAN,
          'divergences?': arrayOf(object({ step: STRING, recorded: ANY, asked: ANY })),
          'resultEqual?': BOOLEAN,
          'runId?': STRING,
        }),
      },
      (input, call) => this.replay(input, call),
    )
    const { events } = this
    if (!events) return
    this.add(
      {
        id: 'engine::runs::events',
        summary: 'What happens in a run, from its beginning or after a number, as it happens',
        effects: 'read',
        http: route('GET', '/v1/runs/:runId/events', true),
        request_format: object({ ...RUN_ID, 'after?': integer(0), stream: ANY }),
        response_format: object({ ...RUN_ID, status: oneOf(...STATUSES), last: integer(0) }),
      },
      (input, call) => events.open(this.headOf(input, call), input, call),
    )
  }

  /** The state of a run that the caller may see. Throws `not_found`. */
  headOf(input: Input, call: BuiltinCall): RunHead {
    const id = input.string('runId')
    for (const realm of realmsShown(call.context)) {
      const head = this.runs.head(realm, id)
      if (head && maySee(head, call)) return head
    }
    throw new EngineError('not_found', `There is no run ${id} in this realm; engine::runs::list names them`)
  }

  private add(
    fn: Omit<BuiltinFunction, 'handle' | 'summary'> & { summary: string },
    handle: (input: Input, call: BuiltinCall) => void,
  ): void {
    serve(this.host, fn, (input, call) => this.runs.whenLoaded(call, () => handle(input, call)))
  }

  private openRun(input: Input, call: BuiltinCall): Run {
    const head = this.headOf(input, call)
    const run = this.runs.get(head.id)
    if (run && !run.over) return run
    throw new EngineError('conflict', `The run ${head.id} is ${head.status} already`)
  }

  private get(input: Input, call: BuiltinCall): void {
    const head = this.headOf(input, call)
    const values = input.optionalBoolean('values') ?? true
    const story = new Story(head.id, values, this.maxAnswerBytes)
    this.runs.entries(
      head,
      (_n, entry) => story.add(entry),
      (error) => (error ? call.fail(error.code, error.message, error.details) : call.reply(story.view(head))),
    )
  }

  private result(input: Input, call: BuiltinCall): void {
    const head = this.headOf(input, call)
    const waitMs = input.optionalInteger('waitMs', { min: 0, max: MOST_WAIT_MS }) ?? 0
    const answer = (): void => {
      if (isOpen(head.status) || this.runs.get(head.id)) return call.reply(standing(head))
      this.runs.outcome(head, (end, error) => {
        if (error) return call.fail(error.code, error.message, error.details)
        call.reply({
          runId: head.id,
          status: head.status,
          ...(end?.result === undefined ? {} : { result: end.result }),
          ...(end?.error === undefined ? {} : { error: end.error }),
        })
      })
    }
    if (!this.runs.get(head.id) || waitMs === 0) return answer()
    const { timers } = this.host.ports
    const end = (): void => {
      unlisten()
      timers.clear(timer)
      answer()
    }
    // The entry is told before the run leaves the table.
    const unlisten = this.runs.listen(head.id, (_n, entry) => {
      if (entry.kind === 'finished') timers.set(0, end)
    })
    const timer = timers.set(waitMs, end)
    call.onCancel(() => {
      unlisten()
      timers.clear(timer)
    })
  }

  /** Writes a decision about a run, once for the key of its call, and tells in which state that leaves the run. */
  private decide(
    input: Input,
    call: BuiltinCall,
    write: (run: Run, beside: readonly StoreWrite[], done: () => void) => void,
  ): void {
    const { functionId, context } = call
    const { id, realm } = this.headOf(input, call)
    const work = { functionId, context, input: call.input, partition: runPartition(realm, id) }
    const answer = (): void =>
      guarded(this.host, call, () => call.reply({ runId: id, status: this.runs.head(realm, id)?.status }))
    this.keys.once(work, {
      first: () => write(this.openRun(input, call), this.keys.recordOf(work, undefined), answer),
      again: answer,
      failed: (error) =>
        guarded(this.host, call, () => {
          throw error
        }),
    })
  }

  private resume(input: Input, call: BuiltinCall): void {
    const answer = input.optionalOneOf('answer', ['repeat', 'done', 'failed'])
    if (!answer) throw input.mismatch('missing field `answer`')
    const step = input.optionalString('step')
    const given = {
      answer,
      by: call.context.principal,
      ...(step === undefined ? {} : { step }),
      ...(input.has('result') ? { result: input.optionalValue('result') } : {}),
    }
    this.decide(input, call, (run, beside, done) => run.waits.resume({ ...given, beside }, done))
  }

  private replay(input: Input, call: BuiltinCall): void {
    const asked = this.headOf(input, call)
    // A replay ends with a report: one of it is one of the run that it replayed.
    const original = asked.replayOf === undefined ? undefined : this.runs.head(asked.realm, asked.replayOf)
    const head = original ?? asked
    const from = input.optionalString('from')
    const recording = new Recording(head)
    this.runs.entries(
      head,
      (_n, entry) => recording.add(entry),
      (error) =>
        guarded(this.host, call, () => {
          if (error) call.fail(error.code, error.message, error.details)
          else if (from === undefined) this.runs.replay(call, recording)
          else this.runs.fork(call, recording, from)
        }),
    )
  }

  private list(input: Input, call: BuiltinCall): void {
    const limit = input.optionalInteger('limit', { min: 1, max: 200 }) ?? 50
    const status = input.optionalOneOf('status', STATUSES)
    const fn = input.optionalString('function')
    const session = input.optionalString('session')
    const fits = (head: RunHead): boolean =>
      (status === undefined || head.status === status) &&
      (fn === undefined || head.function === fn) &&
      (session === undefined || head.session === session) &&
      maySee(head, call)
    const found: object[] = []
    const size = new AnswerSize(this.maxAnswerBytes)
    let scanned = 0
    let last = input.optionalString('after')
    const page = (after: string | undefined): void => {
      this.newest(realmsShown(call.context), after, (records, more, error) =>
        guarded(this.host, call, () => {
          if (error) return call.fail(error.code, error.message, error.details)
          for (const { realm, key, id } of records) {
            const head = this.runs.head(realm, id)
            if (head && fits(head)) {
              const view = runView(head)
              if (!size.takes(view)) return call.reply({ runs: found, next: last })
              found.push(view)
            }
            last = key
            scanned += 1
            if (found.length === limit || scanned === MOST_SCANNED) return call.reply({ runs: found, next: key })
          }
          if (!more) return call.reply({ runs: found })
          page(records.at(-1)!.key)
        }),
      )
    }
    page(last)
  }

  /** The next `SCAN` runs of these realms behind `after`, the newest first. */
  private newest(
    realms: readonly string[],
    after: string | undefined,
    done: (records: { realm: string; key: string; id: string }[], more: boolean, error?: ErrorBody) => void,
  ): void {
    let more = false
    const found: { realm: string; key: string; id: string }[] = []
    const options = { limit: SCAN, ...(after === undefined ? {} : { after }) }
    let failure: ErrorBody | undefined
    inTurn(
      realms,
      (realm, next) =>
        this.host.ports.store.range(listPartition(realm), options, (records, error, behind) => {
          failure ??= error
          more ||= behind !== undefined
          for (const { key, value } of records) found.push({ realm, key, id: (value as { id: string }).id })
          next()
        }),
      () => {
        found.sort((a, b) => (a.key < b.key ? -1 : 1))
        done(found.slice(0, SCAN), more || found.length > SCAN, failure)
      },
    )
  }
}

function standing({ id: runId, status, reason, question }: RunHead): object {
  return {
    runId,
    status,
    ...(reason === undefined ? {} : { reason }),
    ...(question === undefined ? {} : { question }),
  }
}

/**
 * Guests and agents see, and end, what they began themselves; the owner, and workers for themselves, everything of the realm.
 * Through which worker somebody asks makes no difference: it is he who asks.
 */
export function maySee({ principal, context: begun }: RunHead, { context }: BuiltinCall): boolean {
  const { kind } = context.principal
  if (kind === 'owner' || kind === 'system') return true
  return isSame(principal, context.principal) && isSame(begun.onBehalfOf, context.onBehalfOf)
}

function isSame(one: Principal | undefined, other: Principal | undefined): boolean {
  return one?.kind === other?.kind && one?.id === other?.id
}
