import {
  type Addressee,
  type CancelInvocationFrame,
  type DecodedFrame,
  decodeFrame,
  EngineError,
  type ErrorBody,
  encodeResult,
  type InvokeHead,
  KnownSecrets,
  type RegisterFunctionFrame,
  type RegisterTriggerFrame,
  type RegisterTriggerTypeFrame,
  type Spliced,
  type TriggerRegistrationResultFrame,
} from '@agentos/protocol'
import { Authority, isWider } from './authority.ts'
import { Calls } from './calls.ts'
import { Catalogue } from './catalogue.ts'
import { Connection, type Grant, type RegistrationKind } from './connection.ts'
import type { CallContext } from './context.ts'
import { DeclaredTriggers, problemFrame, problemOf, problemText } from './declared-triggers.ts'
import { type FunctionFacts, factsOf } from './function-facts.ts'
import type { Fate } from './gate.ts'
import { cutLog, GuestLog } from './guest-log.ts'
import { GuestLaw, type GuestRules, isGuests } from './guest-powers.ts'
import { type GuestLimits, GuestShare, isOfGuests } from './guest-share.ts'
import { assertKey } from './keys.ts'
import { DEFAULT_LIMITS, type Limits } from './limits.ts'
import type {
  BuiltinFunction,
  BuiltinTriggerType,
  CallHandle,
  CallResult,
  DurableCall,
  EngineModule,
  EnqueueRequest,
  InvokeRequest,
  KeyKeeper,
  ModuleHost,
  Payload,
  StepRequest,
  TriggerBinding,
  TriggerOptions,
} from './module.ts'
import type { Link, Log, Ports } from './ports.ts'
import { Registry } from './registry.ts'
import { policyOf } from './retries.ts'
import { SpanFeed } from './spans.ts'
import { Supervision } from './supervision.ts'
import { Triggers, wireIdFor } from './triggers.ts'

/** Frames of one connection that are dropped with a warning. */
const DROPS_TOLD = 20
/** Closes the connection of a peer that does not read; at most 123 bytes. */
const NOT_READ = 'overloaded: what was sent is not read; connect anew, read as it comes, ask for less at once'

export interface CoreOptions {
  ports: Ports
  catalogue?: Catalogue
  limits?: Partial<Limits>
  guestLimits?: Partial<GuestLimits>
  /** `config:` of a worker's entry in config.yaml. */
  workerConfig?: (worker: string) => unknown
  /** What guests may do, where that is not everything that they can. */
  guestsMay?: Partial<GuestRules>
  /** Blanked in errors before they are passed on. */
  secrets?: KnownSecrets
}

export type CoreEvent =
  | { type: 'worker_connected' | 'worker_disconnected' | 'worker_metadata_updated'; connection: Connection }
  /** In one realm, or in all. */
  | { type: 'functions_changed'; realm?: string }

/**
 * The engine without any I/O: frames and events go in, frames and effects come out through the ports. Registration
 * frames of a connection are handled in order; what a dead connection leaves behind is cleaned up by its epoch.
 */
export class Core implements ModuleHost {
  readonly ports: Ports
  readonly spans = new SpanFeed()
  readonly catalogue: Catalogue
  readonly limits: Limits
  readonly guestShare: GuestShare
  readonly guestLog: GuestLog
  private readonly clientLog: Log
  readonly registry: Registry
  readonly triggers = new Triggers()
  readonly supervision = new Supervision()
  readonly calls: Calls
  readonly authority: Authority
  readonly guests: GuestLaw
  readonly declared: DeclaredTriggers
  readonly connections = new Map<string, Connection>()
  private readonly workerConfig: (worker: string) => unknown
  readonly secrets: KnownSecrets
  private readonly listeners: ((event: CoreEvent) => void)[] = []
  private accept: ((request: EnqueueRequest) => void) | undefined
  private takeStep: ((request: StepRequest) => CallHandle['cancel'] | undefined) | undefined
  private epoch = 0
  /** Of the frame that is being handled. */
  private frameBytes = 0

