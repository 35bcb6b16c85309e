import type { FunctionDescriptor } from '@agentos/protocol'
import type { Connection } from './connection.ts'
import type { Core } from './core.ts'
import { problemText } from './declared-triggers.ts'
import { isGuests } from './guest-powers.ts'
import type { TriggerBinding } from './module.ts'
import { isReachedFrom } from './place.ts'
import { MODULES_OF_TYPES } from './triggers.ts'

/** A function that can be called, whoever serves it; page, CLI and protocol show it each in their own shape. */
export interface FunctionView {
  id: string
  summary: string
  /** `engine`, an installed worker, or what a worker calls itself. */
  worker: string
  /** Is somebody there to serve it? Installed functions exist without. */
  up: boolean
  effects: FunctionDescriptor['effects']
  idempotent: boolean
  tool: boolean
  access: FunctionDescriptor['access']
  /**
   * Described by the engine itself or by an installed worker's manifest. Only the schemas of such a function are run;
   * what anybody else sends along is text: a pattern or a reference in it may never come to its end.
   */
  installed: boolean
  request_format: unknown
  response_format: unknown
}

/** `asleep`: started by the next call. `held`: ended too often. Only a supervisor tells more than `up` and `down`. */
export type WorkerStatus = 'up' | 'down' | 'asleep' | 'starting' | 'restarting' | 'held' | 'unbuilt' | 'silent'

/** A worker: one view for each process, and one for each installed worker without any. */
export interface WorkerView {
  name: string
  version: string | null
  description: string | null
  pid: number | null
  status: WorkerStatus
  installed: boolean
  connectedAt: number | null
  functions: string[]
  inFlight: number
  /** What of an installed worker does not stand, though its manifest or code says so, and what does not work in a process, as it says itself; in words. */
  problems: string[]
}

/** What only the protocol's lists show of a process. */
export interface ConnectionView extends WorkerView {
  id: string | null
  runtime: string | null
  os: string | null
  address: string | null
  isolation: string | null
}

export interface TriggerView {
  id: string
  trigger_type: string
  function_id: string
  config: unknown
  worker_name: string
  metadata?: unknown
}

export interface TriggerTypeView {
  id: string
  worker_name: string
  description: string
  configFormat?: unknown
  payloadFormat?: unknown
}

/** Read-only views of who is there and what can be called. */
export class Directory {
  private readonly core: Core

  constructor(core: Core) {
    this.core = core
  }

  /** All functions that can be called in a realm, by id. */
  functions(realm: string): FunctionView[] {
    const { registry, catalogue } = this.core
    const views = new Map<string, FunctionView>()
    for (const fn of registry.builtinFunctions())
      views.set(fn.id, describe(fn, { worker: 'engine', installed: true, up: true }))
    for (const [id, { worker, descriptor }] of catalogue.declaredFunctions()) {
      const up = registry.registrations(id, realm).length > 0
      views.set(id, describe(descriptor, { worker, installed: true, up }))
    }
    for (const id of registry.servedFunctions(realm)) {
      const foreign = views.has(id) ? undefined : this.foreign(id, realm)
      if (foreign) views.set(id, foreign)
    }
    return [...views.values()].sort((a, b) => compare(a.id, b.id))
  }

  function(id: string, realm: string): FunctionView | undefined {
    const { registry, catalogue } = this.core
    const builtin = registry.builtin(id)
    if (builtin) return describe(builtin, { worker: 'engine', installed: true, up: true })
    const declared = catalogue.declared(id)
    if (!declared) return this.foreign(id, realm)
    const up = registry.registrations(id, realm).length > 0
    return describe(declared.descriptor, { worker: declared.worker, installed: true, up })
  }

  /** What a foreign worker said of its function; `null` where it said nothing, `undefined` where it is not foreign. */
  foreignMetadata(id: string, realm: string): unknown {
    const { registry, catalogue } = this.core
    if (registry.builtin(id) || catalogue.declared(id)) return undefined
    return registry.registrations(id, realm)[0]?.frame.metadata ?? null
  }

  /** Processes that told of themselves and are the installation's or of this realm, and installed workers without one; by name. */
  workers(realm: string): ConnectionView[] {
    const views: ConnectionView[] = []
    const present = new Set<string>()
    for (const connection of this.core.connections.values()) {
      // A worker tells its pid last, after all its registrations.
      if (connection.metadata.pid === undefined || !isReachedFrom(realm, connection)) continue
      if (connection.grant.worker !== undefined) present.add(connection.grant.worker)
      views.push(this.connectionView(connection))
    }
    for (const { name, version, description, functions } of this.core.catalogue.workers.values()) {
      if (present.has(name)) continue
      views.push({
        ...NOBODY,
        name,
        status: this.statusWithoutProcess(name),
        version,
        description,
        installed: true,
        functions: functions.map((fn) => fn.id).sort(),
        problems: this.problemsOf(name),
      })
    }
    return views.sort((a, b) => compare(a.name, b.name) || (a.connectedAt ?? 0) - (b.connectedAt ?? 0))
  }

