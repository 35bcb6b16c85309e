import type { ChannelRef, Payload } from '../../core/module.ts'
import type { RouteMatch } from './routes.ts'

/** From here on the bytes of a body are spliced in as they came. */
const SPLICE_BYTES = 4_096

/** A JSON body: its value, and the bytes that it was parsed from. */
export interface ParsedBody {
  value: unknown
  bytes: Buffer
}

/** The request as the protocol hands it to a handler. */
export interface ApiRequest {
  path_params: Record<string, string>
  query_params: Record<string, string>
  headers: Record<string, string>
  /** The pattern as it was registered, not the path of the request. */
  path: string
  method: string
  body: unknown
  trigger: { type: 'http'; path: string; method: string }
  request_body: ChannelRef
  response: ChannelRef
}

/** Builds the payload; a large body is not printed again. */
export function apiRequest(
  match: RouteMatch,
  query: URLSearchParams,
  headers: Record<string, string>,
  body: ParsedBody | undefined,
  channels: { requestBody: ChannelRef; response: ChannelRef },
): Payload {
  const { method, pattern } = match.route
  const rest: Omit<ApiRequest, 'body'> = {
    path_params: match.params,
    query_params: queryOf(query),
    headers,
    path: pattern.source,
    method,
    trigger: { type: 'http', path: pattern.source, method },
    request_body: channels.requestBody,
    response: channels.response,
  }
  if (body === undefined || body.bytes.length < SPLICE_BYTES) return { value: { ...rest, body: body?.value ?? null } }
  const head = Buffer.from('{"body":')
  const tail = Buffer.from(`,${JSON.stringify(rest).slice(1)}`)
  return { json: Buffer.concat([head, body.bytes, tail]) }
}

/** Flat strings, the last of a repeated key. */
export function queryOf(query: URLSearchParams): Record<string, string> {
  return Object.fromEntries(query)
}