  constructor(options: CoreOptions) {
    this.ports = options.ports
    this.catalogue = options.catalogue ?? new Catalogue([])
    this.limits = { ...DEFAULT_LIMITS, ...options.limits }
    this.guestShare = new GuestShare(options.guestLimits)
    this.guestLog = new GuestLog(this.ports, this.guestShare.limits.spans_per_minute)
    this.clientLog = cutLog(this.ports.log)
    this.workerConfig = options.workerConfig ?? (() => undefined)
    this.secrets = options.secrets ?? new KnownSecrets()
    this.registry = new Registry(this.catalogue)
    this.authority = new Authority(this.catalogue, this.ports)
    this.declared = new DeclaredTriggers(this.triggers, this.catalogue, this.authority)
    this.declared.onProblem((problem) => {
      const { worker, id } = problem
      this.ports.log.error({ worker, trigger: id }, problemText(problem))
      for (const connection of this.connectionsOf(worker)) this.tell(connection, problemFrame(problem))
    })
    this.guests = new GuestLaw(options.guestsMay ?? {}, (id) => this.catalogue.declared(id)?.worker)
    this.calls = new Calls(this)
  }

  /** Starts the modules, then binds what the manifests declare: it stands whether or not the workers run. */
  start(modules: readonly EngineModule[]): void {
    for (const module of modules) module.start(this)
    this.declared.bindAll()
  }

  onEvent(listener: (event: CoreEvent) => void): void {
    this.listeners.push(listener)
  }

  logOf(who: Pick<CallContext, 'realm' | 'principal'>): Log {
    return isOfGuests(who) ? this.guestLog : this.clientLog
  }

  onConnectionEnd(run: (workerId: string) => void): void {
    this.onEvent((event) => {
      if (event.type === 'worker_disconnected') run(event.connection.id)
    })
  }

  // Connections

  /** A socket was accepted and its credential checked; its first frame is `workerregistered`. */
  connect(link: Link, grant: Grant, address = ''): Connection {
    this.epoch += 1
    const connection = new Connection({
      id: this.ports.ids.uuid(),
      epoch: this.epoch,
      link,
      grant,
      address,
      connectedAt: this.ports.clock.now(),
      reattachToken: this.ports.ids.uuid(),
    })
    this.connections.set(connection.id, connection)
    const config = grant.worker === undefined ? undefined : this.workerConfig(grant.worker)
    link.send(
      JSON.stringify({
        type: 'workerregistered',
        worker_id: connection.id,
        reattach_token: connection.reattachToken,
        epoch: connection.epoch,
        limits: {
          frame_bytes: this.limits.frameBytes,
          in_flight: this.limits.inFlightPerWorker,
          heartbeat_ms: this.limits.heartbeatMs,
        },
        ...(config === undefined ? {} : { config }),
      }),
    )
    if (grant.worker !== undefined) {
      for (const problem of this.declared.failedOf(grant.worker)) this.tell(connection, problemFrame(problem))
    }
    this.emit({ type: 'worker_connected', connection })
    return connection
  }

  /** The socket ended, however it did. */
  disconnect(connection: Connection): void {
    if (!connection.open) return
    connection.open = false
    this.connections.delete(connection.id)
    const hadFunctions = connection.functions.size > 0
    for (const id of [...connection.functions]) this.registry.unregister(connection, id)
    for (const id of [...connection.triggers]) this.unbind(connection, id)
    for (const id of [...connection.triggerTypes]) {
      for (const trigger of this.triggers.removeProvided(connection, id)) this.declared.waits(trigger)
    }
    this.countRegistrations()
    this.declared.forget(connection.id)
    for (const { timer } of connection.detached.values()) this.ports.timers.clear(timer)
    connection.detached.clear()
    this.calls.connectionLost(connection)
    const pid = this.absentProcess(connection)
    if (pid !== undefined) this.supervision.gone(pid)
    this.emit({ type: 'worker_disconnected', connection })
    if (hadFunctions) this.functionsChanged(connection)
  }

