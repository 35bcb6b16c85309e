import {
  EngineError,
  type ErrorBody,
  encodeInvoke,
  type InvokeHead,
  type KnownSecrets,
  payloadValue,
  type WireContext,
} from '@agentos/protocol'
import type { Authority } from './authority.ts'
import { Call } from './call.ts'
import { attemptSpan, callSpan } from './call-spans.ts'
import type { Catalogue } from './catalogue.ts'
import type { Connection } from './connection.ts'
import type { CallContext } from './context.ts'
import { type FunctionFacts, factsOf, isRepeatable, reachesOutside } from './function-facts.ts'
import { Gate } from './gate.ts'
import type { GuestLaw } from './guest-powers.ts'
import { type GuestShare, isOfGuests } from './guest-share.ts'
import { Handovers } from './handovers.ts'
import type { Limits } from './limits.ts'
import { culpritOf, isItem } from './losses.ts'
import type {
  BuiltinCall,
  BuiltinFunction,
  CallerIdentity,
  CallHandle,
  CallResult,
  DurableCall,
  InvokeRequest,
  KeyedCall,
  KeyKeeper,
} from './module.ts'
import { overloaded } from './overload.ts'
import { placeIn } from './place.ts'
import type { Log, Ports } from './ports.ts'
import { Realms } from './realms.ts'
import type { Registration, Registry } from './registry.ts'
import { type Ending, mayRetry, retryDelay, withAttempts } from './retries.ts'
import type { SpanFeed } from './spans.ts'
import type { Supervision } from './supervision.ts'
import { WaitingCalls } from './waiting-calls.ts'

/** Counts for metrics; all of them only rise, except `inFlight` and `waiting`. */
export interface CallCounts {
  ok: number
  failed: number
  lateResults: number
  inFlight: number
  waiting: number
}

/** How often a call may be given back by processes that had not begun it. */
const MOST_REFUSALS = 10
/** A worker that does not read its socket may do so again soon. */
const UNREAD_RETRY_MS = 250

/** The table of calls: every accepted call leaves it exactly once, with a result, an error or a cancellation. */
export class Calls {
  private readonly ports: Ports
  private readonly limits: Limits
  private readonly catalogue: Catalogue
  private readonly registry: Registry
  private readonly authority: Authority
  private readonly guests: GuestLaw
  private readonly spans: SpanFeed
  private readonly supervision: Supervision
  private readonly realms: Realms
  private readonly guestShare: GuestShare
  private readonly logOf: (who: Pick<CallContext, 'realm' | 'principal'>) => Log
  readonly gate: Gate
  private readonly secrets: KnownSecrets
  private readonly table = new Map<string, Call>()
  /** Of everybody but guests, whose calls are counted together. */
  private readonly perRealm = new Map<string, number>()
  private readonly waiting = new WaitingCalls()
  private readonly handovers: Handovers
  private keeper: KeyKeeper | undefined
  private ok = 0
  private failed = 0
  private late = 0
  /** Takes the calls of durable functions, where a module does. */
  takeDurable: ((call: DurableCall) => void) | undefined

  constructor(parts: {
    ports: Ports
    limits: Limits
    guestShare: GuestShare
    logOf(who: Pick<CallContext, 'realm' | 'principal'>): Log
    catalogue: Catalogue
    registry: Registry
    authority: Authority
    guests: GuestLaw
    spans: SpanFeed
    supervision: Supervision
    secrets: KnownSecrets
  }) {
    this.secrets = parts.secrets
    this.ports = parts.ports
    this.limits = parts.limits
    this.guestShare = parts.guestShare
    this.logOf = (who) => parts.logOf(who)
    this.catalogue = parts.catalogue
    this.registry = parts.registry
    this.authority = parts.authority
    this.guests = parts.guests
    this.spans = parts.spans
    this.gate = new Gate(parts)
    this.supervision = parts.supervision
    this.realms = new Realms(parts.catalogue, parts.ports.store)
    this.handovers = new Handovers(parts.ports, (call) => this.takeTurn(call))
  }

