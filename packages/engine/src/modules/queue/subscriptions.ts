import { EngineError, type ErrorBody } from '@agentos/protocol'
import type { BuiltinCall, BuiltinTriggerType, ModuleHost, TriggerBinding } from '../../core/module.ts'
import type { StoreRecord, StoreWrite } from '../../core/ports.ts'
import { readConfig } from '../bindings.ts'
import { DiskWait } from '../disk-wait.ts'
import { Input } from '../input.ts'
import { object, STRING } from '../json-schema.ts'
import { toSubscriber } from './delivery.ts'
import { type Binder, isBy, type QueueId } from './job.ts'
import type { Consumer } from './job-queue.ts'
import { type QueueSettings, SUBSCRIBER_CONFIG, subscriberSettings } from './settings.ts'

const PARTITION = 'queue-subscriptions'
/** Realm of the subscriptions of installed workers, which hear of every realm. */
const EVERY_REALM = '*'
/** How long messages are kept for a subscriber whose connection ended and that has not come back. */
const KEPT_MS = 7 * 24 * 3_600_000
/** Subscribers that are remembered while they are away; past it those who left first are forgotten. */
const MAX_AWAY = 10_000
/** Read at a time, at a start. */
const PAGE = 1_000

type TopicQueue = Extract<QueueId, { kind: 'topic' }>

interface Stored {
  topic: string
  function_id: string
  realm: string
  queue_config: unknown
  by?: Binder
}

export interface Subscription {
  topic: string
  functionId: string
  /** A realm, or `*`. */
  realm: string
  rawConfig: unknown
  settings: QueueSettings
  /** Unknown of those that an earlier version remembered, until somebody binds them. */
  by: Binder | undefined
  bindings: { trigger: TriggerBinding; condition: string | undefined }[]
  /** Epoch milliseconds; set while nobody is bound. */
  expires?: number | undefined
}

/**
 * The `durable:subscriber` trigger type: each function subscribed to a topic has a queue of its own. A subscriber whose
 * connection ended is remembered for a week, so that what is published meanwhile waits for it; one that unregistered
 * is not.
 */
export class Subscriptions implements BuiltinTriggerType {
  readonly id = 'durable:subscriber'
  readonly description = 'Delivers each message published to a durable topic at least once'
  readonly configFormat = object({
    topic: STRING,
    'condition_function_id?': STRING,
    'queue_config?': SUBSCRIBER_CONFIG,
  })
  /** Set by the module: a subscription was bound, its queues may run. */
  onBound: (subscription: Subscription) => void = () => {}
  private readonly host: ModuleHost
  private readonly byKey = new Map<string, Subscription>()
  private readonly byTopic = new Map<string, Set<Subscription>>()
  private readonly byTrigger = new Map<TriggerBinding, Subscription>()
  /** Nobody is bound; those who left first come first. */
  private readonly away = new Set<Subscription>()
  /** What is not on disk yet, the newest of each. */
  private readonly unwritten = new Map<string, StoreWrite>()
  private readonly disk: DiskWait

  constructor(host: ModuleHost) {
    this.host = host
    this.disk = new DiskWait(host.ports, 'Durable subscriptions are not noted yet')
  }

  bind(trigger: TriggerBinding): void {
    const { topic, condition, rawConfig, settings } = readConfig(() => readSubscriber(trigger.config))
    assertTopic(topic)
    this.host.assertMayTouch('topics', topic, trigger, this.host.contextFor(trigger))
    const realm = trigger.worker === undefined ? trigger.grant.realm : EVERY_REALM
    const { functionId } = trigger
    const by: Binder = { principal: trigger.grant.principal, worker: trigger.worker }
    const known = this.byKey.get(keyOf(realm, topic, functionId))
    if (known?.by && !this.mayRebind(known.by, by, functionId)) {
      const message = `${functionId} is subscribed to ${topic} already, by somebody else; only they, the worker of the function and the owner bind it again`
      throw new EngineError('forbidden', message)
    }
    const subscription: Subscription = known ?? { topic, functionId, realm, rawConfig, settings, by, bindings: [] }
    if (!known) this.keep(subscription)
    this.away.delete(subscription)
    subscription.rawConfig = rawConfig
    subscription.settings = settings
    subscription.by = by
    subscription.expires = undefined
    subscription.bindings.push({ trigger, condition })
    this.byTrigger.set(trigger, subscription)
    // What a manifest declares stands by itself after a start.
    if (trigger.workerId !== undefined) this.remember(subscription)
    this.onBound(subscription)
  }

  unbind(trigger: TriggerBinding, left: boolean): void {
    const subscription = this.byTrigger.get(trigger)
    if (!subscription) return
    this.byTrigger.delete(trigger)
    subscription.bindings = subscription.bindings.filter((bound) => bound.trigger !== trigger)
    if (subscription.bindings.length > 0) return
    if (left) this.expire(subscription)
    else this.forget(subscription)
  }

  /** Settings of a subscription are changed by binding it again: for who bound it, the function's worker, and the owner. */
  private mayRebind(known: Binder, { principal, worker }: Binder, functionId: string): boolean {
    if (principal.kind === 'owner') return true
    if (worker !== undefined) {
      const isGone = known.worker !== undefined && !this.host.isInstalled(known.worker)
      return isGone || worker === known.worker || worker === this.host.ownerOf(functionId)?.worker
    }
    return known.worker === undefined && known.principal.kind === principal.kind && known.principal.id === principal.id
  }