  /**
   * The process of an installed worker behind a connection, where it has no other: one that is back may be seen before
   * its old connection is found to be dead.
   */
  absentProcess({ grant, metadata }: Connection): number | undefined {
    const { worker } = grant
    if (worker === undefined || metadata.pid === undefined) return undefined
    const isBack = this.connectionsOf(worker).some((other) => other.metadata.pid === metadata.pid)
    return isBack ? undefined : metadata.pid
  }

  /** Sends what is not a call; whoever does not read it is let go, with all that waits for it. */
  private tell(connection: Connection, frame: string | Spliced): void {
    if (!connection.open) return
    const waiting = connection.link.buffered()
    if (waiting <= this.limits.bufferedBytes) return connection.link.send(frame)
    const name = connection.grant.worker ?? connection.metadata.name
    const about = { connection: connection.id, worker: name, waiting }
    this.logOf(connection.grant).warn(about, 'A peer that does not read is let go')
    connection.link.abort(1013, NOT_READ)
    this.disconnect(connection)
  }

  /** One message of a connection. Malformed ones are dropped with a warning, as the protocol wants. */
  receive(connection: Connection, bytes: Buffer): void {
    if (!connection.open) return this.receiveLate(bytes)
    const decoded = decodeFrame(bytes, (reason, addressee) => {
      this.dropped(connection, { reason }, 'Dropped a malformed frame')
      if (addressee) this.answerDropped(connection, reason, addressee)
    })
    if (!decoded) return
    this.frameBytes = bytes.length
    connection.framesReceived += 1
    this.handle(connection, decoded.frame, decoded.payload)
  }

  /** Whoever waits for a frame that cannot be read hears of that at once. */
  private answerDropped(connection: Connection, reason: string, addressee: Addressee): void {
    const { type, invocation_id: id, function_id: functionId = '' } = addressee
    const why = this.secrets.text(reason)
    if (type === 'invocationresult') {
      const message = `The worker's result cannot be read: ${why}`
      return this.calls.complete(connection, id, { ok: false, error: { code: 'serialization_error', message } })
    }
    if (isUsed(connection, id)) return
    connection.answered.add(id)
    const error = { code: 'invalid_input', message: `The call cannot be read: ${why}` }
    this.tell(connection, encodeResult({ invocation_id: id, function_id: functionId, error }))
  }

  /** What a fenced connection still says changes nothing; results among it are counted. */
  private receiveLate(bytes: Buffer): void {
    if (decodeFrame(bytes)?.frame.type === 'invocationresult') this.calls.countLate()
  }

  private handle(connection: Connection, frame: DecodedFrame, payload: Payload | undefined): void {
    switch (frame.type) {
      case 'invokefunction':
        return this.invokeFrame(connection, frame, payload)
      case 'invocationresult':
        return this.calls.complete(
          connection,
          frame.invocation_id,
          frame.error ? { ok: false, error: this.secrets.value(frame.error) } : { ok: true, payload },
          frame.refused,
        )
      case 'registerfunction':
        return this.registerFunctionFrame(connection, frame)
      case 'unregisterfunction':
        if (this.registry.unregister(connection, frame.id)) {
          connection.account('function', frame.id, 0)
          this.countRegistrations()
          this.functionsChanged(connection)
        }
        return
      case 'registertrigger':
        return this.registerTriggerFrame(connection, frame)
      case 'unregistertrigger':
        return this.unbind(connection, frame.id)
      case 'registertriggertype':
        return this.registerTriggerTypeFrame(connection, frame)
      case 'triggerregistrationresult':
        return this.triggerResultFrame(connection, frame)
      case 'cancelinvocation':
        return this.cancelFrame(connection, frame)
      case 'reattach':
        return this.reattach(connection, frame.previous_worker_id, frame.reattach_token)
      case 'ping':
        return this.tell(connection, '{"type":"pong"}')
      case 'pong':
      case 'registerservice':
        return
    }
  }

