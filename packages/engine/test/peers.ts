import { randomUUID } from 'node:crypto'
import type {
  EngineFrame,
  FunctionDescriptor,
  KnownSecrets,
  Principal,
  Spliced,
  WorkerDescriptor,
} from '@agentos/protocol'
import { Catalogue } from '../src/core/catalogue.ts'
import type { Connection } from '../src/core/connection.ts'
import { DEFAULT_REALM, GUEST_REALM, SYSTEM_REALM } from '../src/core/context.ts'
import { Core } from '../src/core/core.ts'
import type { GuestRules } from '../src/core/guest-powers.ts'
import type { GuestLimits } from '../src/core/guest-share.ts'
import type { Limits } from '../src/core/limits.ts'
import type { EngineModule } from '../src/core/module.ts'
import type { Link } from '../src/core/ports.ts'
import { createEngineModule } from '../src/modules/engine/functions.ts'
import { MemoryDisk, MemoryStore } from '../src/store/memory-store.ts'
import { systemIds } from '../src/system-ports.ts'
import { ManualTime } from './host.ts'

type Frame<T extends EngineFrame['type']> = Extract<EngineFrame, { type: T }>

/** Where somebody lives who is not elsewhere on purpose. */
const HOME: Partial<Record<Principal['kind'], string>> = { system: SYSTEM_REALM, guest: GUEST_REALM }

/** The other end of a connection: what the engine sent, and what it is to be told. */
export class Peer implements Link {
  readonly received: EngineFrame[] = []
  readonly connection: Connection
  /** Bytes that it has not read. */
  waiting = 0
  aborted: { code: number; reason: string } | undefined
  private readonly core: Core

  constructor(core: Core, principal: Principal, worker?: string, realm?: string) {
    this.core = core
    const own = realm ?? HOME[principal.kind] ?? DEFAULT_REALM
    this.connection = core.connect(this, { principal, realm: own, ...(worker === undefined ? {} : { worker }) })
  }

  send(frame: string | Spliced): void {
    this.received.push(JSON.parse(frame.toString()) as EngineFrame)
  }

  close(): void {
    this.core.disconnect(this.connection)
  }

  abort(code: number, reason: string): void {
    this.aborted = { code, reason }
  }

  buffered(): number {
    return this.waiting
  }

  tell(frame: object): void {
    this.tellText(JSON.stringify(frame))
  }

  /** Bytes of a frame as they are. */
  tellText(text: string): void {
    this.core.receive(this.connection, Buffer.from(text))
  }

  register(id: string, more: object = {}): void {
    this.tell({ type: 'registerfunction', id, ...more })
  }

  /** Makes a call; returns the id under which its answer comes. */
  call(function_id: string, more: object = {}): string {
    const invocation_id = randomUUID()
    this.tell({ type: 'invokefunction', invocation_id, function_id, data: {}, ...more })
    return invocation_id
  }

  answer(call: Frame<'invokefunction'>, result: unknown = null): void {
    this.tell({ type: 'invocationresult', invocation_id: call.invocation_id, result })
  }

  fail(call: Frame<'invokefunction'>, code: string, more: object = {}): void {
    const error = { code, message: code, ...more }
    this.tell({ type: 'invocationresult', invocation_id: call.invocation_id, error })
  }

  /** Gives a call back that it has not begun. */
  refuse(call: Frame<'invokefunction'>): void {
    const error = { code: 'worker_unavailable', message: 'stopping' }
    this.tell({ type: 'invocationresult', invocation_id: call.invocation_id, error, refused: true })
  }

  /** Calls that it was given, in order. */
  get served(): Frame<'invokefunction'>[] {
    return this.received.filter((frame) => frame.type === 'invokefunction')
  }

  result(id: string): Frame<'invocationresult'> | undefined {
    return this.received.find((frame) => frame.type === 'invocationresult' && frame.invocation_id === id) as
      | Frame<'invocationresult'>
      | undefined
  }

  /** Code of the error with which a call ended. */
  code(id: string): string | undefined {
    return this.result(id)?.error?.code
  }

  cancelled(call: Frame<'invokefunction'>): boolean {
    return this.received.some(
      (frame) => frame.type === 'cancelinvocation' && frame.invocation_id === call.invocation_id,
    )
  }
}

/** A core on manual time, with the functions that every engine has. */
export function startCore(
  options: {
    limits?: Partial<Limits>
    guestLimits?: Partial<GuestLimits>
    workers?: WorkerDescriptor[]
    /** Beside the functions that every engine has. */
    modules?: EngineModule[]
    /** Those of an engine before, to go on with what it left. */
    time?: ManualTime
    disk?: MemoryDisk
    secrets?: KnownSecrets
    guestsMay?: Partial<GuestRules>
    /** Of the lists of what is registered. */
    maxAnswerBytes?: number
  } = {},
) {
  const time = options.time ?? new ManualTime(Date.parse('2026-11-22T16:00:00Z'))
  const disk = options.disk ?? new MemoryDisk()
  const warnings: string[] = []
  const warn = (_fields: object, message: string): void => void warnings.push(message)
  const store = new MemoryStore({ clock: time, timers: time, disk })
  const core = new Core({
    ports: {
      clock: time,
      timers: time,
      ids: systemIds,
      store,
      log: { debug() {}, info() {}, warn, error: warn },
    },
    limits: { ...options.limits },
    guestLimits: { ...options.guestLimits },
    catalogue: new Catalogue(options.workers ?? []),
    ...(options.secrets ? { secrets: options.secrets } : {}),
    ...(options.guestsMay ? { guestsMay: options.guestsMay } : {}),
  })
  core.start([createEngineModule(core, options.maxAnswerBytes), ...(options.modules ?? [])])
  const guest = (): Peer => new Peer(core, { kind: 'guest', id: 'guest' })
  const owner = (): Peer => new Peer(core, { kind: 'owner', id: 'owner' })
  /** A process of an installed worker. */
  const worker = (name: string): Peer => {
    const peer = new Peer(core, { kind: 'system', id: name }, name)
    peer.tell({ type: 'invokefunction', function_id: 'engine::workers::register', data: { features: ['cancel'] } })
    return peer
  }
  return { core, time, disk, store, warnings, guest, owner, worker }
}

/** An installed worker with these functions. */
export function installed(
  name: string,
  functions: (Partial<FunctionDescriptor> & { id: string })[],
  more: Partial<WorkerDescriptor> = {},
): WorkerDescriptor {
  return {
    name,
    version: '0.1.0',
    description: '',
    start: 'always',
    instances: 4,
    memoryMb: 128,
    env: {},
    secrets: [],
    owns: { scopes: [], streams: [], topics: [] },
    systemScopes: [],
    entersRealms: false,
    dependencies: [],
    triggers: [],
    functions: functions.map((fn) => ({
      summary: fn.id,
      request_format: {},
      response_format: {},
      effects: 'external',
      idempotent: false,
      tool: false,
      access: 'guest',
      http: [],
      ...fn,
    })),
    ...more,
  }
}
