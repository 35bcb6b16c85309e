import { AsyncLocalStorage } from 'node:async_hooks'
import { randomBytes } from 'node:crypto'
import type { ChannelRef, Principal } from '@agentos/protocol'
import type { Logger } from 'pino'
import type { Channel, TriggerRequest } from './api.ts'
import { type CallScope, requestOf } from './calling.ts'
import { ChannelReader, ChannelWriter } from './channel.ts'
import { openChannel } from './channel-pair.ts'
import type { Client } from './client.ts'
import type { Caller, CallOptions, HandlerContext, HttpDetails, SpanHandle } from './context.ts'
import type { FunctionContract, InputOf, OutputOf } from './contract.ts'
import { InvocationError } from './errors.ts'
import type { Inbound } from './inbound.ts'
import { formatTraceparent, OpenSpan, parseTraceparent, type SpanBatch, type TraceParent } from './spans.ts'
import { StateClient } from './state.ts'

/** What the handlers of one worker process share. */
export interface HandlerParts {
  client: Client
  log: Logger
  spans: SpanBatch
}

const GUEST: Principal = { kind: 'guest', id: 'guest' }
const GUEST_REALM = 'realm-guest'

/** Made at the first span: a worker that opens none pays nothing for it. */
let openSpans: AsyncLocalStorage<{ owner: ServedContext; span: OpenSpan }> | undefined

/** A caller whose calls all carry the same scope. */
export class ScopedCaller implements Caller {
  private readonly client: Client
  private readonly scope: (functionId: string) => CallScope
  private stateClient: StateClient | undefined
  readonly log: Logger

  /** `scope` is asked at each call, and throws where none can be made any more. */
  constructor(client: Client, log: Logger, scope: (functionId: string) => CallScope) {
    this.client = client
    this.log = log
    this.scope = scope
  }

  get state(): StateClient {
    this.stateClient ??= new StateClient((request) => this.trigger(request))
    return this.stateClient
  }

  call<C extends FunctionContract>(contract: C, input: InputOf<C>, options: CallOptions = {}): Promise<OutputOf<C>> {
    return this.trigger(requestOf(contract, input, options))
  }

  async trigger<T = unknown>(request: TriggerRequest & CallOptions): Promise<T> {
    return (await this.client.invoke(request, this.scope(request.function_id))) as T
  }
}

/** The context of one invocation. Everything that costs something is made at its first use. */
export class ServedContext implements HandlerContext {
  protected readonly parts: HandlerParts
  protected readonly inbound: Inbound
  private caller: ScopedCaller | undefined
  private trace: TraceParent | undefined
  private logger: Logger | undefined

  constructor(parts: HandlerParts, inbound: Inbound) {
    this.parts = parts
    this.inbound = inbound
  }

  get invocationId(): string {
    return this.inbound.id
  }

  get functionId(): string {
    return this.inbound.functionId
  }

  get realm(): string {
    return this.inbound.context?.realm ?? GUEST_REALM
  }

  get principal(): Principal {
    return this.inbound.context?.principal ?? GUEST
  }

  get session(): string | undefined {
    return this.inbound.context?.session
  }

  get run(): string | undefined {
    return this.inbound.context?.run
  }

  get traceId(): string {
    return this.traceparent.traceId
  }

  get idempotencyKey(): string | undefined {
    return this.inbound.context?.idempotency_key
  }

  get repeated(): boolean {
    return this.inbound.context?.repeated === true
  }

  get labels(): readonly string[] {
    return this.inbound.context?.labels ?? []
  }

  get signal(): AbortSignal {
    return this.inbound.signal
  }

  get http(): HttpDetails | undefined {
    return (this.inbound.frame.metadata as { http?: HttpDetails } | null | undefined)?.http
  }

  get metadata(): unknown {
    return this.inbound.frame.metadata
  }

  get log(): Logger {
    this.logger ??= this.parts.log.child({ function: this.functionId, trace: this.traceId, realm: this.realm })
    return this.logger
  }