  /** Is the caller who bound the subscription of a queue, or the installed worker of its function? */
  isBoundBy(queue: TopicQueue, call: Pick<BuiltinCall, 'context' | 'caller'>): boolean {
    const worker = this.host.ownerOf(queue.functionId)?.worker
    const by = this.candidates(queue)[0]?.by
    if (by !== undefined && isBy(by, call)) return true
    return worker !== undefined && isBy({ principal: call.context.principal, worker }, call)
  }

  /** Functions that hear a message of this realm. */
  subscribersOf(topic: string, realm: string): Subscription[] {
    const now = this.host.ports.clock.now()
    const found = new Map<string, Subscription>()
    for (const subscription of [...(this.byTopic.get(topic) ?? [])]) {
      if (subscription.expires !== undefined && subscription.expires <= now) this.forget(subscription)
      else if (subscription.realm === EVERY_REALM) found.set(subscription.functionId, subscription)
      else if (subscription.realm === realm && !found.has(subscription.functionId)) {
        found.set(subscription.functionId, subscription)
      }
    }
    return [...found.values()]
  }

  settingsOf(queue: TopicQueue): QueueSettings | undefined {
    return this.candidates(queue)[0]?.settings
  }

  /** How the raw config of a topic's subscribers reads, for who asks. */
  configOf(topic: string, realm: string): unknown {
    return this.subscribersOf(topic, realm)[0]?.rawConfig ?? null
  }

  consumer(queue: TopicQueue): Consumer | undefined {
    const [bound] = this.candidates(queue).flatMap(({ bindings }) => bindings)
    return bound && toSubscriber(this.host, bound.trigger, bound.condition)
  }

  topicsOf(realm: string): string[] {
    const topics = [...this.byKey.values()]
      .filter((subscription) => subscription.realm === EVERY_REALM || subscription.realm === realm)
      .map(({ topic }) => topic)
    return [...new Set(topics)]
  }

  /** Reads who was subscribed before the start; those who are not back yet have a week from now. */
  load(done: (error?: ErrorBody) => void, after?: string): void {
    const options = { limit: PAGE, ...(after === undefined ? {} : { after }) }
    this.host.ports.store.range(PARTITION, options, (records, error, next) => {
      if (error) return done(error)
      for (const record of records) this.restore(record)
      if (next === undefined) done()
      else this.load(done, next)
    })
  }

  private restore(record: StoreRecord): void {
    if (this.byKey.has(record.key)) return
    const { topic, function_id: functionId, realm, queue_config: rawConfig, by } = record.value as Stored
    const settings = subscriberSettings(rawConfig)
    const subscription: Subscription = { topic, functionId, realm, rawConfig, settings, by, bindings: [] }
    this.keep(subscription)
    if (record.expires === undefined) return this.expire(subscription)
    subscription.expires = record.expires
    this.away.add(subscription)
  }

  /** What an installed worker arranged goes before what somebody of the realm did. */
  private candidates({ realm, topic, functionId }: TopicQueue): Subscription[] {
    return [EVERY_REALM, realm]
      .map((where) => this.byKey.get(keyOf(where, topic, functionId)))
      .filter((subscription) => subscription !== undefined)
  }

  private expire(subscription: Subscription): void {
    subscription.expires = this.host.ports.clock.now() + KEPT_MS
    this.remember(subscription)
    this.away.add(subscription)
    const [first] = this.away
    if (first && this.away.size > MAX_AWAY) this.forget(first)
  }

  private keep(subscription: Subscription): void {
    const { realm, topic, functionId } = subscription
    this.byKey.set(keyOf(realm, topic, functionId), subscription)
    const others = this.byTopic.get(topic)
    if (others) others.add(subscription)
    else this.byTopic.set(topic, new Set([subscription]))
  }

  private forget(subscription: Subscription): void {
    const { realm, topic, functionId } = subscription
    const key = keyOf(realm, topic, functionId)
    this.byKey.delete(key)
    this.away.delete(subscription)
    const others = this.byTopic.get(topic)
    others?.delete(subscription)
    if (others?.size === 0) this.byTopic.delete(topic)
    this.write({ op: 'delete', partition: PARTITION, key })
  }

  private remember({ topic, functionId, realm, rawConfig, by, expires }: Subscription): void {
    const value: Stored = {
      topic,
      function_id: functionId,
      realm,
      queue_config: rawConfig ?? null,
      ...(by ? { by } : {}),
    }
    const key = keyOf(realm, topic, functionId)
    this.write({ op: 'put', partition: PARTITION, key, value, ...(expires === undefined ? {} : { expires }) })
  }

  private write(write: StoreWrite): void {
    const { key } = write
    this.unwritten.set(key, write)
    this.host.ports.store.write([write], (outcome) => {
      if (outcome.ok) this.disk.answered()
      if (this.unwritten.get(key) !== write) return
      if (outcome.ok) this.unwritten.delete(key)
      else this.disk.failed(outcome.error, () => this.unwritten.get(key) === write && this.write(write))
    })
  }

  stop(): void {
    this.disk.stop()
  }
}

export function assertTopic(topic: string): void {
  if (topic === '') throw new EngineError('topic_not_set', 'Topic is not set')
}

function keyOf(realm: string, topic: string, functionId: string): string {
  return [realm, topic, functionId].map(encodeURIComponent).join('/')
}

function readSubscriber(raw: unknown): {
  topic: string
  condition: string | undefined
  rawConfig: unknown
  settings: QueueSettings
} {
  const input = new Input('durable:subscriber', raw)
  const rawConfig = input.optionalValue('queue_config')
  return {
    topic: input.string('topic'),
    condition: input.optionalString('condition_function_id'),
    rawConfig,
    settings: subscriberSettings(rawConfig),
  }
}
