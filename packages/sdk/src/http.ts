import type { Writable } from 'node:stream'
import type { ChannelReader, ChannelWriter } from './channel.ts'

/** What a plain handler bound to an `http` trigger gets. `path` is the pattern, not the path of the request. */
export interface HttpRequest<TBody = unknown> {
  path_params: Record<string, string>
  query_params: Record<string, string>
  headers: Record<string, string>
  path: string
  method: string
  body: TBody
  request_body: ChannelReader
}

export type InternalHttpRequest<TBody = unknown> = HttpRequest<TBody> & { response: ChannelWriter }

/** What such a handler returns where it does not stream. */
export interface ApiResponse<TBody = unknown> {
  status_code?: number
  headers?: Record<string, string> | string[]
  body?: TBody
}

/** A reply that is written piece by piece; status and headers leave with the first byte. */
export interface HttpResponse {
  status(code: number): void
  headers(headers: Record<string, string>): void
  stream: Writable
  close(): void
}

/** Makes a handler of a function that streams its reply. A value that it returns is a buffered reply instead. */
export function http<TBody = unknown>(
  handle: (request: HttpRequest<TBody>, response: HttpResponse) => Promise<ApiResponse | undefined>,
): (request: InternalHttpRequest<TBody>) => Promise<ApiResponse | undefined> {
  return (internal) => {
    const { response: writer, ...request } = internal
    return handle(request, {
      status: (code) => void writer.sendMessage(JSON.stringify({ type: 'set_status', status_code: code })),
      headers: (headers) => void writer.sendMessage(JSON.stringify({ type: 'set_headers', headers })),
      stream: writer.stream,
      close: () => void writer.close(),
    })
  }
}
