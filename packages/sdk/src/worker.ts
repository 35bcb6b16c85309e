import type { WorkerDescriptor } from '@agentos/protocol'
import type { Logger } from 'pino'
import type * as z from 'zod'
import type { Caller, HandlerContext } from './context.ts'
import { assertKeys, type FunctionContract, type OutputOf, type ParsedInputOf } from './contract.ts'
import { runProcess } from './process.ts'
import { RunningWorker } from './running-worker.ts'

/** What a worker's `start` gets, and may keep: calls of its own, outside of any invocation. */
export interface WorkerSelf<Config = unknown> extends Caller {
  readonly name: string
  /** One per process, kept over reconnects. */
  readonly instance: string
  /** The worker's `config:` in config.yaml, as its `settings` read it at the start; empty without them. */
  readonly config: Config
  /** The installation's data folder; a worker's own files are under `index/<worker>/` in it. */
  readonly dataDir: string
  /** The same caller in another realm, `default` for the default one; only where the manifest says `enters_realms: true`. */
  inRealm(realm: string): Caller
}

/** A contract and its handler. Made by `serve`. */
export interface ServedFunction {
  contract: FunctionContract
  handle: (input: unknown, ctx: HandlerContext) => unknown
  /** Its calls are runs: `handle` gets a `DurableContext`. Made by `durable`. */
  durable?: boolean
}

/** A trigger on one of the worker's own functions. Made by `on`. */
export interface BoundTrigger {
  type: string
  functionId: string
  config: unknown
}

export interface WorkerDefinition<S extends z.ZodObject = z.ZodObject> {
  /** That of the folder and the manifest. */
  name: string
  /**
   * What may stand under `config:` of the worker's entry in config.yaml. A worker does not start where anything else stands
   * there, and says what there is. @default nothing
   */
  settings?: S
  /** Runs once, after the first connect and before the functions are registered: a handler finds it done. */
  start?(self: WorkerSelf<z.output<S>>): Promise<void> | void
  /** Runs once, after the last invocation was answered. */
  stop?: () => Promise<void> | void
  functions: ServedFunction[]
  triggers?: BoundTrigger[]
}

export interface RunOptions {
  /** The worker's built descriptor, or the path of its file: saves making the JSON Schemas at start. */
  descriptor?: WorkerDescriptor | string
}

export interface ConnectOptions extends RunOptions {
  url: string
  credential?: string | (() => string | undefined)
  /** @default a random one */
  instance?: string
  /** @default `data` in the working directory */
  dataDir?: string
  /** @default JSON lines on stderr, of warnings and worse */
  log?: Logger
  /**
   * Refuse what handlers return and their contracts do not allow, as `internal`. Without it such an output passes and is
   * logged once for each function; one output a second of each is looked at. @default true where
   * `AGENTOS_VALIDATE_OUTPUT` is 1, as it is in development and tests
   */
  validateOutput?: boolean
}

export interface WorkerHandle {
  readonly name: string
  /** Ends as on SIGTERM: takes no new calls, waits for those being served, runs `stop`, disconnects. */
  stop(drainMs?: number): Promise<void>
}

export interface Worker extends WorkerDefinition {
  /** Runs as this process until SIGTERM or SIGINT. */
  run(options?: RunOptions): Promise<void>
  /** Runs beside others in this process; resolves when its functions can be called. */
  connect(options: ConnectOptions): Promise<WorkerHandle>
}

const DEFINITION_KEYS: Record<keyof WorkerDefinition, true> = {
  name: true,
  settings: true,
  start: true,
  stop: true,
  functions: true,
  triggers: true,
}

/** A worker as a value. Nothing happens before `run` or `connect`. Throws `TypeError` for a key that there is not. */
export function defineWorker<S extends z.ZodObject>(definition: WorkerDefinition<S>): Worker {
  assertKeys(`the worker ${definition.name}`, definition, DEFINITION_KEYS)
  return {
    ...definition,
    run: (options = {}) => runProcess(definition, options),
    connect: (options) => RunningWorker.start(definition, options),
  }
}

/** Serves a contract: the handler gets validated input and the context of the call. */
export function serve<C extends FunctionContract>(
  contract: C,
  handle: (input: ParsedInputOf<C>, ctx: HandlerContext) => Promise<OutputOf<C>> | OutputOf<C>,
): ServedFunction {
  if (contract.durable) throw new TypeError(`${contract.id} is durable: serve it with durable(contract, handler)`)
  return { contract, handle: (input, ctx) => handle(input as ParsedInputOf<C>, ctx) }
}

/** Binds one of the worker's functions to an event: `on('cron', evict, { expression: '0 3 * * *' })`. */
export function on(type: string, contract: FunctionContract, config: unknown): BoundTrigger {
  return { type, functionId: contract.id, config }
}
