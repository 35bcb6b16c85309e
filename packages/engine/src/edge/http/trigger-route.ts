import { type ErrorBody, errorInfo, isOpenAiPath, payloadValue } from '@agentos/protocol'
import { isOfGuests } from '../../core/guest-share.ts'
import type { CallResult } from '../../core/module.ts'
import type { LocalReader, LocalWriter } from '../channels.ts'
import { SESSION_COOKIE, sessionTokens } from '../session.ts'
import { apiRequest, type ParsedBody, queryOf } from './api-request.ts'
import { applyControl, bufferedResponse, newHead, type ResponseHead } from './api-response.ts'
import { hasBody, isTooLong, NotJson, parseJson, readBody, tooLarge } from './body.ts'
import { callerOf, cancelWhenAbandoned, contextOf, headersOf, type PendingCall, startCall } from './call.ts'
import type { EdgeParts } from './contract-route.ts'
import { drained, Signal } from './drain.ts'
import type { Exchange } from './exchange.ts'
import type { RouteMatch } from './routes.ts'

/**
 * Serves a route with the protocol's request and response objects: an `http` trigger, or a contract that asked for it.
 * Order: global middleware, body, condition, the route's middleware, handler.
 */
export async function serveTrigger(exchange: Exchange, match: RouteMatch, parts: EdgeParts): Promise<void> {
  const { route } = match
  const { channels, settings } = parts
  const headers = handlerHeaders(exchange)
  const allowed = { path_params: match.params, query_params: queryOf(exchange.query), headers, method: route.method }
  if (!(await passMiddleware(exchange, match, parts, settings.middleware, allowed))) return

  const requestBody = channels.create({ pinned: true })
  const response = channels.create({ pinned: true })
  const reader = channels.openReader(response.reader)
  try {
    // Foreign handlers get null for what is no JSON, as the protocol has it; clients of OpenAI's API hear what is wrong.
    const strict = route.kind === 'raw' && isOpenAiPath(exchange.path)
    const body = await takeBody(exchange, parts, channels.openWriter(requestBody.writer), strict)
    if (!body) return
    // Those of a body that was packed are gone by now, as it is plain.
    const payload = apiRequest(match, exchange.query, handlerHeaders(exchange), body.json, {
      requestBody: requestBody.reader,
      response: response.writer,
    })
    const caller = callerOf(exchange, route)
    const trigger = route.kind === 'trigger' ? { trigger: 'http' } : {}
    const metadata = route.trigger?.metadata === undefined ? {} : { metadata: route.trigger.metadata }
    const request = { payload, ...(caller ? { caller } : {}), ...trigger, ...metadata }
    if (route.condition !== undefined) {
      const context = contextOf(exchange, route, settings.defaultTimeoutMs)
      const verdict = await startCall(parts.core, { ...request, functionId: route.condition, context }).result
      if (!verdict.ok) return failTrigger(exchange, match, verdict.error)
      if (payloadValue(verdict.payload) === false) {
        const error = { code: 'CONDITION_NOT_MET', message: 'Request condition not met' }
        return exchange.problem(error, { members: { error, skipped: true } })
      }
    }
    if (!(await passMiddleware(exchange, match, parts, route.middleware, allowed))) return
    // A trigger's handler may run on after the head was due; a contract's call has a deadline as any other.
    const deadline = route.kind === 'raw' ? settings.callTimeoutMs : undefined
    const signal = new Signal()
    const context = contextOf(exchange, route, deadline)
    if (deadline === undefined && isOfGuests(context)) {
      context.deadline = exchange.ports.clock.monotonic() + parts.guestCallMs
    }
    const pending = startCall(parts.core, { ...request, functionId: route.functionId, context }, signal.raise)
    if (route.kind === 'raw') cancelWhenAbandoned(exchange, pending, settings.abandonedMs)
    await respond(exchange, match, parts, { reader, pending, signal })
  } finally {
    reader.close()
    channels.remove(requestBody.reader)
    channels.remove(response.reader)
  }
}

interface Answer {
  reader: LocalReader
  pending: PendingCall
  signal: Signal
}

