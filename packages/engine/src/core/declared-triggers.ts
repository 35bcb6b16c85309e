import type { TriggerRegistrationResultFrame, WorkerDescriptor } from '@agentos/protocol'
import type { Authority } from './authority.ts'
import type { Catalogue } from './catalogue.ts'
import { SYSTEM_REALM } from './context.ts'
import type { BuiltinTriggerType, TriggerBinding } from './module.ts'
import { MODULES_OF_TYPES, type Triggers } from './triggers.ts'

/** Something of an installed worker that does not stand, though its manifest, its contracts or its code say so. */
export interface DeclaredProblem {
  worker: string
  /** Id of the trigger. */
  id: string
  triggerType: string
  functionId: string
  /** Where it stands in the manifest: `['triggers', 0, 'config', 'topik']`; empty where it does not stand there. */
  path: readonly (string | number)[]
  /** Of a contract: `GET /v1/things`. */
  route?: string
  message: string
  /** Connection that bound it, where no manifest does. */
  connection?: string
}

/** What the manifests bind, and what of it does not stand: told to the worker, its supervisor and in lists. */
export class DeclaredTriggers {
  private readonly triggers: Triggers
  private readonly catalogue: Catalogue
  private readonly authority: Authority
  private readonly problems = new Map<string, DeclaredProblem>()
  private readonly listeners: ((problem: DeclaredProblem) => void)[] = []

  constructor(triggers: Triggers, catalogue: Catalogue, authority: Authority) {
    this.triggers = triggers
    this.catalogue = catalogue
    this.authority = authority
  }

  /** All there are, or those of one worker. */
  problemsOf(worker?: string): DeclaredProblem[] {
    return [...this.problems.values()].filter((problem) => worker === undefined || problem.worker === worker)
  }

  /** Those that every process of a worker hears when it connects: what its own code binds is told when it does. */
  failedOf(worker?: string): DeclaredProblem[] {
    return this.problemsOf(worker).filter(({ connection }) => connection === undefined)
  }

  onProblem(listener: (problem: DeclaredProblem) => void): void {
    this.listeners.push(listener)
  }

  note(problem: DeclaredProblem): void {
    this.problems.set(problem.id, problem)
    for (const listener of this.listeners) listener(problem)
  }

  /** Bound, and its type is not there: no mistake yet, and shown in lists only. */
  waits(trigger: TriggerBinding): void {
    if (trigger.worker === undefined) return
    const problem = problemOf(trigger, [], this.noSuchType(trigger.type))
    this.problems.set(
      trigger.id,
      trigger.workerId === undefined ? problem : { ...problem, connection: trigger.workerId },
    )
  }

  /** It stands now, or nobody wants it any more. */
  settle(id: string): void {
    this.problems.delete(id)
  }

  /** A connection ended: what it bound is gone with it. */
  forget(connection: string): void {
    for (const problem of this.problems.values()) if (problem.connection === connection) this.settle(problem.id)
  }

  bindAll(): void {
    for (const { name, triggers } of this.catalogue.workers.values()) {
      triggers.forEach((trigger, index) => {
        this.bind(name, trigger, index)
      })
    }
  }

  private bind(worker: string, { type, function_id, config }: WorkerDescriptor['triggers'][number], index: number) {
    const path = ['triggers', index]
    const trigger: TriggerBinding = {
      id: `${worker}/${type}/${index}`,
      type,
      functionId: function_id,
      config,
      metadata: undefined,
      worker,
      grant: this.authority.triggerGrant(undefined, worker),
    }
    const unknown = this.unknownKey(trigger)
    if (unknown) return this.note(problemOf(trigger, [...path, 'config', ...unknown.path], unknown.message))
    const outcome = this.triggers.bind(trigger)
    if (outcome.state === 'failed') this.note(problemOf(trigger, [...path, 'config'], outcome.message))
    if (outcome.state === 'parked') this.note(problemOf(trigger, [...path, 'type'], this.noSuchType(type)))
  }

  /** A key of a config that its trigger type does not read: from an installed worker it is a mistake. */
  unknownKey({ type, config }: Pick<TriggerBinding, 'type' | 'config'>): UnknownKey | undefined {
    const known = this.triggers.builtin(type)
    return known && findUnknownKey(config, known.configFormat, known.id)
  }

  noSuchType(type: string): string {
    const module = MODULES_OF_TYPES[type]
    if (module !== undefined) return `nothing provides the trigger type ${type}: config.yaml does not list ${module}`
    const types = this.triggers.allTypes(SYSTEM_REALM).filter(({ provider }) => provider === undefined)
    const ids = types.map(({ id }) => id).filter((id) => !id.startsWith('engine::'))
    return `nothing provides the trigger type ${type}; those of the engine are ${ids.sort().join(', ')}`
  }
}

export function problemOf(trigger: TriggerBinding, path: DeclaredProblem['path'], message: string): DeclaredProblem {
  const { id, type, functionId, worker = '' } = trigger
  return { worker, id, triggerType: type, functionId, path, message }
}

/** As a person reads it. */
export const problemText = ({ triggerType, functionId, message }: DeclaredProblem): string =>
  `the ${triggerType} trigger of ${functionId} does not stand: ${message}`

/** As the registrant of a trigger hears it. */
export function problemFrame(
  { id, triggerType, functionId, message }: DeclaredProblem,
  code = 'trigger_registration_failed',
): string {
  return JSON.stringify({
    type: 'triggerregistrationresult',
    id,
    trigger_type: triggerType,
    function_id: functionId,
    error: { code, message },
  } satisfies TriggerRegistrationResultFrame)
}

interface UnknownKey {
  path: string[]
  message: string
}

function findUnknownKey(
  value: unknown,
  format: BuiltinTriggerType['configFormat'],
  of: string,
): UnknownKey | undefined {
  const properties = (format as { properties?: Record<string, object> } | undefined)?.properties
  if (!properties || typeof value !== 'object' || value === null) return undefined
  for (const [key, inner] of Object.entries(value)) {
    if (!Object.hasOwn(properties, key)) {
      return { path: [key], message: `${of} has no ${key}; there is ${Object.keys(properties).join(', ')}` }
    }
    const below = findUnknownKey(inner, properties[key], `${of}.${key}`)
    if (below) return { ...below, path: [key, ...below.path] }
  }
  return undefined
}
