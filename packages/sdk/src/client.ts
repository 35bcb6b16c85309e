import { AsyncLocalStorage } from 'node:async_hooks'
import { randomUUID } from 'node:crypto'
import { hostname, type as osType, release } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import type { EngineFrame, RegisterFunctionFrame, WorkerRegisteredFrame } from '@agentos/protocol'
import type * as api from './api.ts'
import { Calling, type CallScope, requestOf } from './calling.ts'
import { openChannel } from './channel-pair.ts'
import { openChannelRefs } from './channel-refs.ts'
import { Connection } from './connection.ts'
import type { CallOptions } from './context.ts'
import type { FunctionContract, InputOf, OutputOf } from './contract.ts'
import type { Inbound } from './inbound.ts'
import { Registrations } from './registrations.ts'
import { type Dispatch, Serving } from './serving.ts'
import { StateClient } from './state.ts'
import { ProvidedTriggerTypes } from './trigger-types.ts'

const SDK_VERSION = '0.1.0'

/** What the owner of a client hears of its connection. */
export interface ClientListener {
  connected?(greeting: WorkerRegisteredFrame): void
  /** Frames that come before everything else on a new connection. */
  opening?(): object[]
  trouble(message: string): void
}

/** Connects to an engine at once, and again whenever the connection is lost; never throws because it is not there. */
export function registerWorker(address: string, options: api.InitOptions = {}): api.IIIClient {
  return new Client(address, options, { trouble: (message) => console.error(`[agentos] ${message}`) })
}

export class Client implements api.IIIClient {
  readonly address: string
  readonly state: StateClient
  private readonly options: api.InitOptions
  private readonly listener: ClientListener
  private readonly connection: Connection
  private readonly registrations = new Registrations()
  private readonly provided = new ProvidedTriggerTypes()
  private readonly calling = new Calling(() => this.connection)
  private readonly serving = new Serving(() => this.connection)
  /** The invocation that a plain handler is serving: what it calls names it as the parent without being told. */
  private readonly current = new AsyncLocalStorage<Inbound>()
  private readonly readiness: (() => void)[] = []
  private previous: { previous_worker_id: string; reattach_token: string } | undefined

  constructor(address: string, options: api.InitOptions, listener: ClientListener) {
    this.address = address
    this.options = options
    this.listener = listener
    this.state = new StateClient((request) => this.trigger(request))
    const { maxRetries = -1, ...backoff } = options.reconnectionConfig ?? {}
    this.connection = new Connection(
      {
        address,
        headers: () => this.headers(),
        backoff: {
          initialDelayMs: 50,
          maxDelayMs: 1_000,
          backoffMultiplier: 2,
          jitterFactor: 0.3,
          ...backoff,
          maxRetries,
        },
      },
      {
        opened: (greeting) => this.opened(greeting),
        frame: (frame) => this.receive(frame),
        lost: () => {
          this.calling.connectionLost()
          this.serving.connectionLost()
        },
        trouble: (message) => listener.trouble(message),
        gaveUp: () => this.calling.end(new Error('The engine could not be reached; no further attempt is made')),
      },
    )
  }

  /** Number of the present connection; rises with each. */
  get epoch(): number {
    return this.connection.epoch
  }

  get connected(): boolean {
    return this.connection.isOpen
  }

  registerFunction<TInput = unknown, TOutput = unknown>(
    id: string,
    handler: api.RemoteFunctionHandler<TInput, TOutput> | api.HttpInvocationConfig,
    options: api.RegisterFunctionOptions = {},
  ): api.FunctionRef {
    if (typeof handler !== 'function') return this.serve(id, { ...options, invocation: handler }, 'http')
    return this.serve(id, options, (inbound) =>
      this.current.run(inbound, () =>
        handler(openChannelRefs(inbound.frame.data, this.address) as TInput, inbound.frame.metadata),
      ),
    )
  }