  /** Of an installed worker that is not connected. */
  private statusWithoutProcess(name: string): WorkerStatus {
    const state = this.core.supervision.stateOf(name)
    return state === undefined || state === 'up' || state === 'stopped' ? 'down' : state
  }

  private problemsOf(worker: string | undefined): string[] {
    if (worker === undefined) return []
    return this.core.declared.problemsOf(worker).map(problemText)
  }

  /** The installation's, and those of a realm. */
  triggers(realm: string): TriggerView[] {
    const seen = [...this.core.triggers.all()].filter(
      ({ worker, grant }) => worker !== undefined || grant.realm === realm,
    )
    return seen.map((trigger) => this.triggerView(trigger))
  }

  /** Those that can be bound in a realm. */
  triggerTypes(realm: string): TriggerTypeView[] {
    return this.core.triggers.allTypes(realm).map(({ provider, ...type }) => ({
      id: type.id,
      description: type.description,
      ...(type.configFormat === undefined ? {} : { configFormat: type.configFormat }),
      ...(type.payloadFormat === undefined ? {} : { payloadFormat: type.payloadFormat }),
      worker_name: provider ? workerName(provider) : (MODULES_OF_TYPES[type.id] ?? 'iii-engine-functions'),
    }))
  }

  private foreign(id: string, realm: string): FunctionView | undefined {
    const [registration] = this.core.registry.registrations(id, realm)
    if (!registration) return undefined
    const { frame, connection } = registration
    const told = foreignFacts(frame.metadata)
    return describe(
      {
        id,
        summary: frame.description ?? '',
        request_format: frame.request_format,
        response_format: frame.response_format,
        ...told,
      },
      { worker: workerName(connection), installed: false, up: true },
    )
  }

  private connectionView(connection: Connection): ConnectionView {
    const { metadata, grant } = connection
    const descriptor = grant.worker === undefined ? undefined : this.core.catalogue.workers.get(grant.worker)
    return {
      id: connection.id,
      name: workerName(connection),
      version: descriptor?.version ?? metadata.version ?? null,
      description: descriptor?.description ?? metadata.description ?? null,
      pid: metadata.pid ?? null,
      status: 'up',
      installed: descriptor !== undefined,
      connectedAt: connection.connectedAt,
      functions: [...connection.functions].sort(),
      inFlight: connection.serving.size,
      problems: [...this.problemsOf(grant.worker), ...(connection.problem ? [connection.problem] : [])],
      runtime: metadata.runtime ?? null,
      os: metadata.os ?? null,
      address: connection.address,
      isolation: metadata.isolation ?? null,
    }
  }

  private triggerView(trigger: TriggerBinding): TriggerView {
    const connection = trigger.workerId === undefined ? undefined : this.core.connections.get(trigger.workerId)
    return {
      id: trigger.id,
      trigger_type: trigger.type,
      function_id: trigger.functionId,
      config: trigger.config ?? {},
      worker_name: trigger.worker ?? (connection ? workerName(connection) : 'engine'),
      ...(trigger.metadata === undefined ? {} : { metadata: trigger.metadata }),
    }
  }
}

/** Guests hear no number of an installed worker's process: that is the machine's. */
export function seenBy<V extends WorkerView>(view: V, who: Parameters<typeof isGuests>[0]): V {
  return view.installed && isGuests(who) ? { ...view, pid: null } : view
}

const NOBODY: ConnectionView = {
  id: null,
  name: '',
  version: null,
  description: null,
  pid: null,
  status: 'down',
  installed: false,
  connectedAt: null,
  functions: [],
  inFlight: 0,
  problems: [],
  runtime: null,
  os: null,
  address: null,
  isolation: null,
}

export function workerName(connection: Connection): string {
  return connection.grant.worker ?? connection.metadata.name ?? connection.id
}

type Described = Pick<FunctionDescriptor, 'id' | 'summary'> & Partial<FunctionDescriptor>

function describe(fn: Described, served: Pick<FunctionView, 'worker' | 'installed' | 'up'>): FunctionView {
  return {
    id: fn.id,
    summary: fn.summary,
    ...served,
    effects: fn.effects ?? 'external',
    idempotent: fn.idempotent ?? false,
    tool: fn.tool ?? false,
    access: fn.access ?? 'guest',
    request_format: fn.request_format ?? null,
    response_format: fn.response_format ?? null,
  }
}

/** What a worker that no manifest installs says of its own function; it binds nobody but itself. */
function foreignFacts(metadata: unknown): Pick<Partial<FunctionDescriptor>, 'effects' | 'tool'> {
  if (typeof metadata !== 'object' || metadata === null) return {}
  const facts: Pick<Partial<FunctionDescriptor>, 'effects' | 'tool'> = {}
  if ('effects' in metadata && (metadata.effects === 'read' || metadata.effects === 'write')) {
    facts.effects = metadata.effects
  }
  if ('tool' in metadata && metadata.tool === true) facts.tool = true
  return facts
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
