import { EngineError } from '@agentos/protocol'
import type { CallContext } from '../../core/context.ts'
import { isOfGuests } from '../../core/guest-share.ts'
import type { BuiltinCall, CallResult, EnqueueRequest, ModuleHost, Payload } from '../../core/module.ts'
import type { StoreOutcome } from '../../core/ports.ts'
import type { Input } from '../input.ts'
import { guarded } from '../serve.ts'
import type { Queues } from './queues.ts'
import { assertTopic, type Subscriptions } from './subscriptions.ts'

/** Puts calls into named queues and messages into the queues of their subscribers; both answer when it is durable. */
export class Intake {
  private readonly host: ModuleHost
  private readonly queues: Queues
  private readonly subscriptions: Subscriptions
  private readonly maxDataBytes: number

  constructor(parts: { host: ModuleHost; queues: Queues; subscriptions: Subscriptions; maxDataBytes: number }) {
    this.host = parts.host
    this.queues = parts.queues
    this.subscriptions = parts.subscriptions
    this.maxDataBytes = parts.maxDataBytes
  }

  enqueue(request: EnqueueRequest): void {
    const { queue: name, context, caller, functionId } = request
    if (!this.queues.named.has(name)) throw new EngineError('enqueue_error', `Queue '${name}' not found`)
    this.host.assertMayTouch('topics', name, caller, context)
    const data = this.read(request.payload)
    this.queues.whenLoaded(() => {
      const id = this.host.ports.ids.uuid()
      const { worker } = caller
      const job = { id, functionId, data, context, ...(worker === undefined ? {} : { worker }) }
      try {
        const queue = this.queues.get({ realm: context.realm, kind: 'named', name })
        if (isOfGuests(context) && queue.isNew(job)) this.assertRoomOfGuests(context, sizeOf(data))
        queue.add(job, (outcome, messageReceiptId) => {
          request.onResult(outcome.ok ? { ok: true, payload: { value: { messageReceiptId } } } : outcome)
        })
      } catch (error) {
        request.onResult(refusal(error))
      }
    })
  }

  publish(input: Input, call: BuiltinCall): void {
    const topic = input.string('topic')
    assertTopic(topic)
    const { context, caller } = call
    this.host.assertMayTouch('topics', topic, caller, context)
    const data = input.optionalValue('data') ?? null
    const bytes = this.assertSize(JSON.stringify(data))
    this.queues.whenLoaded(() =>
      guarded(this.host, call, () => {
        const jobs = this.subscriptions.subscribersOf(topic, context.realm).map(({ functionId }) => ({
          queue: this.queues.get({ realm: context.realm, kind: 'topic', topic, functionId }),
          // With the key of the message: one that was cut off by a crash is taken by those who do not have it yet.
          job: { id: this.host.ports.ids.uuid(), functionId, data, context },
        }))
        // All or none, as far as that can be known beforehand.
        const added = jobs.filter(({ queue, job }) => queue.isNew(job)).length
        this.assertRoomOfGuests(context, added * bytes)
        let left = jobs.length
        let failed: (StoreOutcome & { ok: false }) | undefined
        if (left === 0) return call.reply()
        for (const { queue, job } of jobs) {
          queue.add(job, (outcome) => {
            if (!outcome.ok) failed = outcome
            left -= 1
            if (left > 0) return
            if (failed) call.fail(failed.error.code, failed.error.message, failed.error.details)
            else call.reply()
          })
        }
      }),
    )
  }

  private read(payload: Payload | undefined): unknown {
    if (!payload) return null
    const text = 'value' in payload ? JSON.stringify(payload.value) : payload.json.toString('utf8')
    this.assertSize(text)
    if ('value' in payload) return payload.value
    try {
      return JSON.parse(text ?? 'null')
    } catch (error) {
      throw new EngineError('enqueue_error', 'The data is not valid JSON', { cause: error })
    }
  }

  /** Dead letters of guests may have expired unnoticed: that is looked at before anything is refused. */
  private assertRoomOfGuests(context: CallContext, bytes: number): void {
    const { guestShare } = this.host
    const isFull = (): boolean => guestShare.heldOf('queued_bytes') + bytes > guestShare.limits.queued_bytes
    if (!isOfGuests(context) || bytes === 0 || !isFull()) return
    for (const { dead } of this.queues.all()) dead.prune()
    if (isFull()) throw guestShare.refusal('queued_bytes')
  }

  private assertSize(json: string | undefined): number {
    const bytes = Buffer.byteLength(json ?? 'null')
    if (bytes <= this.maxDataBytes) return bytes
    throw new EngineError('payload_too_large', `The data has ${bytes} bytes; a job takes ${this.maxDataBytes}`)
  }
}

function sizeOf(data: unknown): number {
  return Buffer.byteLength(JSON.stringify(data) ?? '')
}

function refusal(error: unknown): CallResult {
  if (error instanceof EngineError) return { ok: false, error: error.toBody() }
  return { ok: false, error: { code: 'internal', message: error instanceof Error ? error.message : String(error) } }
}