  counts(): CallCounts {
    return {
      ok: this.ok,
      failed: this.failed,
      lateResults: this.late,
      inFlight: this.table.size,
      waiting: this.waiting.size,
    }
  }

  get(id: string): Call | undefined {
    return this.table.get(id)
  }

  /** Accepts a call; its result, even a refusal, comes through `request.onResult`, exactly once. */
  invoke(request: InvokeRequest, caller?: Connection): CallHandle {
    const call = new Call(this.ports.ids.uuid(), request, this.ports.ids.hex(8), this.ports.clock.precise())
    call.caller = caller
    try {
      this.admit(call)
      this.dispatch(call)
    } catch (error) {
      this.end(call, { ok: false, error: bodyOf(error) }, 'unsent')
    }
    return { id: call.id, cancel: (reason) => this.cancel(call, reason) }
  }

  /** Who keeps the results of calls with an idempotency key. */
  keepKeys(keeper: KeyKeeper): void {
    this.keeper = keeper
  }

  /** Throws where there is no such realm. */
  assertRealm(where: Parameters<Realms['assertUsable']>[0]): void {
    this.realms.assertUsable(where, 'read')
  }

  /** Throws where this caller may not call the function, or its realm does not take it. */
  assertMayCall(functionId: string, context: CallContext, caller: CallerIdentity): void {
    const known = this.registry.builtin(functionId) ?? this.catalogue.declared(functionId)?.descriptor
    this.realms.assertUsable(context, known?.effects)
    if (!known) return
    this.authority.assertMayInvoke(functionId, known.access ?? 'guest', context, caller)
    this.guests.assertMayCall(functionId, context, caller)
  }

  /** Result of an executor; late or foreign ones are counted and dropped. `refused`: it never began. */
  complete(connection: Connection, invocationId: string, result: CallResult, refused = false): void {
    const call = connection.serving.get(invocationId)
    if (!call) return this.countLate()
    if (refused && call.refusals < MOST_REFUSALS) return this.sendElsewhere(call)
    this.end(call, result.ok ? result : { ...result, error: thrownIn(call, connection, result.error) }, 'answered')
  }

  /** A result for a call that has ended, or that this connection was never given. */
  countLate(): void {
    this.late += 1
  }

  /** The caller no longer wants it: the caller hears `cancelled` at once, executors and calls below are told. */
  cancel(call: Call, reason: string): void {
    this.abort(call, { code: 'cancelled', message: reason || 'The caller cancelled the call' })
  }

  /** Everything on a dead connection: what it executed fails with a typed error, what it had asked for is cancelled. */
  connectionLost(connection: Connection): void {
    this.loseAll([...connection.serving.values()])
    // Under an idempotency key it is finished for whoever asks again.
    const left = [...connection.calling.values()].filter((call) => !this.isKept(call))
    // Those that wait go first: else each that runs would make room for one of them, only to be cancelled in its turn.
    for (const call of left) if (!call.running) this.cancel(call, 'The caller left')
    for (const call of left) this.cancel(call, 'The caller left')
  }

  private loseAll(open: Call[]): void {
    const culprit = culpritOf(open, this.ports.clock.monotonic())
    const workers = new Set(open.filter(isItem).map((call) => this.workerOf(call)))
    const losses = [...workers].map((worker) => this.handovers.lost(worker))
    const repeated = losses.includes(true)
    for (const call of open) {
      const lost = { counts: call === culprit, repeated }
      this.end(call, { ok: false, error: this.lostError(call), lost }, 'lost')
    }
  }

  /** Whose processes it is handed to; a function that nobody declared stands for itself, in its realm. */
  private workerOf({ request: { functionId }, context }: Call): string {
    return this.catalogue.declared(functionId)?.worker ?? placeIn(context.realm, functionId)
  }

  /** Something was registered or became free: hand over what waits for these functions of it, realms in turn. */
  drain(connection: Connection, functionIds: ReadonlySet<string> = connection.functions): void {
    if (this.waiting.size === 0) return
    const open = this.waiting.linesFor(connection.grant, functionIds)
    for (let call = this.waiting.next(open); call; call = this.waiting.next(open)) {
      const registration = this.pick(call, call.place)
      if (registration) {
        this.waiting.serve(call)
        this.handOver(call, registration)
      } else open.delete(call.line)
    }
  }

