import { isWider } from '../../core/authority.ts'
import type { CallContext } from '../../core/context.ts'
import type { CallerIdentity, CallResult, ModuleHost, TriggerBinding } from '../../core/module.ts'
import { isFalse } from '../firing.ts'
import type { Attempt, Consumer } from './job-queue.ts'

/** Calls the function that a job names, with the authority under which it was put into the queue. */
export function toNamedFunction(host: ModuleHost): Consumer {
  return (attempt) => {
    const { worker, function_id: functionId } = attempt.job
    if (worker !== undefined && !host.isInstalled(worker)) {
      const message = `The worker ${worker}, which put this job into the queue, is no longer installed`
      return attempt.done({ ok: false, error: { code: 'forbidden', message } })
    }
    const caller = worker === undefined ? {} : { worker }
    const how = { functionId, context: attempt.context, caller, trigger: 'queue' }
    invoke(host, attempt, { ...how, onSent: attempt.onSent, onResult: attempt.done })
  }
}

/**
 * Calls the function of a subscriber, after its condition. It runs in the publisher's context, with no more authority
 * than who bound it has.
 */
export function toSubscriber(host: ModuleHost, trigger: TriggerBinding, condition: string | undefined): Consumer {
  return (attempt) => {
    const { principal } = trigger.grant
    const context = isWider(attempt.context.principal, principal) ? { ...attempt.context, principal } : attempt.context
    const caller = trigger.worker === undefined ? {} : { worker: trigger.worker }
    const how = { caller, trigger: trigger.type }
    const handle = (): void =>
      invoke(host, attempt, {
        ...how,
        functionId: trigger.functionId,
        context,
        onSent: attempt.onSent,
        onResult: attempt.done,
      })
    if (condition === undefined) return handle()
    // The key of a message belongs to its handler, not to the question before it.
    const { idempotencyKey: _key, ...asking } = context
    invoke(host, attempt, {
      ...how,
      functionId: condition,
      context: asking,
      onResult: (result) => {
        if (!result.ok) attempt.done(result)
        else if (isFalse(result)) attempt.done({ ok: true, payload: undefined })
        else handle()
      },
    })
  }
}

function invoke(
  host: ModuleHost,
  attempt: Attempt,
  call: {
    functionId: string
    context: CallContext
    caller: CallerIdentity
    trigger: string
    onSent?: () => void
    onResult: (result: CallResult) => void
  },
): void {
  const handover = { losses: attempt.job.losses ?? 0 }
  host.invoke({ ...call, handover, payload: { value: attempt.job.data } })
}
