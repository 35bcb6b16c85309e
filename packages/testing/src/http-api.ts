export interface ApiOptions {
  /** Send the owner's token. */
  owner?: boolean
  /** Send this token instead. */
  token?: string
  /** Realm to act in; only the owner may name one. */
  realm?: string
  headers?: Record<string, string>
  signal?: AbortSignal
}

export interface ApiReply<T = unknown> {
  status: number
  headers: Headers
  /** Parsed where the reply is JSON, else the text. */
  body: T
  text: string
}

/** One request to the system under test; a body that is not a string or bytes is sent as JSON. */
export async function callApi<T = unknown>(
  baseUrl: string,
  ownerToken: string,
  method: string,
  path: string,
  body: unknown,
  options: ApiOptions,
): Promise<ApiReply<T>> {
  const isRaw = typeof body === 'string' || body instanceof Uint8Array
  const headers = new Headers(options.headers)
  if (body !== undefined && !isRaw && !headers.has('content-type')) headers.set('content-type', 'application/json')
  const token = options.token ?? (options.owner ? ownerToken : undefined)
  if (token !== undefined) headers.set('authorization', `Bearer ${token}`)
  if (options.realm) headers.set('x-agentos-realm', options.realm)
  const response = await fetch(new URL(path, baseUrl), {
    method,
    headers,
    ...(body === undefined ? {} : { body: isRaw ? (body as string) : JSON.stringify(body) }),
    ...(options.signal ? { signal: options.signal } : {}),
  })
  const text = await response.text()
  const isJson = /[/+]json\b/.test(response.headers.get('content-type') ?? '')
  return {
    status: response.status,
    headers: response.headers,
    body: (isJson && text !== '' ? JSON.parse(text) : text) as T,
    text,
  }
}
