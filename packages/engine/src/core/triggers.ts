import { EngineError } from '@agentos/protocol'
import { isWider } from './authority.ts'
import type { Connection } from './connection.ts'
import type { BuiltinTriggerType, TriggerBinding } from './module.ts'
import { placeFor, placeIn, placeOfAll } from './place.ts'

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
  | { state: 'failed'; message: string; code?: string }

/**
 * Trigger types and the instances bound to them; guarded by id, so that a stale removal never hits a newer binding.
 * Types of the engine and of installed workers are there for every realm, those of others for the realm of their provider.
 */
export class Triggers {
  /** By place. */
  private readonly types = new Map<string, TriggerType>()
  private readonly instances = new Map<string, TriggerBinding>()
  /** By the id of their type: a type that comes or goes looks at these alone. */
  private readonly byType = new Map<string, Set<TriggerBinding>>()
  private readonly bound = new Set<TriggerBinding>()

  addBuiltin(type: BuiltinTriggerType): void {
    const place = placeOfAll(type.id)
    this.types.set(place, { builtin: type })
    for (const trigger of this.ofType(place)) this.activate(trigger)
  }

  /** A worker provides a type; what waits for it, or was bound to an older provider, is to be forwarded again. */
  addProvided(type: ProvidedTriggerType): TriggerBinding[] {
    if (this.builtin(type.id)) throw new EngineError('id_taken', `The trigger type ${type.id} belongs to the engine`)
    const place = placeFor(type.provider.grant, type.id)
    const existing = this.types.get(place)
    if (
      existing &&
      'provided' in existing &&
      isWider(existing.provided.provider.grant.principal, type.provider.grant.principal)
    ) {
      throw new EngineError('id_taken', `The trigger type ${type.id} is provided by somebody with more authority`)
    }
    this.types.set(place, { provided: type })
    return this.ofType(place)
  }

  /** Removes a type where this connection still provides it, and says what waits for the next provider. */
  removeProvided(connection: Connection, id: string): TriggerBinding[] {
    const place = placeFor(connection.grant, id)
    const type = this.types.get(place)
    if (!type || !('provided' in type) || type.provided.provider !== connection) return []
    const bound = this.ofType(place)
    this.types.delete(place)
    return bound
  }

  bind(trigger: TriggerBinding): BindOutcome {
    const place = placeOfTrigger(trigger)
    const older = this.instances.get(place)
    if (older) this.unbind(older)
    this.instances.set(place, trigger)
    const alike = this.byType.get(trigger.type)
    if (alike) alike.add(trigger)
    else this.byType.set(trigger.type, new Set([trigger]))
    return this.activate(trigger)
  }

  /** Removes a trigger that is there; says which provider has to be told. */
  unbind(trigger: TriggerBinding, left = false): Connection | undefined {
    this.drop(trigger)
    const type = this.typeOf(trigger)
    if (type && 'provided' in type) return type.provided.provider
    if (type && this.bound.delete(trigger)) type.builtin.unbind(trigger, left)
    return undefined
  }

  /** The trigger that this connection registered, or would replace, under an id. */
  get(connection: Connection, id: string): TriggerBinding | undefined {
    return this.instances.get(placeFor(connection.grant, id))
  }

  /** The trigger that this provider was told under an id. */
  forwarded(provider: Connection, wireId: string): TriggerBinding | undefined {
    const trigger = this.instances.get(placeFor(provider.grant, wireId)) ?? this.instances.get(wireId)
    return trigger && this.providerOf(trigger) === provider ? trigger : undefined
  }

  all(): IterableIterator<TriggerBinding> {
    return this.instances.values()
  }

  /** Those that can be bound in a realm. */
  allTypes(realm: string): {
    id: string
    description: string
    configFormat?: unknown
    payloadFormat?: unknown
    provider?: Connection
  }[] {
    const reached = [...this.types].filter(([place, type]) => {
      const { id } = 'builtin' in type ? type.builtin : type.provided
      return place === placeOfAll(id) || place === placeIn(realm, id)
    })
    return reached.map(([, type]) => ('builtin' in type ? type.builtin : type.provided))
  }

  builtin(typeId: string): BuiltinTriggerType | undefined {
    const type = this.types.get(placeOfAll(typeId))
    return type && 'builtin' in type ? type.builtin : undefined
  }

  providerOf(trigger: TriggerBinding): Connection | undefined {
    const type = this.typeOf(trigger)
    return type && 'provided' in type ? type.provided.provider : undefined
  }

  private typeOf({ type, worker, grant }: TriggerBinding): TriggerType | undefined {
    const own = worker === undefined ? this.types.get(placeIn(grant.realm, type)) : undefined
    return own ?? this.types.get(placeOfAll(type))
  }

  private ofType(place: string): TriggerBinding[] {
    const type = this.types.get(place)
    if (!type) return []
    const { id } = 'builtin' in type ? type.builtin : type.provided
    return [...(this.byType.get(id) ?? [])].filter((trigger) => this.typeOf(trigger) === type)
  }

  private drop(trigger: TriggerBinding): void {
    this.instances.delete(placeOfTrigger(trigger))
    const alike = this.byType.get(trigger.type)
    alike?.delete(trigger)
    if (alike?.size === 0) this.byType.delete(trigger.type)
  }

  private activate(trigger: TriggerBinding): BindOutcome {
    const type = this.typeOf(trigger)
    if (!type) return { state: 'parked' }
    if ('provided' in type) return { state: 'forward', provider: type.provided.provider }
    try {
      type.builtin.bind(trigger)
      this.bound.add(trigger)
      return { state: 'bound' }
    } catch (error) {
      this.drop(trigger)
      const message = error instanceof Error ? error.message : String(error)
      // The protocol has one code for what cannot be served as it is configured.
      const isFull = error instanceof EngineError && error.code === 'quota_exceeded'
      return { state: 'failed', message, ...(isFull ? { code: error.code } : {}) }
    }
  }
}

function placeOfTrigger({ id, worker, grant }: TriggerBinding): string {
  return placeFor({ realm: grant.realm, ...(worker === undefined ? {} : { worker }) }, id)
}

/** The id under which a provider is told of a trigger: one of the installation has those of several realms, too. */
export function wireIdFor(provider: Connection, trigger: TriggerBinding): string {
  const isForeign = provider.grant.worker !== undefined && trigger.worker === undefined
  return isForeign ? placeOfTrigger(trigger) : trigger.id
}
