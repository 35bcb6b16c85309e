import type { Call } from './call.ts'
import type { CallResult } from './module.ts'
import type { Ports } from './ports.ts'
import type { Span } from './spans.ts'

/** The span of a call, from its acceptance to its result. */
export function callSpan(call: Call, result: CallResult, { clock }: Ports): Span {
  const { context, functionId, trigger } = call.request
  const attributes: Span['attributes'] = {
    function_id: functionId,
    principal: `${context.principal.kind}:${context.principal.id}`,
  }
  if (context.session !== undefined) attributes.session = context.session
  if (trigger !== undefined) attributes.trigger = trigger
  if (call.attempt.number > 1) attributes.attempts = call.attempt.number
  const span: Span = {
    traceId: context.traceId,
    spanId: call.spanId,
    name: functionId,
    kind: trigger === undefined ? 'call' : 'trigger',
    startMs: call.startedAt,
    endMs: clock.precise(),
    status: result.ok ? 'ok' : 'error',
    service: serviceOf(call),
    realm: context.realm,
    attributes,
  }
  if (context.parentSpanId !== undefined) span.parentSpanId = context.parentSpanId
  if (!result.ok) span.statusMessage = `${result.error.code}: ${result.error.message}`
  return span
}

/** An attempt of a call that had several, below the call in its trace. */
export function attemptSpan(call: Call, result: CallResult, { clock, ids }: Ports): Span {
  const { attempt, context, request } = call
  const span: Span = {
    traceId: context.traceId,
    // The first one was sent as the call itself.
    spanId: attempt.number > 1 ? attempt.spanId : ids.hex(8),
    parentSpanId: call.spanId,
    name: `${request.functionId} attempt ${attempt.number}`,
    kind: 'worker',
    startMs: attempt.startedAt,
    endMs: clock.precise(),
    status: result.ok ? 'ok' : 'error',
    service: serviceOf(call),
    realm: context.realm,
    attributes: { function_id: request.functionId, attempt: attempt.number },
  }
  if (!result.ok) span.statusMessage = `${result.error.code}: ${result.error.message}`
  return span
}

function serviceOf({ executor }: Call): string {
  return executor?.connection.grant.worker ?? executor?.connection.metadata.name ?? 'engine'
}
