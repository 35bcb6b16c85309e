import type { WorkerDescriptor } from '@agentos/protocol'
import { Catalogue } from '../src/core/catalogue.ts'
import { type CallContext, DEFAULT_REALM } from '../src/core/context.ts'
import { Core } from '../src/core/core.ts'
import type { GuestLimits } from '../src/core/guest-share.ts'
import type { BuiltinCall, CallerIdentity, CallResult, EngineModule, TriggerBinding } from '../src/core/module.ts'
import type { Clock, Timer, Timers } from '../src/core/ports.ts'
import { type MemoryDisk, MemoryStore } from '../src/store/memory-store.ts'

/** Time that stands still until it is told to go on. */
export class ManualTime implements Clock, Timers {
  private wall: number
  private steady = 0
  private order = 0
  private readonly timers = new Map<Timer, { order: number; run: () => void }>()

  constructor(wall: number) {
    this.wall = wall
  }

  now(): number {
    return this.wall
  }

  precise(): number {
    return this.wall
  }

  monotonic(): number {
    return this.steady
  }

  set(delayMs: number, run: () => void): Timer {
    const timer = { due: this.steady + Math.max(0, delayMs) }
    this.order += 1
    this.timers.set(timer, { order: this.order, run })
    return timer
  }

  clear(timer: Timer): void {
    this.timers.delete(timer)
  }

  /** The process that set them is gone: no timer of it will run. */
  reset(): void {
    this.timers.clear()
  }

  /** The wall clock is set, as an operator or NTP does; timers do not notice. */
  jump(ms: number): void {
    this.wall += ms
  }

  /** Runs every timer that falls due in this time, those that they set too, each at its moment. */
  advance(ms: number): void {
    const end = this.steady + ms
    for (let next = this.next(end); next; next = this.next(end)) {
      const [timer, { run }] = next
      this.pass(Math.max(0, timer.due - this.steady))
      this.timers.delete(timer)
      run()
    }
    this.pass(end - this.steady)
  }

  private pass(ms: number): void {
    this.steady += ms
    this.wall += ms
  }

  private next(end: number): [Timer, { order: number; run: () => void }] | undefined {
    return [...this.timers]
      .filter(([timer]) => timer.due <= end)
      .sort(([a, x], [b, y]) => a.due - b.due || x.order - y.order)[0]
  }
}

export interface CallAs {
  realm?: string
  /** Installed worker that calls. */
  worker?: string
  kind?: 'owner' | 'guest' | 'worker' | 'system' | 'agent'
  baggage?: string
  traceId?: string
}

/** A real core with modules under test, on a store in memory and with time that a test moves. */
export class TestHost {
  readonly time: ManualTime
  readonly core: Core
  readonly store: MemoryStore
  readonly logged: { level: string; message: string; fields: object }[] = []
  private ids = 0

  constructor(
    modules: EngineModule[],
    options: {
      disk?: MemoryDisk
      wall?: number
      workers?: Partial<WorkerDescriptor>[]
      time?: ManualTime
      guestLimits?: Partial<GuestLimits>
    } = {},
  ) {
    this.time = options.time ?? new ManualTime(options.wall ?? Date.parse('2026-11-22T16:00:00Z'))
    this.store = new MemoryStore({
      clock: this.time,
      timers: this.time,
      ...(options.disk ? { disk: options.disk } : {}),
    })
    const log = (level: string) => (fields: object, message: string) => {
      this.logged.push({ level, message, fields })
    }
    this.core = new Core({
      ports: {
        clock: this.time,
        timers: this.time,
        ids: {
          uuid: () => `00000000-0000-4000-8000-${this.nextId(12)}`,
          hex: (bytes) => this.nextId(bytes * 2),
        },
        store: this.store,
        log: { debug: log('debug'), info: log('info'), warn: log('warn'), error: log('error') },
      },
      catalogue: new Catalogue((options.workers ?? []).map(descriptor)),
      guestLimits: { ...options.guestLimits },
    })
    this.core.start(modules)
  }