  get state(): StateClient {
    return this.own().state
  }

  remainingMs(): number | undefined {
    return this.inbound.remainingMs()
  }

  call<C extends FunctionContract>(contract: C, input: InputOf<C>, options?: CallOptions): Promise<OutputOf<C>> {
    return this.own().call(contract, input, options)
  }

  trigger<T = unknown>(request: TriggerRequest & CallOptions): Promise<T> {
    return this.own().trigger<T>(request)
  }

  async span<T>(name: string, work: (span: SpanHandle) => Promise<T>): Promise<T> {
    openSpans ??= new AsyncLocalStorage()
    const span = new OpenSpan(name, this.innermostSpan() ?? this.traceparent)
    span.set('realm', this.realm)
    try {
      const result = await openSpans.run({ owner: this, span }, () => work(span))
      this.parts.spans.add(span.end())
      return result
    } catch (error) {
      this.parts.spans.add(span.end(error))
      throw error
    }
  }

  openWriter(ref: ChannelRef): ChannelWriter {
    return new ChannelWriter(this.parts.client.address, ref)
  }

  openReader(ref: ChannelRef): ChannelReader {
    return new ChannelReader(this.parts.client.address, ref)
  }

  createChannel(bufferSize?: number): Promise<Channel> {
    return openChannel(this.parts.client.address, bufferSize, (request) => this.own().trigger(request))
  }

  detach({ deadlineMs }: { deadlineMs: number }): Caller {
    const { client } = this.parts
    const { id, epoch } = this.inbound
    this.assertOpen('engine::calls::detach')
    // On the same connection before the answer: the engine sees it in time without our waiting for it.
    const payload = { invocation_id: id, deadline_ms: deadlineMs }
    client.invoke({ function_id: 'engine::calls::detach', payload }, { parent: id }).catch((error: unknown) => {
      this.log.warn({ err: error }, 'the work after the answer could not be detached; its calls will be refused')
    })
    return new ScopedCaller(client, this.log, (functionId) => {
      if (client.epoch !== epoch || !client.connected) throw lost(functionId)
      return { parent: id }
    })
  }

  inRealm(realm: string): Caller {
    return new ScopedCaller(this.parts.client, this.log, (functionId) => {
      this.assertOpen(functionId)
      const traceparent = formatTraceparent(this.innermostSpan() ?? this.traceparent)
      return { realm, traceparent, remainingMs: this.inbound.remainingMs() }
    })
  }

  private get traceparent(): TraceParent {
    this.trace ??= parseTraceparent(this.inbound.frame.traceparent) ?? {
      traceId: randomBytes(16).toString('hex'),
      spanId: randomBytes(8).toString('hex'),
    }
    return this.trace
  }

  protected own(): ScopedCaller {
    this.caller ??= new ScopedCaller(this.parts.client, this.parts.log, (functionId) => {
      this.assertOpen(functionId)
      return this.ownScope()
    })
    return this.caller
  }

  /** On whose behalf this context calls. */
  protected ownScope(): CallScope {
    const span = this.innermostSpan()
    return { parent: this.inbound.id, traceparent: span && formatTraceparent(span) }
  }

  private innermostSpan(): OpenSpan | undefined {
    const open = openSpans?.getStore()
    return open?.owner === this ? open.span : undefined
  }

  /** A call in this context is possible only while the invocation is in flight on the connection that brought it. */
  protected assertOpen(functionId: string): void {
    const { inbound } = this
    if (inbound.abortReason) throw inbound.abortReason
    if (inbound.epoch !== this.parts.client.epoch) throw lost(functionId)
    if (inbound.answered) {
      const message = `${this.functionId} has answered already; ask for ctx.detach({ deadlineMs }) before it does`
      throw new InvocationError({ code: 'conflict', message, function_id: functionId })
    }
  }
}

function lost(functionId: string): InvocationError {
  const message = 'The connection that brought this invocation is gone'
  return new InvocationError({ code: 'engine_lost', message, function_id: functionId })
}
