import { AsyncLocalStorage } from 'node:async_hooks'
import type { ErrorBody } from '@agentos/protocol'
import type { TriggerRequest } from './api.ts'
import type { CallScope } from './calling.ts'
import type { CallOptions, HandlerContext } from './context.ts'
import type { FunctionContract, InputOf, OutputOf } from './contract.ts'
import type { DurableContext, Waiting, WaitOptions } from './durable.ts'
import { AgentError, InvocationError, toErrorBody } from './errors.ts'
import { type HandlerParts, ServedContext } from './handler-context.ts'
import { newId } from './ids.ts'
import type { Inbound } from './inbound.ts'
import { knownSecrets } from './known-secrets.ts'
import { StateClient } from './state.ts'
import { Suspended } from './suspended.ts'

/** What the branches of one attempt share. */
class AttemptState {
  suspended: Suspended | undefined
  answer: ((waiting: Waiting) => unknown) | undefined
}

/** Made at the first `step`: there, a call with the context would take a number that the next attempt does not give. */
let work: AsyncLocalStorage<AttemptState> | undefined

/** The context of an attempt, or of one branch of it: numbers the steps and asks the engine for each. */
export class ServedRun extends ServedContext implements DurableContext {
  private readonly attemptState: AttemptState
  /** Of a branch: `4.0`; its steps are `4.0.1`, `4.0.2`, … */
  private readonly branch: string | undefined
  private steps = 0
  private journaledState: StateClient | undefined

  constructor(parts: HandlerParts, inbound: Inbound, attemptState = new AttemptState(), branch?: string) {
    super(parts, inbound)
    this.attemptState = attemptState
    this.branch = branch
  }

  override get run(): string {
    return this.inbound.context?.run ?? ''
  }

  get attempt(): number {
    return this.inbound.context?.attempt ?? 1
  }

  get following(): boolean {
    return this.inbound.context?.follows === true
  }

  get replaying(): boolean {
    return !this.following && this.mayBeRecorded(this.branch ?? String(this.steps + 1))
  }

  override get state(): StateClient {
    this.journaledState ??= new StateClient((request) => this.trigger(request))
    return this.journaledState
  }

  override call<C extends FunctionContract>(
    contract: C,
    input: InputOf<C>,
    options: CallOptions = {},
  ): Promise<OutputOf<C>> {
    return this.trigger({ ...options, function_id: contract.id, payload: input })
  }

  override async trigger<T = unknown>(request: TriggerRequest & CallOptions): Promise<T> {
    return (await this.ask(this.next(), request)) as T
  }

  async step<T>(name: string, run: (plain: HandlerContext) => Promise<T> | T): Promise<T> {
    const step = this.next()
    if (this.mayBeRecorded(step)) {
      const found = (await this.ask(step, { function_id: 'engine::journal::look', payload: { name } })) as Found
      if (found.recorded) {
        if (found.error) throw new InvocationError({ ...found.error, function_id: name })
        return found.result as T
      }
    }
    const payload = { name, ...(await this.outcomeOf(() => run(new ServedContext(this.parts, this.inbound)))) }
    return (await this.ask(step, { function_id: 'engine::journal::record', payload })) as T
  }

  now(): Promise<number> {
    return this.step('now', () => Date.now())
  }

  newId(prefix: string): Promise<string> {
    return this.step('newId', () => newId(prefix))
  }

  async all<I, T>(items: readonly I[], run: (item: I, ctx: DurableContext, index: number) => Promise<T>): Promise<T[]> {
    const step = this.next()
    const branches = await Promise.allSettled(
      items.map(async (item, index) => {
        const ctx = new ServedRun(this.parts, this.inbound, this.attemptState, `${step}.${index}`)
        return run(item, ctx, index)
      }),
    )
    if (this.attemptState.suspended) throw this.attemptState.suspended
    return branches.map((branch) => {
      if (branch.status === 'rejected') throw branch.reason
      return branch.value
    })
  }

  async wait<T = unknown>(name: string, options: WaitOptions = {}): Promise<T> {
    return (await this.ask(this.next(), { function_id: 'engine::journal::wait', payload: { name, ...options } })) as T
  }

  onSuspend(answer: (waiting: Waiting) => unknown): void {
    this.attemptState.answer = answer
  }

  /** Runs the handler. A suspended attempt ends as one, whatever the handler made of it. */
  async unwind<T>(handle: () => Promise<T>): Promise<T> {
    try {
      const result = await handle()
      if (!this.attemptState.suspended) return result
    } catch (error) {
      if (!this.attemptState.suspended) throw error
    }
    const answer = this.attemptState.answer?.(this.attemptState.suspended.waiting)
    const details = answer === undefined ? {} : { details: { answer } }
    throw new AgentError('run_suspended', 'The run waits; it goes on in another attempt', details)
  }

  /** The number of the next step; taken at once, so that steps are numbered in the order in which they are asked for. */
  private next(): string {
    if (work?.getStore() === this.attemptState) {
      throw new AgentError(
        'conflict',
        'The work of a step makes no calls with the context of its run; make them beside it',
      )
    }
    if (this.attemptState.suspended) throw this.attemptState.suspended
    this.steps += 1
    return this.branch === undefined ? String(this.steps) : `${this.branch}.${this.steps}`
  }

  private mayBeRecorded(step: string): boolean {
    return Number.parseInt(step, 10) <= (this.inbound.context?.recorded ?? 0)
  }

  private async ask(step: string, request: TriggerRequest & CallOptions): Promise<unknown> {
    try {
      this.assertOpen(request.function_id)
      const scope: CallScope = { ...this.ownScope(), step }
      return await this.parts.client.invoke(request, scope)
    } catch (error) {
      if (!(error instanceof InvocationError) || error.code !== 'run_suspended') throw error
      this.attemptState.suspended ??= new Suspended(error.details as Waiting)
      throw this.attemptState.suspended
    }
  }

  private async outcomeOf(run: () => unknown): Promise<{ result: unknown } | { error: ErrorBody }> {
    work ??= new AsyncLocalStorage()
    try {
      return { result: (await work.run(this.attemptState, async () => run())) ?? null }
    } catch (error) {
      const { stacktrace: _here, ...body } = toErrorBody(error)
      // It is written down as it is here.
      return { error: knownSecrets.value(body) }
    }
  }
}

interface Found {
  recorded: boolean
  result?: unknown
  error?: ErrorBody
}
