import type { CallContext } from '../../core/context.ts'
import { assertKey } from '../../core/keys.ts'
import type { CallHandle, CallResult, InvokeRequest } from '../../core/module.ts'
import { GUEST } from '../tokens.ts'
import type { HttpCore } from './core-view.ts'
import type { Exchange } from './exchange.ts'
import type { Route } from './routes.ts'

/** A call in flight: its result as a promise, and as soon as it is there as a value. */
export interface PendingCall {
  readonly handle: CallHandle
  readonly result: Promise<CallResult>
  readonly settled: CallResult | undefined
}

export function startCall(
  core: HttpCore,
  request: Omit<InvokeRequest, 'onResult'>,
  onSettled: () => void = () => {},
): PendingCall {
  let settled: CallResult | undefined
  const { promise, resolve } = Promise.withResolvers<CallResult>()
  const handle = core.invoke({
    ...request,
    onResult(result) {
      settled = result
      resolve(result)
      onSettled()
    },
  })
  return {
    handle,
    result: promise,
    get settled() {
      return settled
    },
  }
}

const KEY_HEADER = 'idempotency-key'

/**
 * The context of a call that comes in over HTTP. What a client bound runs in the realm where it was bound, and what a guest
 * bound with a guest's authority, whoever calls: its handler is not to act as the owner because the owner asked it something.
 */
export function contextOf(exchange: Exchange, route: Route | undefined, deadlineMs?: number): CallContext {
  const { caller } = exchange
  const grant = route?.owner === undefined ? route?.trigger?.grant : undefined
  const key = exchange.header(KEY_HEADER)
  assertKey(key)
  const baggage = exchange.header('baggage')
  return {
    realm: grant?.realm ?? caller.realm,
    principal: grant?.principal.kind === 'guest' ? GUEST.principal : caller.principal,
    traceId: exchange.traceId,
    parentSpanId: exchange.spanId,
    ...(deadlineMs === undefined ? {} : { deadline: exchange.ports.clock.monotonic() + deadlineMs }),
    ...(baggage ? { baggage } : {}),
    ...(key ? { idempotencyKey: key } : {}),
  }
}

/** Marks the call of a request with an idempotency key: its result is recorded. `input` is what the client sent. */
export function keyedBy(exchange: Exchange, input?: object): Pick<InvokeRequest, 'keyed'> {
  if (!exchange.header(KEY_HEADER)) return {}
  return { keyed: input === undefined ? {} : { input } }
}

export function callerOf(exchange: Exchange, route: Route | undefined): { worker: string } | undefined {
  const { worker } = exchange.caller
  return worker === undefined || (route?.trigger && route.owner === undefined) ? undefined : { worker }
}

/** Cancels a call some time after its caller went away, unless it carries an idempotency key: then it is finished for
 * whoever asks again. */
export function cancelWhenAbandoned(exchange: Exchange, pending: PendingCall, afterMs: number): void {
  if (exchange.header(KEY_HEADER)) return
  const { timers } = exchange.ports
  const onClose = (): void => {
    if (pending.settled || !exchange.abandoned) return
    const timer = timers.set(afterMs, () => {
      if (!pending.settled) pending.handle.cancel('The client went away')
    })
    void pending.result.then(() => timers.clear(timer))
  }
  // It may have left while its body was read, or middleware was asked.
  if (exchange.response.closed) onClose()
  else exchange.response.once('close', onClose)
}

/** Headers as a handler sees them: lower-case, one value each, without what lets its holder in. */
export function headersOf(exchange: Exchange, drop: ReadonlySet<string>): Record<string, string> {
  const headers: Record<string, string> = {}
  for (const name of Object.keys(exchange.request.headers)) {
    if (!drop.has(name)) headers[name] = exchange.header(name) ?? ''
  }
  return headers
}
