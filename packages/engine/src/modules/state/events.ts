import type { CallContext } from '../../core/context.ts'
import type { BuiltinTriggerType, ModuleHost } from '../../core/module.ts'
import { Bindings, type Bound, hears, readConfig } from '../bindings.ts'
import { fire, inTurn, traceparentOf } from '../firing.ts'
import { Input } from '../input.ts'
import { object, STRING } from '../json-schema.ts'

/** What happened to a key, as the protocol's `state` triggers tell it. */
export interface StateEvent {
  type: 'state'
  event_type: 'state:created' | 'state:updated' | 'state:deleted'
  scope: string
  key: string
  old_value: unknown
  new_value: unknown
}

interface StateConfig {
  scope?: string
  key?: string
  condition?: string
}

/** Events that may be under way at once; beyond it they are dropped and counted in the log. */
const MAX_UNDER_WAY = 10_000

/** The `state` trigger type: tells of writes after they are durable, the triggers of one event one after another. */
export class StateEvents implements BuiltinTriggerType {
  readonly id = 'state'
  readonly description = 'Fires after a state value was created, updated or deleted'
  readonly configFormat = object({ 'scope?': STRING, 'key?': STRING, 'condition_function_id?': STRING })
  private readonly host: ModuleHost
  private readonly deadlineMs: number
  private readonly bindings = new Bindings<StateConfig>()
  private underWay = 0

  constructor(host: ModuleHost, options: { deadlineMs: number }) {
    this.host = host
    this.deadlineMs = options.deadlineMs
  }

  bind(trigger: Bound<StateConfig>['trigger']): void {
    const config = readConfig(() => readStateConfig(trigger.config))
    if (config.scope !== undefined) {
      this.host.assertMayTouch('scopes', config.scope, trigger, this.host.contextFor(trigger))
    }
    this.bindings.add(trigger, config)
  }

  unbind(trigger: Bound<StateConfig>['trigger']): void {
    this.bindings.remove(trigger)
  }

  /** Tells of a write that was made under `cause`. */
  publish(event: StateEvent, cause: CallContext): void {
    const matching = [...this.bindings.all()].filter((bound) => this.matches(bound, event, cause))
    if (matching.length === 0) return
    if (this.underWay >= MAX_UNDER_WAY) {
      const about = { scope: event.scope, key: event.key }
      this.host.logOf(cause).warn(about, 'Dropped a state event: too many are under way')
      return
    }
    this.underWay += 1
    const traceparent = traceparentOf(this.host, cause)
    inTurn(
      matching,
      ({ trigger, config }, next) => {
        const options = { realm: cause.realm, traceparent, deadlineMs: this.deadlineMs, cause }
        const context = this.host.contextFor(trigger, options)
        const { condition } = config
        fire(this.host, trigger, { payload: event, context, ...(condition ? { condition } : {}) }, next)
      },
      () => {
        this.underWay -= 1
      },
    )
  }

  private matches({ trigger, config }: Bound<StateConfig>, event: StateEvent, cause: CallContext): boolean {
    if (config.scope !== undefined && config.scope !== event.scope) return false
    if (config.key !== undefined && config.key !== event.key) return false
    if (!hears(trigger, cause.realm)) return false
    if (config.scope !== undefined) return true
    try {
      // A trigger on every scope hears only of those that its registrant may read.
      this.host.assertMayTouch('scopes', event.scope, trigger, cause)
      return true
    } catch {
      return false
    }
  }
}

function readStateConfig(raw: unknown): StateConfig {
  const input = new Input('state', raw)
  const scope = input.optionalString('scope')
  const key = input.optionalString('key')
  const condition = input.optionalString('condition_function_id')
  return {
    ...(scope === undefined ? {} : { scope }),
    ...(key === undefined ? {} : { key }),
    ...(condition === undefined ? {} : { condition }),
  }
}
