import { type ErrorBody, isRetryable, type WireContext } from '@agentos/protocol'
import { QueueClient } from './queue-client.ts'
import type { World } from './world.ts'

/** What the engine sends, as far as the simulation reads it. */
export interface Frame {
  type: string
  invocation_id: string
  function_id: string
  context: WireContext
  data: Record<string, unknown> & {
    plan: PlanStep[]
    n: number
    strict: boolean
    runId: string
    input: { key: string }
  }
  result?: unknown
  error?: ErrorBody
}

/** A step of a simulated handler: a call, work of its own, a wait, or branches side by side. */
export type PlanStep =
  | { kind: 'call'; fn: string; agent?: string }
  | { kind: 'work' }
  | { kind: 'wait'; name: string }
  | { kind: 'all'; branches: PlanStep[][] }

/** How a step came out, as text that can be compared. */
type Told = string
export const ERROR = 'error '

interface Attempt {
  id: string
  run: string
  recorded: number
  suspended: boolean
  over: boolean
  /** It ends with the first failure that may pass, as a handler does that catches nothing. */
  strict: boolean
  failure: string | undefined
}

/** What a process tells whoever watches the simulation. */
export interface Watch {
  /** A step's outcome reached a handler. */
  told(run: string, step: string, outcome: Told): void
  /** Work of a step ran in a process; its result. */
  worked(run: string, step: string): unknown
  began(run: string, n: number): void
  /** It is to tell one who joined a run. */
  followed(): void
}

/** A process that serves `flow::run` as the SDK does: it numbers its steps and asks the engine for each. */
export class FlowProcess {
  readonly client: QueueClient<Frame>
  private readonly world: World
  private readonly watch: Watch
  private readonly attempts = new Map<string, Attempt>()
  private readonly asked = new Map<string, (frame: Frame) => void>()
  /** Of the ids of what it asks. */
  private readonly prefix: string
  private asks = 0
  /** Never answers what it is given from now on. */
  frozen = false

  constructor(world: World, index: number, watch: Watch) {
    this.world = world
    this.watch = watch
    const grant = { principal: { kind: 'system', id: 'flow' }, realm: 'system', worker: 'flow' } as const
    this.client = new QueueClient<Frame>(world, (frame) => this.receive(frame), grant)
    this.prefix = `2000000${index}-0000-4000-8000`
  }

  /** The process dies: what it had in memory is gone. */
  die(): void {
    for (const attempt of this.attempts.values()) attempt.over = true
    this.attempts.clear()
    this.asked.clear()
    this.frozen = false
  }

  private receive(frame: Frame): void {
    if (frame.type === 'invocationresult') {
      const answered = this.asked.get(frame.invocation_id)
      this.asked.delete(frame.invocation_id)
      answered?.(frame)
    } else if (frame.type === 'cancelinvocation') {
      const attempt = this.attempts.get(frame.invocation_id)
      if (attempt) attempt.over = true
    } else if (frame.type === 'invokefunction' && !this.frozen) this.handle(frame)
  }

  private handle({ invocation_id: id, context, data }: Frame): void {
    const attempt: Attempt = {
      id,
      run: context.run!,
      recorded: context.recorded!,
      suspended: false,
      over: false,
      strict: data.strict,
      failure: undefined,
    }
    this.attempts.set(id, attempt)
    if (context.follows) this.watch.followed()
    else this.watch.began(attempt.run, data.n)
    this.sequence(attempt, data.plan, '', [], (outcomes) => this.end(attempt, outcomes))
  }

  private end(attempt: Attempt, outcomes: Told[]): void {
    this.world.after(this.world.between(0, 10), () => {
      if (attempt.over) return
      attempt.over = true
      const code = attempt.suspended ? 'run_suspended' : attempt.failure
      const how = code === undefined ? { result: outcomes } : { error: { code, message: code } }
      this.client.send({ type: 'invocationresult', invocation_id: attempt.id, ...how })
    })
  }