  /**
   * The process that takes it next. Guests have half of the places of a process that is none of theirs, so that nobody
   * else waits behind them.
   */
  private pick({ ofGuests }: Call, place: string): Registration | undefined {
    const limit = this.limits.inFlightPerWorker
    const share = Math.ceil(limit / 2)
    return this.registry.pick(
      place,
      ({ serving, guestsServed, grant }) =>
        serving.size < limit && (!ofGuests || guestsServed < share || isOfGuests(grant)),
    )
  }

  private admit(call: Call): void {
    const { context } = call
    this.joinRealm(call)
    this.table.set(call.id, call)
    const isChild = context.parent !== undefined && !call.request.outlives
    const parent = isChild ? this.table.get(context.parent!) : undefined
    if (parent) {
      call.parent = parent
      parent.children ??= new Set()
      parent.children.add(call)
    }
    // A parent with the same deadline takes its children along when it expires: one timer for all of them.
    if (context.deadline !== parent?.context.deadline) this.watchDeadline(call)
  }

  private watchDeadline(call: Call): void {
    const { deadline } = call.context
    if (deadline === undefined || call.deadlineTimer) return
    const left = deadline - this.ports.clock.monotonic()
    call.deadlineTimer = this.ports.timers.set(Math.max(0, left), () => this.expire(call))
  }

  private dispatch(call: Call): void {
    const { functionId, context, caller = {} } = call.request
    this.assertMayCall(functionId, context, caller)
    const question = this.gate.questionBefore(call)
    if (!question) return this.clear(call)
    const pass = (): void =>
      this.ask(call, question, (result) => {
        this.gate.pass(call, result)
        this.clear(call)
      })
    const check = this.gate.checkBefore(call)
    if (!check) return pass()
    this.ask(call, check, (result) => {
      this.gate.judge(result)
      pass()
    })
  }

  /** The call goes on with the answer, unless `then` throws: that ends it. */
  private ask(call: Call, question: Omit<InvokeRequest, 'onResult'>, then: (answer: CallResult) => void): void {
    call.asking = true
    const onResult = (result: CallResult): void => {
      call.asking = false
      if (call.ended) return
      try {
        then(result)
      } catch (error) {
        this.end(call, { ok: false, error: bodyOf(error) }, 'unsent')
      }
    }
    this.invoke({ ...question, onResult })
  }

  /** Whoever made the call may have something to write down before it can take effect. */
  private clear(call: Call): void {
    const { onCleared } = call.request
    if (!onCleared) return this.enter(call)
    onCleared(() => {
      if (!call.ended) this.reenter(call)
    })
  }

  /** Notes its idempotency key first, where it has one. */
  private enter(call: Call): void {
    if (call.claimed || !this.isKept(call)) return this.route(call)
    this.keeper!.claim(this.keyed(call), {
      proceed: () => this.proceed(call),
      answer: (result) => this.settle(call, result),
      refuse: (error) => this.end(call, { ok: false, error }, 'unsent'),
    })
  }

  /** The key is noted. The caller may have gone while it was. */
  private proceed(call: Call): void {
    if (!call.ended) {
      call.claimed = true
      return this.reenter(call)
    }
    const gone: CallResult = { ok: false, error: { code: 'cancelled', message: 'It ended before it was sent' } }
    this.keeper!.conclude(this.keyed(call), gone, 'unsent', () => {})
  }

  /** Is its result recorded under an idempotency key? A durable function's calls are runs, which keep their own. */
  private isKept(call: Call): boolean {
    const { request } = call
    if (!request.keyed || !this.keeper || request.context.idempotencyKey === undefined) return false
    return !this.factsOf(call)?.durable
  }

  private keyed(call: Call): KeyedCall {
    return {
      request: call.request,
      repeatable: () => this.isRepeatable(call),
      reachesOutside: () => reachesOutside(this.factsOf(call), call.request),
    }
  }

  private isRepeatable(call: Call): boolean {
    return isRepeatable(this.factsOf(call), call.request)
  }

