import { adviceOnNewAgent, Refusal } from './refusal.ts'
import { parseEvents, type ServerEvent } from './server-events.ts'

/** An answer of the HTTP API that is an error: `application/problem+json`. */
interface Problem {
  title?: string
  detail?: string
  code?: string
  status?: number
  next?: string
  details?: unknown
  [extra: string]: unknown
}

/** Realms that need no looking up. */
const REALM_ID = /^(?:(?:realm-)?(?:default|guest|system)|realm-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/

/** The HTTP API of a running system, spoken as its owner where the owner's token can be read. */
export class Api {
  readonly base: string
  private readonly token: string | undefined
  /** Where the owner looks; `undefined` is the own realm. */
  readonly realm: string | undefined
  private resolved: Promise<string> | undefined

  constructor(base: string, token: string | undefined, realm?: string) {
    this.base = base.replace(/\/+$/, '')
    this.token = token
    this.realm = realm
  }

  get<T>(path: string, query: Record<string, string | number | undefined> = {}, timeoutMs?: number): Promise<T> {
    const given = Object.entries(query).filter((entry) => entry[1] !== undefined)
    const search = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString()
    return this.json<T>('GET', search ? `${path}?${search}` : path, undefined, timeoutMs)
  }

  post<T>(path: string, body: unknown, timeoutMs?: number): Promise<T> {
    return this.json<T>('POST', path, body, timeoutMs)
  }

  /** The same system, looked at in another realm. */
  within(realm: string): Api {
    return new Api(this.base, this.token, realm)
  }

  /** Of a realm that may be given by its slug; what is neither, or is ambiguous, is refused as it stands. */
  private async idOf(realm: string): Promise<string> {
    if (REALM_ID.test(realm)) return realm
    this.resolved ??= new Api(this.base, this.token)
      .get<{ id: string; slug: string }[]>('/v1/realms')
      // Without the worker that keeps realms there are none with a slug.
      .catch(() => [])
      .then((realms) => {
        const named = realms.filter(({ slug }) => slug === realm)
        return named.length === 1 && named[0] ? named[0].id : realm
      })
    return this.resolved
  }

  /** Calls any function by its id and answers its result. */
  call<T>(functionId: string, payload: unknown): Promise<T> {
    return this.json<T>('POST', '/v1/functions/call', { functionId, payload })
  }

  /** Server-sent events of a POST, as they arrive. */
  async *stream(path: string, body: unknown, signal?: AbortSignal): AsyncGenerator<ServerEvent> {
    const response = await this.request('POST', path, body, signal, { accept: 'text/event-stream' })
    if (!response.ok || !response.body) throw await problemOf(response, this.token !== undefined)
    try {
      yield* parseEvents(response.body)
    } catch (error) {
      if (signal?.aborted) throw error
      const advice = [
        'npm run agentos -- status shows whether it is back; npm run agentos -- runs shows what was under way.',
      ]
      throw new Refusal('connection_lost', 'The connection broke', 'The answer is not whole.', advice, error)
    }
  }

  /** Status and body, whatever the status. */
  async probe(path: string, timeoutMs = 2000): Promise<{ status: number; body: unknown }> {
    const response = await this.request('GET', path, undefined, AbortSignal.timeout(timeoutMs))
    const text = await response.text()
    return { status: response.status, body: parseJson(text) ?? text }
  }

  private async json<T>(method: string, path: string, body: unknown, timeoutMs?: number): Promise<T> {
    const signal = timeoutMs ? AbortSignal.timeout(timeoutMs) : undefined
    const response = await this.request(method, path, body, signal)
    if (!response.ok) throw await problemOf(response, this.token !== undefined)
    const text = await response.text()
    return (text === '' ? undefined : (parseJson(text) ?? text)) as T
  }

  private async request(
    method: string,
    path: string,
    body: unknown,
    signal?: AbortSignal,
    more: Record<string, string> = {},
  ): Promise<Response> {
    const headers: Record<string, string> = { accept: 'application/json', ...more }
    if (this.token) headers.authorization = `Bearer ${this.token}`
    if (this.realm !== undefined) headers['x-agentos-realm'] = await this.idOf(this.realm)
    if (body !== undefined) headers['content-type'] = 'application/json'
    try {
      return await fetch(`${this.base}${path}`, {
        method,
        headers,
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        ...(signal ? { signal } : {}),
      })
    } catch (error) {
      if (signal?.aborted && (error as Error).name === 'AbortError') throw error
      throw unreachable(this.base, error)
    }
  }
}

function unreachable(base: string, error: unknown): Refusal {
  const cause = (error as { cause?: { code?: string; message?: string } }).cause
  const why =
    (error as Error).name === 'TimeoutError' ? 'no answer in time' : (cause?.code ?? cause?.message ?? String(error))
  return new Refusal(
    'unreachable',
    'AgentOS does not answer',
    `Nothing answers at ${base} (${why}).`,
    ['Start it with npm start, or', 'set AGENTOS_API_URL to where it runs.'],
    error,
  )
}

async function problemOf(response: Response, hasToken: boolean): Promise<Refusal> {
  const text = await response.text()
  const body = parseJson(text)
  const problem: Problem = typeof body === 'object' && body !== null ? (body as Problem) : {}
  const code = problem.code ?? `http_${response.status}`
  const detail = problem.detail ?? (text.slice(0, 300) || `${response.status} ${response.statusText}`)
  const advice = adviceFor(response, problem, hasToken)
  return new Refusal(code, problem.title ?? `The request failed with ${response.status}`, detail, advice)
}

function adviceFor(response: Response, { next, details }: Problem, hasToken: boolean): string[] {
  // Who has the token and is refused all the same has to do something else.
  if (response.status === 401 || (response.status === 403 && !hasToken)) {
    return ['This needs the owner’s token: run it as the user that ran npm start, with the same AGENTOS_DATA.']
  }
  const wait = response.headers.get('retry-after')
  const first = wait ? `Try again in ${wait} s.` : next
  return [...(first === undefined ? [] : [first]), ...adviceOnNewAgent(details)]
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