  // Calls

  invoke(request: InvokeRequest): CallHandle {
    return this.calls.invoke(request)
  }

  private invokeFrame(connection: Connection, frame: InvokeHead, payload: Payload | undefined): void {
    const callerId = frame.invocation_id
    const wantsResult = callerId !== undefined && frame.action?.type !== 'void'
    if (wantsResult && isUsed(connection, callerId)) {
      // The same frame twice, or two calls that nobody could tell apart: the first one is answered.
      return this.dropped(connection, { invocation_id: callerId }, 'Dropped a call: its id was used before')
    }
    let answered = false
    const answer = (result: CallResult): void => {
      if (callerId !== undefined) {
        connection.calling.delete(callerId)
        connection.steps.delete(callerId)
        connection.answered.add(callerId)
      }
      answered = true
      if (!wantsResult || !connection.open) return
      this.tell(
        connection,
        result.ok
          ? encodeResult({ invocation_id: callerId, function_id: frame.function_id }, result.payload)
          : encodeResult({ invocation_id: callerId, function_id: frame.function_id, error: result.error }),
      )
    }
    const caller = {
      workerId: connection.id,
      ...(connection.grant.worker === undefined ? {} : { worker: connection.grant.worker }),
    }
    let context: CallContext
    try {
      assertKey(frame.idempotency_key)
      context = this.authority.contextOfFrame(connection, frame)
      this.limitTime(connection, frame, context)
      if (frame.step !== undefined && this.takeStep) {
        const { step, function_id: functionId, action, metadata, retry } = frame
        const cancel = this.takeStep({
          step,
          functionId,
          payload,
          context,
          caller,
          ...(action === undefined ? {} : { action }),
          ...(metadata === undefined ? {} : { metadata }),
          ...(retry === undefined ? {} : { retry }),
          onResult: answer,
        })
        if (wantsResult && cancel && !answered) connection.steps.set(callerId, cancel)
        return
      }
      if (frame.action?.type === 'enqueue') {
        const { queue } = frame.action
        return this.enqueue({ queue, functionId: frame.function_id, payload, context, caller, onResult: answer })
      }
    } catch (error) {
      const body = error instanceof EngineError ? error.toBody() : { code: 'internal', message: String(error) }
      return answer({ ok: false, error: this.secrets.value(body) })
    }
    const request: InvokeRequest = {
      functionId: frame.function_id,
      payload,
      context,
      caller,
      onResult: answer,
    }
    if (frame.metadata !== undefined) request.metadata = frame.metadata
    const retry = policyOf(frame.retry)
    if (retry) request.retry = retry
    // The key of a journal's step is the journal's.
    if (frame.idempotency_key !== undefined && frame.step === undefined) request.keyed = {}
    const handle = this.calls.invoke(request, connection)
    if (!wantsResult) return
    const call = this.calls.get(handle.id)
    if (call) connection.calling.set(callerId, call)
  }

  /** No call that a guest makes hangs for good. A step and a job of a queue wait as long as they have to. */
  private limitTime({ grant }: Connection, { step, action }: InvokeHead, context: CallContext): void {
    if (context.deadline !== undefined || step !== undefined || action?.type === 'enqueue' || !isOfGuests(grant)) return
    context.deadline = this.ports.clock.monotonic() + this.guestShare.limits.call_ms
  }

  /** What may not be called now may not be put off either. */
  enqueue(request: EnqueueRequest): void {
    if (!this.accept) throw new EngineError('enqueue_error', `Queue '${request.queue}' not found`)
    const { functionId, context, caller } = request
    if (caller.worker === undefined && isGuests(context)) this.guests.assertMay('queues')
    this.calls.assertMayCall(functionId, context, caller)
    this.accept(request)
  }

