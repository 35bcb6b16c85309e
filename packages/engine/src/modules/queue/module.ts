import type { BuiltinFunction, EngineModule, ModuleHost } from '../../core/module.ts'
import { ANSWER_BYTES } from '../answer-size.ts'
import { ANY, arrayOf, integer, object, STRING } from '../json-schema.ts'
import { serve } from '../serve.ts'
import { QueueDesk } from './desk.ts'
import { Intake } from './intake.ts'
import { Queues } from './queues.ts'
import { DEFAULT_SETTINGS, type QueueSettings } from './settings.ts'
import { Subscriptions } from './subscriptions.ts'

export interface QueueModuleOptions {
  /** Named queues, by name. @default only `default` */
  queues?: ReadonlyMap<string, QueueSettings>
  /** Bytes of a job's data as JSON; past it `payload_too_large`. @default 4 MiB */
  maxDataBytes?: number
  /** Bytes of an answer that grows with what is stored; past it `payload_too_large`. @default 8 MiB */
  maxAnswerBytes?: number
}

const MESSAGE = { queue: STRING, message_id: STRING }
const READ: Pick<BuiltinFunction, 'effects' | 'idempotent'> = { effects: 'read', idempotent: true }
/** A dead letter that was moved is one no more: a second time moves what is left. */
const HARMLESS: Pick<BuiltinFunction, 'effects' | 'idempotent'> = { effects: 'write', idempotent: true }

/**
 * Topics with durable subscribers, and named queues: at least once, in order per group, with retries, dead letters and
 * redrive. Each realm has queues of its own.
 */
export function createQueueModule(
  options: QueueModuleOptions = {},
): EngineModule & { counts(): { depth: number; dead: number } } {
  let started: Queues | undefined
  return {
    name: 'queue',
    start(host: ModuleHost): void {
      const subscriptions = new Subscriptions(host)
      const named = new Map([['default', DEFAULT_SETTINGS], ...(options.queues ?? [])])
      const queues = new Queues(host, named, subscriptions)
      started = queues
      subscriptions.onBound = ({ topic, functionId }) => {
        for (const queue of queues.all()) {
          const { id } = queue
          if (id.kind !== 'topic' || id.topic !== topic || id.functionId !== functionId) continue
          queue.settings = subscriptions.settingsOf(id) ?? queue.settings
          queue.pump()
        }
      }
      const maxDataBytes = options.maxDataBytes ?? 4 * 1024 * 1024
      const intake = new Intake({ host, queues, subscriptions, maxDataBytes })
      const { maxAnswerBytes = ANSWER_BYTES } = options
      const desk = new QueueDesk({ host, queues, subscriptions, maxAnswerBytes })
      host.registerTriggerType(subscriptions)
      host.onEnqueue((request) => intake.enqueue(request))
      queues.load()
      serve(
        host,
        {
          id: 'iii::durable::publish',
          summary: 'Send a message to the durable subscribers of a topic; each gets it at least once',
          effects: 'write',
          keyed: true,
          request_format: object({ topic: STRING, 'data?': ANY }),
        },
        (input, call) => intake.publish(input, call),
      )
      serve(
        host,
        {
          id: 'iii::queue::redrive',
          summary: 'Put all dead letters of a queue back into it',
          ...HARMLESS,
          request_format: object({ queue: STRING }),
          response_format: object({ queue: STRING, redriven: integer(0) }),
        },
        (input, call) => desk.redrive(input, call),
      )
      serve(
        host,
        {
          id: 'iii::queue::redrive_message',
          summary: 'Put one dead letter back into its queue',
          ...HARMLESS,
          request_format: object(MESSAGE),
          response_format: object({ ...MESSAGE, redriven: integer(0, 1) }),
        },
        (input, call) => desk.redriveMessage(input, call),
      )
      serve(
        host,
        {
          id: 'iii::queue::discard_message',
          summary: 'Delete one dead letter',
          ...HARMLESS,
          request_format: object(MESSAGE),
          response_format: object({ ...MESSAGE, redriven: integer(0, 1) }),
        },
        (input, call) => desk.discardMessage(input, call),
      )
      serve(
        host,
        {
          id: 'engine::queue::list_topics',
          summary: 'Durable topics and named queues',
          ...READ,
          request_format: object({ 'prefix?': STRING }),
          response_format: arrayOf(object({ name: STRING, broker_type: STRING, subscriber_count: integer(0) })),
        },
        (input, call) => desk.listTopics(input, call),
      )
      serve(
        host,
        {
          id: 'engine::queue::topic_stats',
          summary: 'How many jobs and dead letters a topic or queue holds',
          ...READ,
          request_format: object({ topic: STRING }),
          response_format: object({
            depth: integer(0),
            consumer_count: integer(0),
            dlq_depth: integer(0),
            config: ANY,
          }),
        },
        (input, call) => desk.topicStats(input, call),
      )
      serve(
        host,
        {
          id: 'engine::queue::dlq_topics',
          summary: 'Topics and queues that hold dead letters',
          ...READ,
          request_format: object({ 'prefix?': STRING }),
          response_format: arrayOf(object({ topic: STRING, broker_type: STRING, message_count: integer(0) })),
        },
        (input, call) => desk.dlqTopics(input, call),
      )
      serve(
        host,
        {
          id: 'engine::queue::dlq_messages',
          summary: 'Dead letters of a topic or queue, oldest first',
          ...READ,
          request_format: object({ topic: STRING, 'offset?': integer(0), 'limit?': integer(0, 1_000) }),
          response_format: arrayOf(
            object({
              id: STRING,
              payload: ANY,
              error: STRING,
              failed_at: integer(0),
              retries: integer(0),
              size_bytes: integer(0),
            }),
          ),
        },
        (input, call) => desk.dlqMessages(input, call),
      )
    },
    /** Of all realms. */
    counts() {
      const queues = started?.all() ?? []
      return {
        depth: queues.reduce((sum, { depth }) => sum + depth, 0),
        dead: queues.reduce((sum, { dead }) => sum + dead.size, 0),
      }
    },
    stop(): void {
      started?.stop()
    },
  }
}