/** Waits for the head of the answer, buffered or streamed, whichever comes first; channel items go before results. */
async function respond(exchange: Exchange, match: RouteMatch, parts: EdgeParts, answer: Answer): Promise<void> {
  const { reader, pending, signal } = answer
  const { settings } = parts
  const { timers } = exchange.ports
  const head = newHead()
  let late = false
  const timer = timers.set(match.route.kind === 'raw' ? settings.callTimeoutMs : settings.defaultTimeoutMs, () => {
    late = true
    signal.raise()
  })
  reader.onReadable(signal.raise)
  exchange.response.once('close', signal.raise)
  try {
    for (;;) {
      for (let item = reader.next(); item; item = reader.next()) {
        if (item.binary) {
          timers.clear(timer)
          return await streamBody(exchange, match, parts, head, item.data, reader, signal)
        }
        applyControl(head, item.data.toString('utf8'))
      }
      if (reader.drained && !reader.broken) return sendHead(exchange, match, head, '')
      if (exchange.response.closed) return
      const value = finishedWith(pending.settled)
      if (value?.error) return failTrigger(exchange, match, value.error)
      if (value?.result !== undefined) {
        const buffered = bufferedResponse(value.result)
        return sendHead(exchange, match, buffered.head, buffered.body)
      }
      if (late) {
        const message = `${match.route.functionId} gave no answer in time`
        return failTrigger(exchange, match, { code: 'deadline_exceeded', message })
      }
      await signal.wait()
    }
  } finally {
    timers.clear(timer)
  }
}

/** A result without a value ends nothing: the answer comes through the channel. */
function finishedWith(result: CallResult | undefined): { error?: ErrorBody; result?: unknown } | undefined {
  if (!result) return undefined
  if (!result.ok) return { error: result.error }
  const value = payloadValue(result.payload)
  return value === null || value === undefined ? undefined : { result: value }
}

async function streamBody(
  exchange: Exchange,
  match: RouteMatch,
  parts: EdgeParts,
  head: ResponseHead,
  first: Buffer,
  reader: LocalReader,
  signal: Signal,
): Promise<void> {
  const { response, ports } = exchange
  const release = parts.openStream(exchange)
  if (!release) return
  try {
    response.writeHead(head.status, headersFor(match, head))
    let chunk: Buffer | undefined = first
    for (;;) {
      for (; chunk; chunk = nextBinary(reader)) {
        if (response.write(chunk)) continue
        const outcome = await drained(response, ports.timers, parts.settings.slowReaderMs)
        if (outcome === 'stalled') {
          exchange.errorCode = 'overloaded'
          response.destroy()
        }
        if (outcome !== 'drained') return
      }
      if (reader.drained) {
        // Half an answer must not look like a whole one: its reader sees the connection break.
        if (reader.broken) {
          exchange.errorCode = 'in_doubt'
          response.destroy()
        } else response.end()
        return
      }
      if (response.closed) return
      await signal.wait()
      chunk = nextBinary(reader)
    }
  } finally {
    release()
  }
}

/** After the head only bytes count. */
function nextBinary(reader: LocalReader): Buffer | undefined {
  let item = reader.next()
  while (item && !item.binary) item = reader.next()
  return item?.data
}

function sendHead(exchange: Exchange, match: RouteMatch, head: ResponseHead, body: string): void {
  exchange.send(head.status, headersFor(match, head), body)
}

/**
 * A page that a guest's worker serves comes from our origin. It is shown in a sandbox without one: its scripts run, but
 * they cannot act as the owner who looks at it.
 */
function headersFor({ route }: RouteMatch, head: ResponseHead): Record<string, string | string[]> {
  const headers: Record<string, string | string[]> = Object.fromEntries(head.headers)
  if (route.owner !== undefined) return headers
  const sandbox = 'sandbox allow-scripts allow-forms allow-popups'
  const theirs = head.headers.get('content-security-policy')
  headers['content-security-policy'] = theirs === undefined ? sandbox : [theirs, sandbox]
  return headers
}