  private cancelFrame(connection: Connection, frame: CancelInvocationFrame): void {
    const call = connection.calling.get(frame.invocation_id)
    if (call) this.calls.cancel(call, frame.reason ?? '')
    else connection.steps.get(frame.invocation_id)?.(frame.reason ?? '')
  }

  // Registrations

  registerFunction(fn: BuiltinFunction): void {
    this.registry.addBuiltin(fn)
  }

  onEnqueue(accept: (request: EnqueueRequest) => void): void {
    this.accept = accept
  }

  onDurable(take: (call: DurableCall) => void): void {
    this.calls.takeDurable = take
  }

  onStep(take: (request: StepRequest) => CallHandle['cancel'] | undefined): void {
    this.takeStep = take
  }

  factsOf(functionId: string, realm: string): FunctionFacts | undefined {
    return factsOf(functionId, realm, this.registry, this.catalogue)
  }

  ownerOf(functionId: string): { worker: string; version: string } | undefined {
    const worker = this.catalogue.declared(functionId)?.worker
    return worker === undefined ? undefined : { worker, version: this.catalogue.workers.get(worker)!.version }
  }

  onKeyedCall(keeper: KeyKeeper): void {
    this.calls.keepKeys(keeper)
  }

  isInstalled(worker: string): boolean {
    return this.catalogue.workers.has(worker)
  }

  askAbout(requestId: string, context: CallContext, done: (fate: Fate) => void): void {
    const { gate } = this.calls
    const question = gate.questionAbout(requestId, context)
    if (question) this.calls.invoke({ ...question, onResult: (result) => done(gate.fateOf(result)) })
    else done({ is: 'none' })
  }

  registerTriggerType(type: BuiltinTriggerType): void {
    this.triggers.addBuiltin(type)
  }

  private registerFunctionFrame(connection: Connection, frame: RegisterFunctionFrame): void {
    const refusal = this.noRoom(connection, 'function', frame.id)
    const outcome =
      this.refusedToGuest(connection) ??
      (refusal ? { ok: false as const, ...refusal } : this.registry.register(connection, frame))
    if (!outcome.ok) {
      const { code, message } = outcome
      if (!refusal) {
        this.logOf(connection.grant).warn(
          { function_id: frame.id, code, connection: connection.id, address: connection.address },
          message,
        )
      }
      const error = { code, message }
      this.tell(connection, JSON.stringify({ type: 'functionregistrationresult', id: frame.id, error }))
      return
    }
    connection.account('function', frame.id, this.frameBytes)
    this.countRegistrations()
    for (const replaced of outcome.replaced) {
      const about = { function_id: frame.id, from: replaced.connection.id, to: connection.id }
      this.logOf(connection.grant).info(about, 'Function moved')
    }
    this.calls.drain(connection, new Set([frame.id]))
    this.functionsChanged(connection)
  }