  /** Runs the steps one after the other; a suspended attempt goes no further. */
  private sequence(attempt: Attempt, plan: PlanStep[], prefix: string, done: Told[], end: (all: Told[]) => void): void {
    const [step, ...rest] = plan
    // Branches side by side all come to their end first.
    if (!step || attempt.suspended || (prefix === '' && attempt.failure)) return end(done)
    const key = `${prefix}${done.length + 1}`
    const next = (outcome: Told): void => this.sequence(attempt, rest, prefix, [...done, outcome], end)
    if (step.kind === 'all') return this.branches(attempt, step.branches, key, next)
    const tell = (outcome: Told | undefined): void => {
      if (outcome === undefined) {
        attempt.suspended = true
        return end(done)
      }
      this.watch.told(attempt.run, key, outcome)
      const code = outcome.startsWith(ERROR) ? outcome.slice(ERROR.length) : undefined
      if (!attempt.strict || code === undefined || !isRetryable(code)) return next(outcome)
      attempt.failure = code
      end(done)
    }
    if (step.kind === 'call') this.call(attempt, key, step, tell)
    else if (step.kind === 'wait') this.ask(attempt, key, 'engine::journal::wait', { name: step.name }, tell)
    else this.work(attempt, key, tell)
  }

  private branches(attempt: Attempt, branches: PlanStep[][], key: string, next: (outcome: Told) => void): void {
    const outcomes: Told[][] = []
    let left = branches.length
    branches.forEach((plan, index) => {
      this.sequence(attempt, plan, `${key}.${index}.`, [], (all) => {
        outcomes[index] = all
        left -= 1
        if (left === 0) next(JSON.stringify(outcomes))
      })
    })
  }

  private work(attempt: Attempt, key: string, tell: (outcome: Told | undefined) => void): void {
    const record = (): void => {
      const result = this.watch.worked(attempt.run, key)
      this.ask(attempt, key, 'engine::journal::record', { name: 'work', result }, tell)
    }
    if (Number.parseInt(key, 10) > attempt.recorded) return record()
    this.askRaw(attempt, key, 'engine::journal::look', { name: 'work' }, (frame) => {
      const found = frame.result as { recorded?: boolean; result?: unknown } | undefined
      if (frame.error) tell(outcomeOf(frame))
      else if (found?.recorded) tell(JSON.stringify(found.result))
      else record()
    })
  }

  /** Whatever the function makes of it, as a write to the state it counts how often it was made. */
  private call(
    attempt: Attempt,
    key: string,
    { fn, agent }: PlanStep & { kind: 'call' },
    tell: (outcome: Told | undefined) => void,
  ): void {
    const data = { scope: attempt.run, key, ops: [{ type: 'increment', path: '', by: 1 }] }
    this.ask(attempt, key, fn, data, tell, agent === undefined ? {} : { agent })
  }

  private ask(
    attempt: Attempt,
    key: string,
    functionId: string,
    data: object,
    tell: (outcome: Told | undefined) => void,
    more: object = {},
  ): void {
    this.askRaw(attempt, key, functionId, data, (frame) => tell(outcomeOf(frame)), more)
  }

  private askRaw(
    attempt: Attempt,
    key: string,
    functionId: string,
    data: object,
    done: (frame: Frame) => void,
    more: object = {},
  ): void {
    if (attempt.over) return
    this.asks += 1
    const id = `${this.prefix}-${this.asks.toString(16).padStart(12, '0')}`
    this.asked.set(id, (frame) => {
      if (!attempt.over) done(frame)
    })
    this.client.send({
      type: 'invokefunction',
      invocation_id: id,
      function_id: functionId,
      data,
      parent: attempt.id,
      step: key,
      ...more,
    })
  }
}

/** `undefined` where the run is suspended. */
function outcomeOf({ result, error }: Frame): Told | undefined {
  if (error?.code === 'run_suspended') return undefined
  return error ? `${ERROR}${error.code}` : JSON.stringify(result ?? null)
}
