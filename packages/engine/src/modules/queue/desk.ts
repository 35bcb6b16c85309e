import { EngineError, type ErrorCode } from '@agentos/protocol'
import type { BuiltinCall, ModuleHost } from '../../core/module.ts'
import type { StoreOutcome } from '../../core/ports.ts'
import { AnswerSize, allWithin, answerTooLarge } from '../answer-size.ts'
import type { Input } from '../input.ts'
import type { Chosen } from './dead-letters.ts'
import { type DeadLetter, isBy } from './job.ts'
import type { JobQueue } from './job-queue.ts'
import type { Queues } from './queues.ts'
import type { QueueSettings } from './settings.ts'
import type { Subscriptions } from './subscriptions.ts'

/** `broker_type` of topics, and of named queues. */
const TOPICS = 'builtin'
const FUNCTION_QUEUE = 'function_queue'

/** Of one queue: nothing where all are. */
type IsMine = Chosen['isMine']
type Done = (count: number, failed?: StoreOutcome) => void

/** Looks at queues and handles dead letters, in the realm of the caller. */
export class QueueDesk {
  private readonly host: ModuleHost
  private readonly queues: Queues
  private readonly subscriptions: Subscriptions
  private readonly maxAnswerBytes: number

  constructor(parts: { host: ModuleHost; queues: Queues; subscriptions: Subscriptions; maxAnswerBytes: number }) {
    this.host = parts.host
    this.queues = parts.queues
    this.subscriptions = parts.subscriptions
    this.maxAnswerBytes = parts.maxAnswerBytes
  }

  redrive(input: Input, call: BuiltinCall): void {
    const queue = named(input, 'queue', 'queue_not_set', 'Queue name is not set')
    const each = (found: JobQueue, isMine: IsMine, done: Done) => found.redrive({ isMine }, done)
    this.count(queue, call, 'redrive_failed', each, (redriven) => ({ queue, redriven }))
  }

  redriveMessage(input: Input, call: BuiltinCall): void {
    const { queue, message_id } = message(input)
    const each = (found: JobQueue, isMine: IsMine, done: Done) => found.redrive({ messageId: message_id, isMine }, done)
    this.count(queue, call, 'redrive_message_failed', each, (redriven) => ({ queue, message_id, redriven }))
  }

  discardMessage(input: Input, call: BuiltinCall): void {
    const { queue, message_id } = message(input)
    const each = (found: JobQueue, isMine: IsMine, done: Done) =>
      found.dead.discard({ messageId: message_id, isMine }, done)
    this.count(queue, call, 'discard_message_failed', each, (redriven) => ({ queue, message_id, redriven }))
  }

  listTopics(input: Input, call: BuiltinCall): void {
    const prefix = input.optionalString('prefix') ?? ''
    const { realm } = call.context
    const topics = new Set(this.subscriptions.topicsOf(realm))
    for (const { id } of this.queues.all()) if (id.realm === realm && id.kind === 'topic') topics.add(id.topic)
    const rows = [...topics].sort().map((name) => ({
      name,
      broker_type: TOPICS,
      subscriber_count: this.subscriptions.subscribersOf(name, realm).length,
    }))
    const queues = [...this.queues.named].map(([name, settings]) => ({
      name,
      broker_type: FUNCTION_QUEUE,
      subscriber_count: settings.concurrency,
    }))
    const found = [...rows, ...queues].filter(({ name }) => name.startsWith(prefix) && this.mayTouch(name, call))
    const instead = 'ask for a part of them: engine::queue::list_topics {prefix}'
    call.reply(allWithin(found, this.maxAnswerBytes, 'All topics', instead))
  }

  topicStats(input: Input, call: BuiltinCall): void {
    const topic = named(input, 'topic', 'topic_required', 'Topic is required')
    const found = this.find(topic, call)
    const settings = this.queues.named.get(topic)
    call.reply({
      depth: sum(found, (queue) => queue.depth),
      consumer_count: settings
        ? settings.concurrency
        : this.subscriptions
            .subscribersOf(topic, call.context.realm)
            .reduce((count, { bindings }) => count + bindings.length, 0),
      dlq_depth: sum(found, (queue) => queue.dead.size),
      config: settings ? inConfigWords(settings) : this.subscriptions.configOf(topic, call.context.realm),
    })
  }

  dlqTopics(input: Input, call: BuiltinCall): void {
    const prefix = input.optionalString('prefix') ?? ''
    const rows = this.queues
      .all()
      .filter(({ id, name, dead }) => id.realm === call.context.realm && name.startsWith(prefix) && dead.size > 0)
      .filter(({ id }) => this.mayTouch(id.kind === 'named' ? id.name : id.topic, call))
      .map(({ id, name, dead }) => ({
        topic: name,
        broker_type: id.kind === 'named' ? FUNCTION_QUEUE : TOPICS,
        message_count: dead.size,
      }))
    rows.sort((a, b) => (a.topic < b.topic ? -1 : 1))
    const instead = 'ask for a part of them: engine::queue::dlq_topics {prefix}'
    call.reply(allWithin(rows, this.maxAnswerBytes, 'All topics with dead letters', instead))
  }