  private registerTriggerFrame(connection: Connection, frame: RegisterTriggerFrame): void {
    const refused = this.refusedToGuest(connection, () => this.guests.assertMayBind(frame.trigger_type))
    if (refused) return this.refuseTrigger(connection, frame, refused.message, refused.code)
    const { worker } = connection.grant
    // What the manifest declares is bound already; the worker's own registration of the same route adds nothing.
    if (worker !== undefined && isContractRoute(frame)) return
    const refusal = this.noRoom(connection, 'trigger', frame.id)
    if (refusal) return this.refuseTrigger(connection, frame, refusal.message, refusal.code)
    const existing = this.triggers.get(connection, frame.id)
    // Among equals the newest wins, as after a reconnect; nobody takes what somebody of more authority bound.
    if (existing && (existing.worker !== worker || isWider(existing.grant.principal, connection.grant.principal))) {
      return this.refuseTrigger(connection, frame, `The trigger id ${frame.id} belongs to another worker`)
    }
    const access = this.catalogue.declared(frame.function_id)
    if (
      access &&
      access.descriptor.access !== 'guest' &&
      worker === undefined &&
      connection.grant.principal.kind !== 'owner'
    ) {
      return this.refuseTrigger(connection, frame, `${frame.function_id} may only be bound with the owner token`)
    }
    const trigger: TriggerBinding = {
      id: frame.id,
      type: frame.trigger_type,
      functionId: frame.function_id,
      config: frame.config,
      metadata: frame.metadata,
      workerId: connection.id,
      ...(worker === undefined ? {} : { worker }),
      grant: this.authority.triggerGrant(connection, worker),
    }
    const unknown = this.declared.unknownKey(trigger)
    if (unknown && worker !== undefined) return this.refuseTrigger(connection, frame, unknown.message)
    if (existing?.workerId !== undefined) {
      const before = this.connections.get(existing.workerId)
      before?.triggers.delete(frame.id)
      before?.account('trigger', frame.id, 0)
    }
    connection.triggers.add(frame.id)
    connection.account('trigger', frame.id, this.frameBytes)
    this.countRegistrations()
    const outcome = this.triggers.bind(trigger)
    this.declared.settle(frame.id)
    if (outcome.state === 'forward') this.forwardTrigger(outcome.provider, trigger)
    if (outcome.state === 'parked') this.declared.waits(trigger)
    if (worker === undefined) this.warnOfTrigger(trigger, outcome.state === 'parked', unknown?.message)
    if (outcome.state === 'failed') {
      connection.triggers.delete(frame.id)
      connection.account('trigger', frame.id, 0)
      this.countRegistrations()
      this.refuseTrigger(connection, frame, outcome.message, outcome.code)
    }
  }

  /** The protocol has types that come later and keys for others: it stands, and whoever misspelt one finds this. */
  private warnOfTrigger(trigger: TriggerBinding, isParked: boolean, unknownKey: string | undefined): void {
    const said = isParked ? `${this.declared.noSuchType(trigger.type)}; it is bound when that comes` : unknownKey
    if (said === undefined) return
    const { id, type, functionId, grant } = trigger
    this.logOf(grant).warn({ trigger: id, type, function_id: functionId }, `The trigger of ${functionId}: ${said}`)
  }

  /** Whether this is a guest's connection, and guests do not register such a thing here. */
  private refusedToGuest(
    { grant }: Connection,
    assertMay = () => this.guests.assertMay('register'),
  ): { ok: false; code: 'forbidden'; message: string } | undefined {
    if (grant.principal.kind !== 'guest') return undefined
    try {
      assertMay()
    } catch (error) {
      if (!(error instanceof EngineError)) throw error
      return { ok: false, code: 'forbidden', message: error.message }
    }
    return undefined
  }

  private refuseTrigger(connection: Connection, frame: RegisterTriggerFrame, message: string, code?: string): void {
    const { worker } = connection.grant
    const { id, trigger_type: triggerType, function_id: functionId } = frame
    const problem = { worker: worker ?? '', id, triggerType, functionId, path: [], message, connection: connection.id }
    if (worker !== undefined) return this.declared.note(problem)
    this.logOf(connection.grant).warn({ trigger: id, type: triggerType, function_id: functionId }, message)
    this.tell(connection, problemFrame(problem, code))
  }

  private forwardTrigger(provider: Connection, trigger: TriggerBinding): void {
    this.tell(
      provider,
      JSON.stringify({
        type: 'registertrigger',
        id: wireIdFor(provider, trigger),
        trigger_type: trigger.type,
        function_id: trigger.functionId,
        config: trigger.config ?? {},
        ...(trigger.metadata === undefined ? {} : { metadata: trigger.metadata }),
      }),
    )
  }

