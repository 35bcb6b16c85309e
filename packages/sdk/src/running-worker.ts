import { randomUUID } from 'node:crypto'
import { resolve } from 'node:path'
import type { FunctionDescriptor, SecretFingerprint, WorkerDescriptor } from '@agentos/protocol'
import type { Logger } from 'pino'
import { Client } from './client.ts'
import type { Caller } from './context.ts'
import { describeContract, describeFormats, loadDescriptor } from './describe.ts'
import { ServedRun } from './durable-context.ts'
import { toErrorBody } from './errors.ts'
import { type HandlerParts, ScopedCaller, ServedContext } from './handler-context.ts'
import type { Inbound } from './inbound.ts'
import { knownSecrets } from './known-secrets.ts'
import { openLog } from './log.ts'
import { OutputCheck } from './output-check.ts'
import { readSettings } from './settings.ts'
import { SpanBatch } from './spans.ts'
import { parseInput } from './validate.ts'
import type { ConnectOptions, ServedFunction, WorkerDefinition, WorkerHandle, WorkerSelf } from './worker.ts'

export const DRAIN_MS = 10_000

/** A worker that is connected. */
export class RunningWorker implements WorkerHandle {
  readonly name: string
  private readonly definition: WorkerDefinition
  private readonly client: Client
  private readonly spans: SpanBatch
  private readonly log: Logger
  private readonly outputs: OutputCheck
  private readonly instance: string
  private readonly dataDir: string
  private config: Record<string, unknown> = {}
  private forget: () => void = () => {}
  private stopped: Promise<void> | undefined

  /** Resolves when the engine has taken the registrations; waits for as long as there is no engine. */
  static async start(definition: WorkerDefinition, options: ConnectOptions): Promise<RunningWorker> {
    const descriptor = await loadDescriptor(options.descriptor)
    const log = options.log ?? (await openLog(definition.name, 'warn'))
    const greeting = Promise.withResolvers<unknown>()
    const worker = new RunningWorker(definition, options, log, greeting.resolve)
    const config = await greeting.promise
    try {
      worker.config = readSettings(definition.name, definition.settings, config)
      await definition.start?.(worker.self())
      for (const served of definition.functions) await worker.register(served, descriptor)
      for (const { type, functionId, config } of definition.triggers ?? []) {
        worker.client.registerTrigger({ type, function_id: functionId, config })
      }
      await worker.client.ready()
      return worker
    } catch (error) {
      await worker.client.shutdown()
      throw error
    }
  }

  private constructor(
    definition: WorkerDefinition,
    options: ConnectOptions,
    log: Logger,
    connected: (config: unknown) => void,
  ) {
    this.name = definition.name
    this.definition = definition
    this.log = log
    this.instance = options.instance ?? `${definition.name}-${randomUUID()}`
    this.dataDir = resolve(options.dataDir ?? 'data')
    this.outputs = new OutputCheck(options.validateOutput ?? process.env.AGENTOS_VALIDATE_OUTPUT === '1')
    // The engine takes fingerprints of secrets from nobody else.
    const installed = options.credential !== undefined
    this.client = new Client(
      options.url,
      {
        workerName: definition.name,
        group: definition.name,
        instance: this.instance,
        ...(options.credential === undefined ? {} : { credential: options.credential }),
      },
      {
        connected: (greeting) => {
          log.debug({ worker_id: greeting.worker_id, epoch: greeting.epoch }, 'connected')
          connected(greeting.config)
        },
        opening: () => (installed ? learnFrames(knownSecrets.fingerprints) : []),
        trouble: (message) => log.warn(message),
      },
    )
    if (installed) {
      this.forget = knownSecrets.subscribe((added) => {
        for (const frame of learnFrames(added)) this.client.sendFrame(frame)
      })
    }
    this.spans = new SpanBatch(definition.name, (frame) => this.client.sendTelemetry(frame))
  }

  stop(drainMs: number = DRAIN_MS): Promise<void> {
    this.stopped ??= this.end(drainMs)
    return this.stopped
  }

  private async end(drainMs: number): Promise<void> {
    const finished = await this.client.drain(drainMs)
    if (!finished) this.log.warn({ after_ms: drainMs }, 'stopped while calls were still being served')
    try {
      await this.definition.stop?.()
    } finally {
      this.forget()
      this.spans.flush()
      await this.client.shutdown()
    }
  }

  private self(): WorkerSelf<Record<string, unknown>> {
    const { client, log, name, instance, dataDir, config } = this
    const own = new ScopedCaller(client, log, () => ({}))
    const inRealm = (realm: string): Caller => new ScopedCaller(client, log, () => ({ realm }))
    return {
      name,
      instance,
      dataDir,
      log,
      inRealm,
      config,
      state: own.state,
      call: (contract, input, options) => own.call(contract, input, options),
      trigger: (request) => own.trigger(request),
    }
  }

  private async register(served: ServedFunction, descriptor: WorkerDescriptor | undefined): Promise<void> {
    const { http, ...described } = describeContract(served.contract)
    const { id, summary, ...judged } = described
    const { request_format, response_format } = await this.formats(served, descriptor)
    const parts: HandlerParts = { client: this.client, log: this.log, spans: this.spans }
    this.client.serve(
      id,
      {
        description: summary,
        request_format,
        response_format,
        metadata: { ...judged, summary },
      },
      (inbound) => {
        const ctx = served.durable ? new ServedRun(parts, inbound) : new ServedContext(parts, inbound)
        return this.handle(served, ctx, inbound)
      },
    )
    for (const { method, path, status, raw, stream } of http) {
      this.client.registerTrigger({
        type: 'http',
        function_id: id,
        config: { api_path: path, http_method: method },
        metadata: { binding: 'contract', status, raw, stream },
      })
    }
  }

  private async formats(
    { contract }: ServedFunction,
    descriptor: WorkerDescriptor | undefined,
  ): Promise<Pick<FunctionDescriptor, 'request_format' | 'response_format'>> {
    return descriptor?.functions.find(({ id }) => id === contract.id) ?? (await describeFormats(contract))
  }

  private async handle({ contract, handle }: ServedFunction, ctx: ServedContext, inbound: Inbound): Promise<unknown> {
    try {
      const output = await handle(parseInput(contract, inbound.frame.data), ctx)
      this.outputs.look(contract, output, ctx.log)
      return output
    } catch (error) {
      const { code } = toErrorBody(error)
      const isBug = code === 'invocation_failed' || code === 'internal'
      if (isBug) ctx.log.error({ err: error }, 'the handler failed')
      else ctx.log.debug({ code, err: error }, 'the handler refused')
      throw error
    }
  }
}

/** Tells the engine what to blank; nothing where there is nothing. */
function learnFrames(fingerprints: readonly SecretFingerprint[]): object[] {
  if (fingerprints.length === 0) return []
  const learn = { type: 'invokefunction', function_id: 'engine::secrets::learn', action: { type: 'void' } }
  return [{ ...learn, data: { fingerprints } }]
}