  private factsOf({ request, executor }: Call): FunctionFacts | undefined {
    return factsOf(request.functionId, request.context.realm, this.registry, this.catalogue, executor)
  }

  /** Hands the call to who serves it, or lets it wait. */
  private route(call: Call): void {
    const { functionId } = call.request
    const builtin = this.registry.builtin(functionId)
    if (builtin) {
      this.runBuiltin(call, builtin)
      return
    }
    if (this.takeDurable && !call.request.attempt && this.factsOf(call)?.durable) {
      this.takeDurable({
        ...this.builtinCall(call),
        metadata: call.request.metadata,
        spanId: call.attempt.spanId,
      })
      return
    }
    const { realm } = call.context
    const place = this.registry.placeOf(functionId, realm)
    // Nobody passes those that wait.
    const registration = this.waiting.has(call, place) ? undefined : this.pick(call, place)
    if (registration) {
      this.handOver(call, registration)
      return
    }
    if (this.registry.registrations(functionId, realm).length === 0) {
      const declared = this.catalogue.declared(functionId)
      if (!declared) throw this.isComingBack(call) ? this.awayError(call) : this.notFound(functionId, realm)
      this.supervision.need(declared.worker)
    }
    this.wait(call, place)
  }

  private reenter(call: Call): void {
    try {
      this.enter(call)
    } catch (error) {
      this.end(call, { ok: false, error: bodyOf(error) }, 'unsent')
    }
  }

  /** The process is stopping and never began: the call goes to another, or waits for the restart. */
  private sendElsewhere(call: Call): void {
    call.refusals += 1
    this.release(call)
    this.beginAttempt(call, call.attempt.number)
    this.reenter(call)
  }

  /** Whoever lost the process of a run or job hands it over again before another has come. */
  private isComingBack(call: Call): boolean {
    return isItem(call) && this.handovers.hasLost(this.workerOf(call))
  }

  private awayError({ request: { functionId } }: Call): EngineError {
    return new EngineError('worker_unavailable', `The process of ${functionId} ended, and none has come back yet`)
  }

  private notFound(functionId: string, realm: string): EngineError {
    const worker = this.catalogue.missingWorkerOf(functionId)
    const unsupported = this.registry.whyUnsupported(functionId, realm)
    if (unsupported !== undefined) return new EngineError('unsupported_feature', unsupported)
    if (worker === undefined) return new EngineError('function_not_found', `Function ${functionId} not found`)
    // A caller that can do without the worker tells this from one that is down.
    const details = { worker, installed: false }
    const message = `${functionId} belongs to the worker ${worker}, which is not installed`
    return new EngineError('worker_unavailable', message, { details })
  }

  private wait(call: Call, place: string): void {
    if (!call.ofGuests && this.waiting.sizeOfOthers >= this.limits.queuedCalls) this.makeRoom(call)
    this.waiting.add(call, place)
    call.waitTimer = this.ports.timers.set(this.limits.workerWaitMs, () => {
      this.end(call, { ok: false, error: this.waitError(call) }, 'unsent')
    })
  }

  /** A realm with many waiting calls does not keep the others out. Throws where this realm is that one. */
  private makeRoom(call: Call): void {
    const full = overloaded(`${this.waiting.sizeOfOthers} calls wait for a worker; try again shortly`)
    const displaced = this.waiting.toDisplace(call)
    if (!displaced) throw full
    this.end(displaced, { ok: false, error: full.toBody() }, 'unsent')
  }

  private waitError({ request: { functionId }, context }: Call): ErrorBody {
    if (this.registry.registrations(functionId, context.realm).length > 0) {
      return overloaded(`Every process of ${functionId} is busy; try again shortly`).toBody()
    }
    const declared = this.catalogue.declared(functionId)?.worker
    if (declared && this.supervision.stateOf(declared) === 'held') return this.supervision.heldError(declared).toBody()
    if (declared && this.supervision.lost) {
      return this.supervision.lostError(`The worker ${declared} of ${functionId} is not running`).toBody()
    }
    const worker = declared ?? 'that served it'
    return {
      code: 'worker_unavailable',
      message: `The worker ${worker} of ${functionId} is not running; see npm run agentos -- status`,
    }
  }