  /** Calls a function and returns what it answered, after running what is due at once. */
  call(functionId: string, input: unknown, as: CallAs = {}): CallResult | undefined {
    const results = this.start(functionId, input, as)
    this.time.advance(0)
    return results[0]
  }

  /** The value of a call that has to succeed. */
  value(functionId: string, input: unknown, as: CallAs = {}): unknown {
    const result = this.call(functionId, input, as)
    if (!result) throw new Error(`${functionId} has not answered`)
    if (!result.ok) throw new Error(`${result.error.code}: ${result.error.message}`)
    return result.payload && 'value' in result.payload ? result.payload.value : undefined
  }

  /** The error of a call that has to fail. */
  error(functionId: string, input: unknown, as: CallAs = {}): { code: string; message: string; details?: unknown } {
    const result = this.call(functionId, input, as)
    if (!result || result.ok) throw new Error(`${functionId} did not fail`)
    return result.error
  }

  /** Starts a call without moving time; its result comes into the list. */
  start(functionId: string, input: unknown, as: CallAs = {}): CallResult[] {
    const results: CallResult[] = []
    this.core.invoke({
      functionId,
      payload: { value: input },
      context: this.context(as),
      caller: callerOf(as),
      onResult: (result) => results.push(result),
    })
    return results
  }

  context(as: CallAs = {}): CallContext {
    const kind = as.kind ?? (as.worker === undefined ? 'guest' : 'worker')
    return {
      realm: as.realm ?? DEFAULT_REALM,
      principal: { kind, id: as.worker ?? kind },
      traceId: as.traceId ?? this.nextId(32),
      ...(as.baggage === undefined ? {} : { baggage: as.baggage }),
    }
  }

  /** Registers a function that keeps its calls; without a handler it answers at once. */
  handler(id: string, handle: (call: BuiltinCall) => void = (call) => call.reply()): BuiltinCall[] {
    const calls: BuiltinCall[] = []
    this.core.registerFunction({
      id,
      summary: id,
      handle: (call) => {
        calls.push(call)
        handle(call)
      },
    })
    return calls
  }

  /** Binds a trigger, by a guest of a realm unless a worker is named. Returns the message of a refusal. */
  bind(type: string, functionId: string, config: unknown, more: Partial<TriggerBinding> = {}): string | undefined {
    const { worker } = more
    const grant = worker
      ? { principal: { kind: 'system' as const, id: worker }, realm: 'system' }
      : { principal: { kind: 'guest' as const, id: 'guest' }, realm: DEFAULT_REALM }
    const id = `trigger-${this.nextId(4)}`
    const outcome = this.core.triggers.bind({ id, type, functionId, config, metadata: undefined, grant, ...more })
    return outcome.state === 'failed' ? outcome.message : undefined
  }

  /** `left`: its connection ended, and nobody took it away. */
  unbind(id: string, left = false): void {
    const trigger = [...this.core.triggers.all()].find((bound) => bound.id === id)
    if (!trigger) throw new Error(`No trigger ${id} is bound`)
    this.core.triggers.unbind(trigger, left)
  }

  private nextId(digits: number): string {
    this.ids += 1
    return this.ids.toString(16).padStart(digits, '0')
  }
}

function callerOf(as: CallAs): CallerIdentity {
  return { workerId: 'connection-1', ...(as.worker === undefined ? {} : { worker: as.worker }) }
}

/** A worker's descriptor that says no more than it must. */
export function descriptor(given: Partial<WorkerDescriptor>): WorkerDescriptor {
  return {
    name: 'worker',
    version: '0.1.0',
    description: '',
    start: 'always',
    instances: 1,
    memoryMb: 128,
    env: {},
    secrets: [],
    owns: { scopes: [], streams: [], topics: [] },
    systemScopes: [],
    entersRealms: false,
    dependencies: [],
    functions: [],
    triggers: [],
    ...given,
  }
}
