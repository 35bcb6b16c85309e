import type { CallContext } from '../core/context.ts'
import type { CallResult, ModuleHost, TriggerBinding } from '../core/module.ts'

export interface Event {
  payload: unknown
  context: CallContext
  /** Called with the payload first; only the literal `false` keeps the handler from running. */
  condition?: string
}

/**
 * Calls a trigger's function, after its condition. `done` runs once, with the failure of the condition where that failed;
 * without a result the condition said no.
 */
export function fire(
  host: ModuleHost,
  trigger: TriggerBinding,
  event: Event,
  done: (result: CallResult | undefined) => void,
): void {
  const call = (functionId: string, context: CallContext, onResult: (result: CallResult) => void) =>
    host.invoke({
      functionId,
      payload: event.payload === undefined ? undefined : { value: event.payload },
      context,
      trigger: trigger.type,
      ...(trigger.metadata === undefined ? {} : { metadata: trigger.metadata }),
      onResult,
    })
  const handle = () =>
    call(trigger.functionId, event.context, (result) => {
      if (!result.ok) logFailure(host, trigger, trigger.functionId, event.context, result)
      done(result)
    })
  const { condition } = event
  if (condition === undefined) {
    handle()
    return
  }
  // The key of an event belongs to its handler, not to the question before it.
  const { idempotencyKey: _key, ...context } = event.context
  call(condition, context, (result) => {
    if (!result.ok) {
      logFailure(host, trigger, condition, event.context, result)
      done(result)
    } else if (isFalse(result)) done(undefined)
    else handle()
  })
}

/** Did a condition say no? Only the literal `false` does. */
export function isFalse(result: CallResult & { ok: true }): boolean {
  const { payload } = result
  if (!payload) return false
  return 'value' in payload ? payload.value === false : payload.json.toString('latin1').trim() === 'false'
}

function logFailure(
  host: ModuleHost,
  trigger: TriggerBinding,
  functionId: string,
  context: CallContext,
  result: CallResult,
): void {
  if (result.ok) return
  host
    .logOf(context)
    .warn(
      { trigger: trigger.type, trigger_id: trigger.id, function_id: functionId, code: result.error.code },
      `A trigger's call failed: ${result.error.message}`,
    )
}

/** A `traceparent` with which what an event causes stays in the trace of its cause. */
export function traceparentOf(host: ModuleHost, context: CallContext): string {
  return `00-${context.traceId}-${context.parentSpanId ?? host.ports.ids.hex(8)}-01`
}

/** Takes one item after another; `step` says when it is through with its item, at once or later. */
export function inTurn<T>(items: readonly T[], step: (item: T, next: () => void) => void, done: () => void): void {
  let index = 0
  let running = false
  let advance = false
  const next = (): void => {
    advance = true
    // A step that ends at once is taken up by the loop below, not by a deeper stack.
    if (running) return
    running = true
    while (advance) {
      advance = false
      const item = items[index]
      index += 1
      if (index > items.length) done()
      else step(item as T, next)
    }
    running = false
  }
  next()
}