  /** Registers a function whose handler gets the whole invocation. */
  serve(id: string, options: Omit<RegisterFunctionFrame, 'type' | 'id'>, dispatch: Dispatch | 'http'): api.FunctionRef {
    if (id.trim() === '') throw new Error('id is required')
    if (this.registrations.functions.has(id)) throw new Error(`function id already registered: ${id}`)
    const { group, instance } = this.options
    const frame: RegisterFunctionFrame = {
      type: 'registerfunction',
      ...options,
      id,
      ...(group === undefined ? {} : { group }),
      ...(instance === undefined ? {} : { instance }),
    }
    this.registrations.functions.set(id, frame)
    this.serving.add(id, dispatch)
    this.tell(frame)
    return {
      id,
      unregister: () => {
        if (this.registrations.functions.get(id) !== frame) return
        this.registrations.functions.delete(id)
        this.serving.remove(id)
        this.tell({ type: 'unregisterfunction', id })
      },
    }
  }

  registerTrigger(input: api.RegisterTriggerInput): api.Trigger {
    const id = randomUUID()
    const { type, function_id, config, metadata } = input
    const frame = {
      type: 'registertrigger' as const,
      id,
      trigger_type: type,
      function_id,
      config: config ?? {},
      ...(metadata === undefined ? {} : { metadata }),
    }
    this.registrations.triggers.set(id, frame)
    this.tell(frame)
    return {
      unregister: () => {
        if (!this.registrations.triggers.delete(id)) return
        this.tell({ type: 'unregistertrigger', id, trigger_type: type })
      },
    }
  }

  registerTriggerType<TConfig = unknown>(
    input: api.RegisterTriggerTypeInput,
    handler: api.TriggerHandler<TConfig>,
  ): api.TriggerTypeRef<TConfig> {
    const { id } = input
    const frame = { type: 'registertriggertype' as const, ...input }
    this.registrations.triggerTypes.set(id, frame)
    this.provided.provide(id, handler as api.TriggerHandler)
    this.tell(frame)
    const registerTrigger = (function_id: string, config: TConfig, metadata?: unknown) =>
      this.registerTrigger({ type: id, function_id, config, metadata })
    return {
      id,
      registerTrigger,
      registerFunction: (functionId, plain, config, metadata) => ({
        function: this.registerFunction(functionId, plain),
        trigger: registerTrigger(functionId, config, metadata),
      }),
      unregister: () => this.unregisterTriggerType({ id }),
    }
  }

  unregisterTriggerType({ id }: { id: string }): void {
    if (!this.registrations.triggerTypes.delete(id)) return
    this.provided.withdraw(id)
    this.tell({ type: 'unregistertriggertype', id })
  }

  registerService(input: api.RegisterServiceInput): void {
    const frame = { type: 'registerservice' as const, ...input, name: input.name ?? input.id }
    this.registrations.services.set(input.id, frame)
    this.tell(frame)
  }

  trigger<TOutput>(request: api.TriggerRequest & CallOptions): Promise<TOutput> {
    const inbound = this.current.getStore()
    const scope = inbound && !inbound.answered && inbound.epoch === this.epoch ? { parent: inbound.id } : {}
    const { timeoutMs = this.options.invocationTimeoutMs ?? 30_000 } = request
    const bounded = request.deadlineMs === undefined ? { ...request, timeoutMs } : request
    return this.calling.invoke(bounded, scope) as Promise<TOutput>
  }

  call<C extends FunctionContract>(contract: C, input: InputOf<C>, options: CallOptions = {}): Promise<OutputOf<C>> {
    return this.trigger(requestOf(contract, input, options))
  }

  /** A call on behalf of somebody; it has no time limit but its own and its parent's. */
  invoke(request: api.TriggerRequest & CallOptions, scope: CallScope): Promise<unknown> {
    return this.calling.invoke(request, scope)
  }

  createChannel(bufferSize?: number): Promise<api.Channel> {
    return openChannel(this.address, bufferSize, (request) => this.trigger(request))
  }

  /** A frame that is part of the next opening where it is lost here. */
  sendFrame(frame: object): void {
    this.tell(frame)
  }

  /** Telemetry; lost where the engine is away. */
  sendTelemetry(frame: Buffer): void {
    this.connection.send(frame)
  }

