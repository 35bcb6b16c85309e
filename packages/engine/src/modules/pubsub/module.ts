import { EngineError } from '@agentos/protocol'
import type { CallContext } from '../../core/context.ts'
import type { BuiltinTriggerType, EngineModule, ModuleHost, TriggerBinding } from '../../core/module.ts'
import { Bindings, hears, readConfig } from '../bindings.ts'
import { fire, traceparentOf } from '../firing.ts'
import { Input } from '../input.ts'
import { ANY, object, STRING } from '../json-schema.ts'
import { serve } from '../serve.ts'

export interface PubsubModuleOptions {
  /** How long a subscriber's function may take. @default 5 minutes */
  triggerDeadlineMs?: number
}

/** The `subscribe` trigger type: each subscriber gets each message at most once, all at the same time. */
class Subscriptions implements BuiltinTriggerType {
  readonly id = 'subscribe'
  readonly description = 'Fires for each message published to a topic'
  readonly configFormat = object({ topic: STRING })
  private readonly host: ModuleHost
  private readonly deadlineMs: number
  private readonly byTopic = new Map<string, Bindings<{ topic: string }>>()
  private readonly topics = new Map<TriggerBinding, string>()

  constructor(host: ModuleHost, deadlineMs: number) {
    this.host = host
    this.deadlineMs = deadlineMs
  }

  bind(trigger: TriggerBinding): void {
    const topic = readConfig(() => new Input('subscribe', trigger.config).string('topic'))
    assertTopic(topic)
    this.host.assertMayTouch('topics', topic, trigger, this.host.contextFor(trigger))
    const bindings = this.byTopic.get(topic) ?? new Bindings()
    this.byTopic.set(topic, bindings)
    bindings.add(trigger, { topic })
    this.topics.set(trigger, topic)
  }

  unbind(trigger: TriggerBinding): void {
    const topic = this.topics.get(trigger)
    const bindings = topic === undefined ? undefined : this.byTopic.get(topic)
    if (topic === undefined || !bindings) return
    this.topics.delete(trigger)
    bindings.remove(trigger)
    if (bindings.all().next().done) this.byTopic.delete(topic)
  }

  publish(topic: string, data: unknown, cause: CallContext): void {
    const traceparent = traceparentOf(this.host, cause)
    for (const { trigger } of [...(this.byTopic.get(topic)?.all() ?? [])]) {
      if (!hears(trigger, cause.realm)) continue
      const options = { realm: cause.realm, traceparent, deadlineMs: this.deadlineMs, cause }
      fire(this.host, trigger, { payload: data, context: this.host.contextFor(trigger, options) }, () => {})
    }
  }
}

/** `publish` and `subscribe`: at most once, to those who are there; the publisher does not wait for them. */
export function createPubsubModule(options: PubsubModuleOptions = {}): EngineModule {
  return {
    name: 'pubsub',
    start(host: ModuleHost): void {
      const subscriptions = new Subscriptions(host, options.triggerDeadlineMs ?? 300_000)
      host.registerTriggerType(subscriptions)
      serve(
        host,
        {
          id: 'publish',
          summary: 'Send a message to the subscribers of a topic',
          effects: 'write',
          request_format: object({ topic: STRING, 'data?': ANY }),
        },
        (input, call) => {
          const topic = input.string('topic')
          assertTopic(topic)
          host.assertMayTouch('topics', topic, call.caller, call.context)
          call.reply()
          subscriptions.publish(topic, input.optionalValue('data') ?? null, call.context)
        },
      )
    },
  }
}

function assertTopic(topic: string): void {
  if (topic === '') throw new EngineError('topic_not_set', 'Topic is not set')
}