/** Errors as the protocol has them, inside a problem. A contract's have the status of the registry. */
function failTrigger(exchange: Exchange, { route }: RouteMatch, error: ErrorBody): void {
  if (route.kind === 'raw') return exchange.problem(error)
  const status = error.code === 'function_not_found' ? 500 : errorInfo(error.code).status
  const { code, message } = error
  exchange.problem(error, { status, members: { error: { code, message, error_id: exchange.ports.ids.hex(6) } } })
}

async function passMiddleware(
  exchange: Exchange,
  match: RouteMatch,
  parts: EdgeParts,
  functionIds: readonly string[],
  request: object,
): Promise<boolean> {
  for (const functionId of functionIds) {
    const context = contextOf(exchange, match.route, parts.settings.defaultTimeoutMs)
    const payload = { value: { phase: 'preHandler', request, context: {} } }
    const result = await startCall(parts.core, { functionId, context, payload }).result
    if (!result.ok) {
      const late = result.error.code === 'deadline_exceeded'
      const message = late ? `${functionId} did not answer in time` : result.error.message
      const error = { code: late ? 'MIDDLEWARE_TIMEOUT' : result.error.code, message }
      exchange.problem({ ...result.error, message }, { status: late ? 504 : 500, members: { error } })
      return false
    }
    const verdict = payloadValue(result.payload)
    if (typeof verdict !== 'object' || verdict === null || !('action' in verdict)) continue
    if (verdict.action !== 'respond' || !('response' in verdict)) continue
    const { head, body } = bufferedResponse(verdict.response)
    sendHead(exchange, match, head, body)
    return false
  }
  return true
}

/**
 * JSON is read whole, parsed (what is nested too deeply, or holds a number that no double holds, is refused, whoever would
 * get it), and offered as one chunk too; any other body flows into the channel while the handler runs. `undefined` where the request has its answer already.
 */
async function takeBody(
  exchange: Exchange,
  parts: EdgeParts,
  writer: LocalWriter,
  strict: boolean,
): Promise<{ json: ParsedBody | undefined } | undefined> {
  const { request } = exchange
  if (!hasBody(request)) {
    writer.end()
    return { json: undefined }
  }
  if (!(exchange.header('content-type') ?? '').includes('application/json')) {
    return pipeBody(exchange, parts.settings.bodyBytes, writer) ? { json: undefined } : undefined
  }
  const bytes = await readBody(exchange, parts.settings.bodyBytes)
  if (bytes === undefined) return undefined
  if (bytes.length > 0) writer.write(bytes)
  writer.end()
  try {
    return { json: bytes.length === 0 ? undefined : { value: parseJson(bytes), bytes } }
  } catch (error) {
    if (error instanceof NotJson && !strict) return { json: undefined }
    throw error
  }
}

/** The bytes as they come; a body that grows over the limit ends the request. */
function pipeBody(exchange: Exchange, limit: number, writer: LocalWriter): boolean {
  const { request } = exchange
  if (isTooLong(request, limit)) {
    exchange.refuseBody(tooLarge(limit).toBody())
    return false
  }
  let size = 0
  const take = (chunk: Buffer): void => {
    size += chunk.length
    if (size > limit) {
      request.off('data', take)
      writer.end()
      exchange.refuseBody(tooLarge(limit).toBody())
      return
    }
    if (writer.write(chunk) || writer.aborted) return
    request.pause()
    writer.onDrain(() => request.resume())
  }
  request.on('data', take)
  request.once('end', () => writer.end())
  request.once('close', () => writer.end())
  return true
}

/** Headers as a handler sees them. What lets its holder in here is not for handlers; tokens of others are. */
function handlerHeaders(exchange: Exchange): Record<string, string> {
  const headers = headersOf(exchange, exchange.caller.principal.kind === 'guest' ? new Set() : OUR_TOKEN)
  const { cookie } = headers
  if (sessionTokens(cookie).length === 0) return headers
  const others = cookie!.split(';').filter((part) => !part.trim().startsWith(`${SESSION_COOKIE}=`))
  if (others.length === 0) delete headers.cookie
  else headers.cookie = others.join(';').trim()
  return headers
}

const OUR_TOKEN = new Set(['authorization'])