  ready(): Promise<void> {
    return new Promise((resolve) => {
      this.readiness.push(resolve)
      this.tell({ type: 'ping' })
    })
  }

  async drain(timeoutMs: number): Promise<boolean> {
    for (const id of this.registrations.functions.keys()) this.tell({ type: 'unregisterfunction', id })
    this.registrations.functions.clear()
    const finished = this.serving.drain(timeoutMs)
    // What the engine had sent before it heard of this is refused by us, not lost with the connection.
    if (this.connected) await Promise.race([this.ready(), delay(timeoutMs, undefined, { ref: false })])
    return finished
  }

  async shutdown(): Promise<void> {
    this.calling.end(new Error('iii is shutting down'))
    await this.connection.close()
  }

  private opened(greeting: WorkerRegisteredFrame): void {
    const limit = greeting.limits?.frame_bytes ?? 16 * 1024 * 1024
    this.calling.frameLimit = limit
    this.serving.frameLimit = limit
    this.reattach(greeting)
    for (const frame of this.listener.opening?.() ?? []) this.tell(frame)
    for (const frame of this.registrations.replay()) this.tell(frame)
    this.calling.flush()
    this.tell({
      type: 'invokefunction',
      function_id: 'engine::workers::register',
      data: this.description(),
      action: { type: 'void' },
    })
    for (let count = this.readiness.length; count > 0; count -= 1) this.tell({ type: 'ping' })
    this.listener.connected?.(greeting)
  }

  /** Ends our previous connection where the engine still believes in it: calls sent to it would wait for nobody. */
  private reattach({ worker_id, reattach_token }: WorkerRegisteredFrame): void {
    const { previous } = this
    if (previous) this.tell({ type: 'reattach', ...previous })
    this.previous = reattach_token === undefined ? undefined : { previous_worker_id: worker_id, reattach_token }
  }

  private receive(frame: EngineFrame): void {
    switch (frame.type) {
      case 'invokefunction':
        this.serving.invoke(frame)
        break
      case 'invocationresult':
        if (frame.error) this.calling.fail(frame.invocation_id, frame.error)
        else this.calling.succeed(frame.invocation_id, frame.result)
        break
      case 'cancelinvocation':
        this.serving.cancel(frame.invocation_id, frame.reason)
        break
      case 'registertrigger':
        void this.provided.bind(frame).then((result) => this.tell(result))
        break
      case 'unregistertrigger':
        this.provided.unbind(frame).catch((error: unknown) => {
          this.listener.trouble(`Unregistering the trigger ${frame.id} failed: ${String(error)}`)
        })
        break
      case 'triggerregistrationresult':
        if (frame.error) {
          const type = frame.trigger_type ?? 'unknown type'
          this.listener.trouble(`Trigger registration failed for "${frame.id}" (${type}): ${frame.error.message}`)
        }
        break
      case 'functionregistrationresult':
        this.listener.trouble(`Function registration failed for "${frame.id}": ${frame.error.message}`)
        break
      case 'pong':
        this.readiness.shift()?.()
        break
    }
  }

  /** Sends where there is an engine; a registration that is lost here is part of the next opening. */
  private tell(frame: object): void {
    this.connection?.send(JSON.stringify(frame))
  }

  private headers(): Record<string, string> {
    const { credential, headers } = this.options
    const token = typeof credential === 'function' ? credential() : credential
    return { ...headers, ...(token ? { authorization: `Bearer ${token}` } : {}) }
  }

  private description(): object {
    const { workerName, workerDescription, group, instance, features = ['cancel'], telemetry } = this.options
    return {
      runtime: 'node',
      version: SDK_VERSION,
      name: workerName ?? process.env.III_WORKER_NAME ?? `${hostname()}:${process.pid}`,
      ...(workerDescription === undefined ? {} : { description: workerDescription }),
      os: `${osType().toLowerCase()} ${release()} (${process.arch})`,
      pid: process.pid,
      isolation: null,
      telemetry: { framework: 'agentos', ...telemetry },
      features,
      ...(group === undefined ? {} : { group }),
      ...(instance === undefined ? {} : { instance }),
    }
  }
}
