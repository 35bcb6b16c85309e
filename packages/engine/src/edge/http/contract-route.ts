import { EngineError, payloadJson } from '@agentos/protocol'
import type { Payload } from '../../core/module.ts'
import type { ChannelTable } from '../channels.ts'
import { hasBody, isJson, parseJson, readBody } from './body.ts'
import { callerOf, cancelWhenAbandoned, contextOf, headersOf, keyedBy, startCall } from './call.ts'
import type { HttpCore } from './core-view.ts'
import type { Exchange } from './exchange.ts'
import { buildInput, isRecord, isUntouched } from './input.ts'
import type { RouteMatch } from './routes.ts'
import type { HttpSettings } from './settings.ts'
import { serveStream } from './sse.ts'

export interface EdgeParts {
  core: HttpCore
  channels: ChannelTable
  settings: HttpSettings
  /** Deadline of a call of a guest that has none, in milliseconds. */
  guestCallMs: number
  /** Takes one of the streams' places; `undefined` where all are taken, else gives it back. */
  openStream(exchange: Exchange): (() => void) | undefined
}

const SECRET_HEADERS = new Set(['authorization', 'cookie', 'proxy-authorization'])
/** From here on the bytes of a body are passed on as they came. */
const SPLICE_BYTES = 4_096

/** Serves a contract's route: input from the request, output as the body, errors as problems. */
export async function serveContract(exchange: Exchange, match: RouteMatch, parts: EdgeParts): Promise<void> {
  const { route } = match
  const { core, settings } = parts
  if (!wantsJson(exchange)) return
  const body = await readBody(exchange, settings.bodyBytes)
  if (body === undefined) return
  const parsed = body.length === 0 ? undefined : parseJson(body)
  const schema = core.inputSchema(route.functionId, exchange.caller.realm)
  const http = {
    method: exchange.method,
    path: exchange.path,
    headers: headersOf(exchange, SECRET_HEADERS),
  }
  const context = contextOf(exchange, route, settings.callTimeoutMs)
  const caller = callerOf(exchange, route)
  const request = { functionId: route.functionId, context, http, ...(caller ? { caller } : {}), ...keyedBy(exchange) }

  if (route.stream) {
    const input = buildInput({ body: parsed, query: exchange.query, params: match.params, schema })
    // A browser's EventSource says it by its header alone.
    const listens = exchange.method === 'GET' && exchange.header('accept')?.includes('text/event-stream') === true
    if (isRecord(input) && (input.stream === true || input.stream === 'true' || listens)) {
      // Asked again under its key it is the same call, streamed or not.
      const { stream: _wish, ...asked } = input
      const keyed = keyedBy(exchange, asked)
      await serveStream(exchange, parts, (stream, onSettled) =>
        startCall(core, { ...request, ...keyed, payload: { value: { ...input, stream } } }, onSettled),
      )
      return
    }
    if (isRecord(input) && (input.stream === false || input.stream === 'false')) delete input.stream
    return answer(exchange, match, parts, { ...request, payload: { value: input } })
  }
  const payload: Payload =
    body.length >= SPLICE_BYTES && isUntouched(parsed, exchange.query, match.params)
      ? { json: body }
      : { value: buildInput({ body: parsed, query: exchange.query, params: match.params, schema }) }
  return answer(exchange, match, parts, { ...request, payload })
}

async function answer(
  exchange: Exchange,
  { route }: RouteMatch,
  { core, settings }: EdgeParts,
  request: Parameters<typeof startCall>[1],
): Promise<void> {
  const pending = startCall(core, request)
  cancelWhenAbandoned(exchange, pending, settings.abandonedMs)
  const result = await pending.result
  if (!result.ok) return exchange.problem(result.error)
  exchange.json(route.status, { text: payloadJson(result.payload) ?? 'null' })
}

/** A page of another origin can send a form to us, but not JSON: our own routes take nothing else. */
export function wantsJson(exchange: Exchange): boolean {
  const contentType = exchange.header('content-type')
  if (isJson(contentType) || (contentType === undefined && !hasBody(exchange.request))) return true
  const error = new EngineError('unsupported_media_type', 'This route takes JSON: send Content-Type: application/json')
  exchange.refuseBody(error.toBody())
  return false
}