  /** A run or a job has its turn first, where its worker's processes keep ending. */
  private handOver(call: Call, registration: Registration): void {
    if (this.handovers.idle || !isItem(call) || !this.handovers.defer(call, this.workerOf(call))) {
      return this.send(call, registration)
    }
    this.clearTimers(call)
  }

  private takeTurn(call: Call): void {
    const { request, context } = call
    const place = this.registry.placeOf(request.functionId, context.realm)
    const registration = this.pick(call, place)
    if (registration) this.send(call, registration)
    else this.reenter(call)
  }

  private send(call: Call, registration: Registration): void {
    const { connection } = registration
    if (connection.link.buffered() > this.limits.bufferedBytes) {
      const message = `The worker of ${call.request.functionId} does not read its socket`
      this.end(call, { ok: false, error: overloaded(message, { retryAfterMs: UNREAD_RETRY_MS }).toBody() }, 'unsent')
      return
    }
    this.clearTimers(call)
    call.executor = registration
    call.running = true
    if (isItem(call)) call.handedOverAt = this.ports.clock.monotonic()
    connection.serving.set(call.attempt.id, call)
    if (call.ofGuests) connection.guestsServed += 1
    const { payload, caller } = call.request
    // Requests over HTTP come on a socket each, many in one turn of the event loop: they reach their worker together.
    const urgent = call.caller !== undefined
    connection.link.send(encodeInvoke(this.headOf(call), payload, caller?.workerId), urgent)
    call.request.onSent?.(connection.metadata)
  }

  // This and `callSpan` build their objects field by field: they run for every call, and each optional part that is
  // spread in is an object of its own first.
  private headOf({ attempt, request }: Call): InvokeHead {
    const { context } = request
    const head: InvokeHead = {
      invocation_id: attempt.id,
      function_id: request.functionId,
      traceparent: `00-${context.traceId}-${attempt.spanId}-01`,
    }
    if (context.baggage) head.baggage = context.baggage
    if (request.http) head.metadata = { http: request.http }
    else if (request.metadata !== undefined) head.metadata = request.metadata
    const wire: WireContext = { realm: context.realm, principal: context.principal }
    // What a model chose is nobody else's word.
    const worker = context.chosen ? undefined : request.caller?.worker
    if (worker !== undefined) {
      wire.caller = this.authority.speaksForAgents(worker) ? { worker, speaks_for_agents: true } : { worker }
    }
    if (context.session !== undefined) wire.session = context.session
    if (context.run !== undefined) wire.run = context.run
    if (context.parent !== undefined) wire.parent = context.parent
    if (context.deadline !== undefined) {
      wire.deadline_ms = Math.max(0, Math.round(context.deadline - this.ports.clock.monotonic()))
    }
    if (context.idempotencyKey !== undefined) wire.idempotency_key = context.idempotencyKey
    if (context.labels !== undefined) wire.labels = [...context.labels]
    if (context.repeated) wire.repeated = true
    if (request.attempt) {
      wire.attempt = request.attempt.number
      wire.recorded = request.attempt.recorded
      if (request.attempt.follows) wire.follows = true
    }
    head.context = wire
    return head
  }

  private runBuiltin(call: Call, builtin: BuiltinFunction): void {
    call.running = true
    builtin.handle(this.builtinCall(call))
  }

  private builtinCall(call: Call): BuiltinCall {
    const { request, attempt } = call
    const answer = (result: CallResult): void => {
      // An answer to an attempt that failed before is none to this one.
      if (call.attempt === attempt) this.end(call, result, 'answered')
    }
    return {
      functionId: request.functionId,
      input: payloadValue(request.payload),
      context: request.context,
      caller: request.caller ?? {},
      ...(request.http ? { http: request.http } : {}),
      callId: call.id,
      reply: (value) => answer({ ok: true, payload: value === undefined ? undefined : { value } }),
      fail: (code, message, details) =>
        answer({ ok: false, error: { code, message, ...(details === undefined ? {} : { details }) } }),
      onCancel: (run) => {
        call.onCancel = run
      },
    }
  }