  dlqMessages(input: Input, call: BuiltinCall): void {
    const topic = named(input, 'topic', 'topic_required', 'Topic is required')
    let offset = input.optionalInteger('offset', { min: 0, max: Number.MAX_SAFE_INTEGER }) ?? 0
    const limit = input.optionalInteger('limit', { min: 0, max: 1_000 }) ?? 50
    const rows: object[] = []
    const size = new AnswerSize(this.maxAnswerBytes)
    for (const [{ dead }, isMine] of this.mine(topic, call)) {
      for (const letter of dead.list(offset, limit - rows.length, isMine)) {
        const row = rowOf(letter)
        // The protocol has a bare list, which cannot say that it ends early.
        if (!size.takes(row)) {
          const instead = `ask for fewer: engine::queue::dlq_messages {topic, offset, limit}, with a limit up to ${rows.length}`
          throw answerTooLarge(`These dead letters of '${topic}'`, size.maxBytes, instead)
        }
        rows.push(row)
      }
      offset = Math.max(0, offset - dead.count(isMine))
    }
    call.reply(rows)
  }

  private count(
    queue: string,
    call: BuiltinCall,
    failure: string,
    each: (queue: JobQueue, isMine: IsMine, done: Done) => void,
    answer: (count: number) => object,
  ): void {
    const found = this.mine(queue, call)
    let left = found.length
    let total = 0
    let failed: StoreOutcome | undefined
    if (left === 0) return call.reply(answer(0))
    for (const [one, isMine] of found) {
      each(one, isMine, (count, error) => {
        total += count
        failed ??= error
        left -= 1
        if (left > 0) return
        if (failed && !failed.ok) call.fail(failure, `${total} were moved, the others stay: ${failed.error.message}`)
        else call.reply(answer(total))
      })
    }
  }

  /** Queues that the caller means. Throws `forbidden` where another worker owns one. */
  private find(name: string, call: BuiltinCall): JobQueue[] {
    this.host.assertMayTouch('topics', name, call.caller, call.context)
    const found = this.queues.matching(call.context.realm, name)
    for (const { id } of found) {
      if (id.kind === 'topic') this.host.assertMayTouch('topics', id.topic, call.caller, call.context)
    }
    return found
  }

  /**
   * Those of the queues whose dead letters the caller handles, each with which of them: the owner all, who bound a
   * subscription those of that, everybody those of a named queue that he put there. Throws `forbidden` where none is his.
   */
  private mine(name: string, call: BuiltinCall): [JobQueue, IsMine][] {
    const found = this.find(name, call)
    if (call.context.principal.kind === 'owner') return found.map((queue) => [queue, undefined])
    const mine = found.flatMap((queue): [JobQueue, IsMine][] => {
      const { id } = queue
      if (id.kind === 'named') return [[queue, ({ by }) => isBy(by, call)]]
      return this.subscriptions.isBoundBy(id, call) ? [[queue, undefined]] : []
    })
    if (found.length === 0 || mine.length > 0) return mine
    const message = `The dead letters of ${name} are for who bound the subscription, and for the owner; use the owner token`
    throw new EngineError('forbidden', message)
  }

  private mayTouch(name: string, call: BuiltinCall): boolean {
    try {
      this.host.assertMayTouch('topics', name, call.caller, call.context)
      return true
    } catch (error) {
      if (error instanceof EngineError) return false
      throw error
    }
  }
}

function rowOf({ job, error, failed_at }: DeadLetter): object {
  return {
    id: job.id,
    payload: job.data,
    error,
    failed_at: Math.floor(failed_at / 1_000),
    retries: job.attempts_made,
    size_bytes: Buffer.byteLength(JSON.stringify(job.data)),
  }
}

function named(input: Input, field: string, code: ErrorCode, text: string): string {
  const name = input.optionalString(field) ?? ''
  if (name === '') throw new EngineError(code, text)
  return name
}

/** As config.yaml writes it. */
function inConfigWords(settings: QueueSettings): object {
  const { fifo, groupField, maxAttempts, concurrency, backoffMs, leaseMs, maxDepth } = settings
  return {
    type: fifo ? 'fifo' : 'standard',
    ...(groupField === undefined ? {} : { message_group_field: groupField }),
    max_retries: maxAttempts,
    concurrency,
    backoff_ms: backoffMs,
    visibility_timeout_ms: leaseMs,
    max_depth: maxDepth,
  }
}

function message(input: Input): { queue: string; message_id: string } {
  const queue = named(input, 'queue', 'queue_not_set', 'Queue name is not set')
  return { queue, message_id: named(input, 'message_id', 'message_id_not_set', 'Message id is not set') }
}

function sum(queues: JobQueue[], of: (queue: JobQueue) => number): number {
  return queues.reduce((total, queue) => total + of(queue), 0)
}
