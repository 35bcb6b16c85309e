import { EngineError } from '@agentos/protocol'
import { DEFAULT_REALM } from '../core/context.ts'
import type { TriggerBinding } from '../core/module.ts'
import { placeIn } from '../core/place.ts'

export interface Bound<C> {
  trigger: TriggerBinding
  config: C
}

/**
 * The triggers of one type. An installed worker may bind the same trigger more than once, by its manifest and by each
 * of its processes: it fires once.
 */
export class Bindings<C> {
  private readonly byIdentity = new Map<string, Bound<C>[]>()
  private readonly identities = new Map<TriggerBinding, string>()

  add(trigger: TriggerBinding, config: C): void {
    const identity = identityOf(trigger, config)
    this.identities.set(trigger, identity)
    const list = this.byIdentity.get(identity)
    if (list) list.push({ trigger, config })
    else this.byIdentity.set(identity, [{ trigger, config }])
  }

  remove(trigger: TriggerBinding): void {
    const identity = this.identities.get(trigger)
    if (identity === undefined) return
    this.identities.delete(trigger)
    const left = this.byIdentity.get(identity)!.filter((bound) => bound.trigger !== trigger)
    if (left.length === 0) this.byIdentity.delete(identity)
    else this.byIdentity.set(identity, left)
  }

  /** One of each, in the order in which they were bound. */
  *all(): IterableIterator<Bound<C>> {
    for (const list of this.byIdentity.values()) if (list[0]) yield list[0]
  }
}

/**
 * What makes two bindings of an installed worker one; those of anybody else are told apart by their realms and ids. What
 * is stored under it outlives a release: the default realm is not named.
 */
export function identityOf(trigger: TriggerBinding, config: unknown): string {
  const { realm } = trigger.grant
  if (trigger.worker === undefined) {
    return realm === DEFAULT_REALM ? `id:${trigger.id}` : `realm:${placeIn(realm, trigger.id)}`
  }
  return `worker:${trigger.worker}:${trigger.functionId}:${JSON.stringify(config)}`
}

/** Installed workers hear of every realm, and handle each event within it; anybody else only of the own. */
export function hears(trigger: TriggerBinding, realm: string): boolean {
  return trigger.worker !== undefined || trigger.grant.realm === realm
}

/** Runs the reading of a trigger's config; what does not fit refuses the registration. */
export function readConfig<C>(read: () => C): C {
  try {
    return read()
  } catch (error) {
    if (!(error instanceof EngineError) || error.code !== 'deserialization_error') throw error
    throw new EngineError('trigger_registration_failed', error.message, { cause: error })
  }
}