  private expire(call: Call): void {
    // It never reached a worker: that is what the caller should hear.
    const waiting = call.asking ? call.children?.values().next().value : call
    if (waiting?.waitTimer) {
      this.abort(call, this.waitError(waiting))
      return
    }
    if (this.handovers.holds(call)) {
      const { functionId } = call.request
      const message = `Processes that serve ${functionId} keep ending, so they are given one run or job at a time; try again shortly`
      this.abort(call, overloaded(message).toBody())
      return
    }
    this.abort(call, {
      code: 'deadline_exceeded',
      message: `${call.request.functionId} did not answer before its deadline`,
    })
  }

  private abort(call: Call, error: ErrorBody): void {
    if (call.ended) return
    const { executor, running } = call
    if (running && executor?.connection.features.has('cancel')) {
      executor.connection.link.send(
        JSON.stringify({ type: 'cancelinvocation', invocation_id: call.attempt.id, reason: error.code }),
      )
    }
    const cancelBuiltin = call.onCancel
    const children = call.children ? [...call.children] : []
    this.conclude(call, { ok: false, error }, running ? 'lost' : 'unsent')
    cancelBuiltin?.(error)
    for (const child of children) this.abort(child, error)
  }

  /** A call whose worker died: repeating is safe where its function says so, else nobody knows. */
  private lostError(call: Call): ErrorBody {
    const declared = this.catalogue.declared(call.request.functionId)
    if (!declared) return { code: 'invocation_stopped', message: 'Invocation stopped' }
    return this.isRepeatable(call)
      ? { code: 'worker_unavailable', message: `The worker ${declared.worker} went away during the call; try again` }
      : {
          code: 'in_doubt',
          message: `The worker ${declared.worker} went away during the call; it may or may not have taken effect`,
        }
  }

  private clearTimers(call: Call): void {
    if (call.waitTimer) this.ports.timers.clear(call.waitTimer)
    if (call.retryTimer) this.ports.timers.clear(call.retryTimer)
    call.waitTimer = undefined
    call.retryTimer = undefined
  }

  /** The attempt is over: whoever had the call has it no longer. */
  private release(call: Call): void {
    this.waiting.remove(call)
    this.handovers.remove(call)
    this.clearTimers(call)
    call.onCancel = undefined
    if (!call.running) return
    call.running = false
    const connection = call.executor?.connection
    if (!connection) return
    if (connection.serving.delete(call.attempt.id) && call.ofGuests) connection.guestsServed -= 1
    if (call.detachMs > 0 && connection.open) this.keepDetached(connection, call)
    call.detachMs = 0
  }

  /** An attempt has ended: there is another one, or this was the last. */
  private end(call: Call, result: CallResult, ending: Ending): void {
    if (call.ended) return
    const { retry } = call.request
    if (result.ok || !retry) return this.conclude(call, result, ending)
    if (call.running) call.reached = true
    const connection = call.running ? call.executor?.connection : undefined
    const delay = this.delayOfRetry(call, result.error, ending)
    if (delay === undefined) {
      const { number } = call.attempt
      const tried = call.reached || number > 1
      return this.conclude(call, tried ? { ok: false, error: withAttempts(result.error, number) } : result, ending)
    }
    this.spans.record(attemptSpan(call, result, this.ports))
    this.release(call)
    call.retryTimer = this.ports.timers.set(delay, () => {
      call.retryTimer = undefined
      this.beginAttempt(call, call.attempt.number + 1)
      this.reenter(call)
    })
    if (connection?.open) this.drain(connection)
  }

  /** Milliseconds to the next attempt; nothing where there is none, or it would come after the deadline. */
  private delayOfRetry(call: Call, error: ErrorBody, ending: Ending): number | undefined {
    const { request, context, attempt } = call
    if (!request.retry || attempt.number > request.retry.max || !this.table.has(call.id)) return undefined
    const { reached } = call
    if (!mayRetry(error, ending, { repeatable: () => this.isRepeatable(call), reached })) return undefined
    const random = Number.parseInt(this.ports.ids.hex(4), 16) / 2 ** 32
    const delay = retryDelay(request.retry, attempt.number, error, random)
    const left = context.deadline === undefined ? undefined : context.deadline - this.ports.clock.monotonic()
    return left === undefined || delay < left ? delay : undefined
  }

