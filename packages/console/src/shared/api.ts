import { refusal, unreachable } from './problem.ts'

export interface Reply<T> {
  body: T
  headers: Headers
  durationMs: number
}

export interface RequestOptions {
  signal?: AbortSignal
  /** In this realm instead of the one that the page looks into; `null` is the caller's own. */
  realm?: string | null
  headers?: Record<string, string>
}

/** Where the owner looks; `undefined` is the own realm. */
let lookedInto: string | undefined

/** From now on all requests are made in this realm. */
export function lookInto(realm: string | undefined): void {
  lookedInto = realm
}

/** One request to the engine that served this page; the cookie says who asks. Throws `RequestFailed`. */
export async function request<T>(
  method: 'GET' | 'POST' | 'PUT' | 'DELETE',
  path: string,
  body?: unknown,
  options: RequestOptions = {},
): Promise<Reply<T>> {
  const started = performance.now()
  const response = await open(method, path, body, options)
  const text = await response.text().catch((error: unknown) => Promise.reject(unreachable(error)))
  return {
    // The engine's answers have the shapes of their contracts; workers are held to them there.
    body: (text === '' ? undefined : JSON.parse(text)) as T,
    headers: response.headers,
    durationMs: performance.now() - started,
  }
}

/** The response, once its head is here and says that all is well. */
export async function open(method: string, path: string, body: unknown, options: RequestOptions): Promise<Response> {
  const { signal, headers = {}, realm = lookedInto } = options
  const response = await fetch(path, {
    method,
    headers: {
      ...headers,
      ...(realm ? { 'x-agentos-realm': realm } : {}),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    ...(signal ? { signal } : {}),
  }).catch((error: unknown) => Promise.reject(signal?.aborted ? error : unreachable(error)))
  if (!response.ok) throw refusal(response.status, await response.text().catch(() => ''))
  return response
}

export const get = async <T>(path: string, options?: RequestOptions): Promise<T> =>
  (await request<T>('GET', path, undefined, options)).body
