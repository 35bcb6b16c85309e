import { EngineError } from '@agentos/protocol'
import type { Connection } from './connection.ts'
import type { BuiltinTriggerType, TriggerBinding } from './module.ts'

/** A trigger type that a worker provides: bindings are forwarded to it. */
export interface ProvidedTriggerType {
  id: string
  description: string
  provider: Connection
  configFormat?: unknown
  payloadFormat?: unknown
}

/** Module of config.yaml that provides a trigger type; the rest of the engine's own is always there. */
export const MODULES_OF_TYPES: Record<string, string> = {
  http: 'iii-http',
  cron: 'iii-cron',
  'durable:subscriber': 'iii-queue',
  subscribe: 'iii-pubsub',
  state: 'iii-state',
}

type TriggerType = { builtin: BuiltinTriggerType } | { provided: ProvidedTriggerType }

export type BindOutcome =
  | { state: 'bound' }
  | { state: 'forward'; provider: Connection }
  /** Its type is not there yet; it is bound when the type comes. */
  | { state: 'parked' }
  | { state: 'failed'; message: string }

/** Trigger types and the instances bound to them; guarded by id, so that a stale removal never hits a newer binding. */
export class Triggers {
  private readonly types = new Map<string, TriggerType>()
  private readonly instances = new Map<string, TriggerBinding>()
  private readonly bound = new Set<string>()

  addBuiltin(type: BuiltinTriggerType): void {
    this.types.set(type.id, { builtin: type })
    for (const trigger of this.ofType(type.id)) this.activate(trigger)
  }

  /** A worker provides a type; what waits for it, or was bound to an older provider, is to be forwarded again. */
  addProvided(type: ProvidedTriggerType): TriggerBinding[] {
    const existing = this.types.get(type.id)
    if (existing && 'builtin' in existing) {
      throw new EngineError('id_taken', `The trigger type ${type.id} belongs to the engine`)
    }
    this.types.set(type.id, { provided: type })
    return this.ofType(type.id)
  }

  /** Removes a type where this connection still provides it; its triggers wait for the next provider. */
  removeProvided(connection: Connection, id: string): boolean {
    return this.providerOf(id) === connection && this.types.delete(id)
  }

  bind(trigger: TriggerBinding): BindOutcome {
    this.unbind(trigger.id)
    this.instances.set(trigger.id, trigger)
    return this.activate(trigger)
  }

  /** Removes a trigger; says which provider has to be told. */
  unbind(id: string, left = false): { trigger: TriggerBinding; provider?: Connection } | undefined {
    const trigger = this.instances.get(id)
    if (!trigger) return undefined
    this.instances.delete(id)
    const type = this.types.get(trigger.type)
    if (!type) return { trigger }
    if ('builtin' in type) {
      if (this.bound.delete(id)) type.builtin.unbind(trigger, left)
      return { trigger }
    }
    return { trigger, provider: type.provided.provider }
  }

  get(id: string): TriggerBinding | undefined {
    return this.instances.get(id)
  }

  all(): IterableIterator<TriggerBinding> {
    return this.instances.values()
  }

  allTypes(): {
    id: string
    description: string
    configFormat?: unknown
    payloadFormat?: unknown
    provider?: Connection
  }[] {
    return [...this.types.values()].map((type) =>
      'builtin' in type ? type.builtin : { ...type.provided, provider: type.provided.provider },
    )
  }

  builtin(typeId: string): BuiltinTriggerType | undefined {
    const type = this.types.get(typeId)
    return type && 'builtin' in type ? type.builtin : undefined
  }

  providerOf(typeId: string): Connection | undefined {
    const type = this.types.get(typeId)
    return type && 'provided' in type ? type.provided.provider : undefined
  }

  private ofType(typeId: string): TriggerBinding[] {
    return [...this.instances.values()].filter((trigger) => trigger.type === typeId)
  }

  private activate(trigger: TriggerBinding): BindOutcome {
    const type = this.types.get(trigger.type)
    if (!type) return { state: 'parked' }
    if ('provided' in type) return { state: 'forward', provider: type.provided.provider }
    try {
      type.builtin.bind(trigger)
      this.bound.add(trigger.id)
      return { state: 'bound' }
    } catch (error) {
      this.instances.delete(trigger.id)
      return { state: 'failed', message: error instanceof Error ? error.message : String(error) }
    }
  }
}