  private beginAttempt(call: Call, number: number): void {
    const { ids, clock } = this.ports
    const spanId = number > 1 ? ids.hex(8) : call.spanId
    call.attempt = { number, id: ids.uuid(), spanId, startedAt: clock.precise() }
  }

  /** Nothing changes this result any more; under an idempotency key it is recorded before it is delivered. */
  private conclude(call: Call, result: CallResult, ending: Ending): void {
    if (call.ended) return
    call.ended = true
    if (call.running) call.reached = true
    const connection = call.running ? call.executor?.connection : undefined
    this.release(call)
    // An attempt before may have taken effect, though the last one was never sent.
    const overall = ending === 'unsent' && call.reached ? 'answered' : ending
    if (call.claimed) {
      this.keeper!.conclude(this.keyed(call), result, overall, (final) => this.settle(call, final))
    } else this.settle(call, result)
    if (connection?.open) this.drain(connection)
  }

  /** The caller hears the result. */
  private settle(call: Call, result: CallResult): void {
    if (call.settled) return
    call.ended = true
    call.settled = true
    // A call that was refused for lack of room was never counted.
    if (this.table.delete(call.id)) this.leaveRealm(call)
    if (call.deadlineTimer) this.ports.timers.clear(call.deadlineTimer)
    call.parent?.children?.delete(call)
    // What was called on behalf of an answered call goes on, under a deadline of its own.
    for (const child of call.children ?? []) {
      child.parent = undefined
      this.watchDeadline(child)
    }
    if (result.ok) this.ok += 1
    else this.failed += 1
    if (call.attempt.number > 1) this.spans.record(attemptSpan(call, result, this.ports))
    this.spans.record(callSpan(call, result, this.ports))
    // A message may repeat what the caller sent.
    call.request.onResult(result.ok ? result : { ...result, error: this.secrets.value(result.error) })
  }

  private joinRealm({ ofGuests, context: { realm } }: Call): void {
    if (ofGuests) return this.guestShare.take('in_flight')
    const inRealm = this.perRealm.get(realm) ?? 0
    if (inRealm >= this.limits.inFlightPerRealm) {
      throw overloaded(`Realm ${realm} has ${inRealm} calls in flight; try again shortly`)
    }
    this.perRealm.set(realm, inRealm + 1)
  }

  private leaveRealm({ ofGuests, context: { realm } }: Call): void {
    if (ofGuests) return this.guestShare.give('in_flight')
    const left = (this.perRealm.get(realm) ?? 1) - 1
    if (left <= 0) this.perRealm.delete(realm)
    else this.perRealm.set(realm, left)
  }

  private keepDetached(connection: Connection, call: Call): void {
    if (connection.detached.size >= this.limits.inFlightPerWorker) {
      this.logOf(call.context).warn(
        { function_id: call.request.functionId, connection: connection.id },
        'Too much work goes on after its answer; the calls of this one will be refused',
      )
      return
    }
    const { deadline: _answered, ...context } = call.childContext()
    const kept = { ...context, deadline: this.ports.clock.monotonic() + call.detachMs }
    const { id } = call.attempt
    const timer = this.ports.timers.set(call.detachMs, () => connection.detached.delete(id))
    connection.detached.set(id, { context: kept, timer })
  }
}

function bodyOf(error: unknown): ErrorBody {
  if (error instanceof EngineError) return error.toBody()
  return { code: 'internal', message: error instanceof Error ? error.message : String(error) }
}

/** An error that a handler threw, with its function, and the installed worker whose log has the stack. */
function thrownIn({ request }: Call, { grant: { worker } }: Connection, error: ErrorBody): ErrorBody {
  const { code, details = {} } = error
  if (code !== 'invocation_failed' || !isRecord(details)) return error
  const { functionId = request.functionId } = details
  const isOwn = functionId === request.functionId && worker !== undefined
  return { ...error, details: { ...details, functionId, ...(isOwn ? { worker } : {}) } }
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