  private registerTriggerTypeFrame(connection: Connection, frame: RegisterTriggerTypeFrame): void {
    const refused = this.refusedToGuest(connection)
    if (refused) {
      this.logOf(connection.grant).warn({ trigger_type: frame.id }, refused.message)
      return this.refuseType(connection, frame.id, refused.code, refused.message)
    }
    const tooMany = this.noRoom(connection, 'type', frame.id)
    if (tooMany) return this.refuseType(connection, frame.id, tooMany.code, tooMany.message)
    try {
      const bindings = this.triggers.addProvided({
        id: frame.id,
        description: frame.description,
        provider: connection,
        configFormat: frame.trigger_request_format,
        payloadFormat: frame.call_request_format,
      })
      connection.triggerTypes.add(frame.id)
      connection.account('type', frame.id, this.frameBytes)
      this.countRegistrations()
      for (const trigger of bindings) {
        this.declared.settle(trigger.id)
        this.forwardTrigger(connection, trigger)
      }
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error)
      this.logOf(connection.grant).warn({ trigger_type: frame.id }, message)
      this.refuseType(connection, frame.id, error instanceof EngineError ? error.code : 'internal', message)
    }
  }

  /** The protocol has no answer to the registration of a type: what is refused is told as an error. */
  private refuseType(connection: Connection, id: string, code: string, message: string): void {
    const error = { code, message: `The trigger type ${id.slice(0, 100)} is not registered: ${message}` }
    this.tell(connection, JSON.stringify({ type: 'error', error }))
  }

  private triggerResultFrame(connection: Connection, { id, error }: TriggerRegistrationResultFrame): void {
    if (!error) return
    const trigger = this.triggers.forwarded(connection, id)
    if (!trigger) return
    const { workerId } = trigger
    const problem = problemOf(trigger, [], error.message)
    if (trigger.worker !== undefined) {
      return this.declared.note(workerId === undefined ? problem : { ...problem, connection: workerId })
    }
    const registrant = workerId === undefined ? undefined : this.connections.get(workerId)
    if (registrant) this.tell(registrant, problemFrame(problem, error.code))
  }

  /** Only its registrant, or another connection of the same installed worker, removes a trigger. */
  private unbind(connection: Connection, id: string): void {
    const trigger = this.triggers.get(connection, id)
    if (!trigger) return
    const sameWorker = trigger.worker !== undefined && trigger.worker === connection.grant.worker
    if (trigger.workerId !== connection.id && !sameWorker) return
    // A newer connection of the same worker holds it now.
    if (!connection.open && trigger.workerId !== connection.id) return
    connection.triggers.delete(id)
    connection.account('trigger', id, 0)
    if (connection.open) this.countRegistrations()
    this.declared.settle(id)
    const provider = this.triggers.unbind(trigger, !connection.open)
    if (!provider) return
    const told = { type: 'unregistertrigger', id: wireIdFor(provider, trigger), trigger_type: trigger.type }
    this.tell(provider, JSON.stringify(told))
  }

  private reattach(connection: Connection, previousId: string, token: string): void {
    const previous = this.connections.get(previousId)
    if (!previous || previous === connection || previous.reattachToken !== token) return
    previous.link.close(1000, 'reattached')
    this.disconnect(previous)
  }

  /** Why this registration is one too many; nothing where there is room. */
  private noRoom(connection: Connection, kind: RegistrationKind, id: string): ErrorBody | undefined {
    const before = connection.bytesOf(kind, id)
    const more = this.frameBytes - (before ?? 0)
    const refusal =
      this.tooManyOf(connection, before === undefined, more) ??
      this.tooManyOfGuests(connection, before === undefined, more)
    if (!refusal) return undefined
    const body = refusal.toBody()
    this.dropped(connection, { code: body.code, id }, `Refused a registration: ${body.message}`)
    return body
  }

  private tooManyOf(connection: Connection, isNew: boolean, bytes: number): EngineError | undefined {
    const { registrationsPerConnection, registrationBytes } = this.limits
    const setting = (name: string, limit: number) =>
      new EngineError('quota_exceeded', `A connection may have ${limit} (agentos.limits.${name} in config.yaml)`)
    if (isNew && connection.registrations() >= registrationsPerConnection) {
      return setting('registrations_per_connection', registrationsPerConnection)
    }
    return connection.registeredBytes + bytes > registrationBytes
      ? setting('registration_bytes', registrationBytes)
      : undefined
  }

  private tooManyOfGuests({ grant }: Connection, isNew: boolean, bytes: number): EngineError | undefined {
    if (!isOfGuests(grant)) return undefined
    const { guestShare } = this
    const { registration_bytes: most, registrations, described_bytes: described } = guestShare.limits
    if (this.frameBytes > most) {
      const message = `A registration of a guest may have ${most} bytes, this one has ${this.frameBytes} (agentos.guests.limits.registration_bytes in config.yaml): describe less`
      return new EngineError('payload_too_large', message)
    }
    if (isNew && guestShare.heldOf('registrations') >= registrations) return guestShare.refusal('registrations')
    if (guestShare.heldOf('described_bytes') + bytes > described) return guestShare.refusal('described_bytes')
    return undefined
  }

  /** Of all guests that are connected: few, and nothing that has to be kept in step. */
  private countRegistrations(): void {
    let count = 0
    let bytes = 0
    for (const connection of this.connections.values()) {
      if (!isOfGuests(connection.grant)) continue
      count += connection.registrations()
      bytes += connection.registeredBytes
    }
    this.guestShare.set('registrations', count)
    this.guestShare.set('described_bytes', bytes)
  }

  private functionsChanged({ grant: { worker, realm } }: Connection): void {
    this.emit({ type: 'functions_changed', ...(worker === undefined ? { realm } : {}) })
  }

  /** Told a few times for each connection: who floods the engine does not flood its log. */
  private dropped(connection: Connection, why: object, message: string): void {
    connection.framesDropped += 1
    const { id, framesDropped, grant } = connection
    const log = this.logOf(grant)
    if (framesDropped < DROPS_TOLD) log.warn({ connection: id, ...why }, message)
    else if (framesDropped === DROPS_TOLD) {
      log.warn({ connection: id, ...why }, `${message}; further ones of this connection are not told`)
    }
  }

  // Processes of installed workers

  connectionsOf(worker: string): Connection[] {
    return [...this.connections.values()].filter((connection) => connection.grant.worker === worker)
  }

  /** Gives an idle worker no more calls and lets its processes be ended: what comes from now on waits for new ones. */
  retire(worker: string): void {
    for (const connection of this.connectionsOf(worker)) {
      for (const id of [...connection.functions]) {
        this.registry.unregister(connection, id)
        connection.account('function', id, 0)
      }
      connection.retired = true
    }
    this.supervision.release(worker)
    this.emit({ type: 'functions_changed' })
  }

  /** The supervisor is gone. Whom it did not end any more connects anew and serves again. */
  supervisorLost(): void {
    this.supervision.end()
    for (const connection of [...this.connections.values()]) {
      if (connection.retired) connection.link.close(1012, 'serve again')
    }
  }

  // What modules are given

  contextFor(trigger: TriggerBinding, options: TriggerOptions = {}): CallContext {
    return this.authority.contextOfTrigger(trigger, options)
  }

  assertMayTouch(...args: Parameters<ModuleHost['assertMayTouch']>): void {
    this.authority.assertMayTouch(args[0], args[1], args[2])
  }

  realmOf(kind: 'scopes', name: string, context: CallContext): string {
    return this.authority.realmOf(kind, name, context)
  }

  emit(event: CoreEvent): void {
    for (const listener of this.listeners) listener(event)
  }
}

/** Whether a call under this id was taken from the connection. */
function isUsed({ calling, steps, answered }: Connection, id: string): boolean {
  return calling.has(id) || steps.has(id) || answered.has(id)
}

function isContractRoute(frame: RegisterTriggerFrame): boolean {
  return (
    frame.trigger_type === 'http' &&
    typeof frame.metadata === 'object' &&
    frame.metadata !== null &&
    'binding' in frame.metadata &&
    frame.metadata.binding === 'contract'
  )
}
