import { SendError } from '@agentos/channel-kit'
import type { Dispatcher } from 'undici'

/** Errors of a connection that was never made: nothing can have been sent. */
const NEVER_CONNECTED = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ENETUNREACH',
  'EHOSTUNREACH',
  'UND_ERR_CONNECT_TIMEOUT',
])
const MAX_ANSWER = 8 * 1024 * 1024
/** How long to leave a token alone that Telegram does not know. */
const AUTH_RETRY_MS = 60_000

/** What Telegram answered instead of a result. Its words hold no secret: they are Telegram's. */
export class BotApiError extends SendError {
  readonly code: number
  /** The supergroup that the chat has become. */
  readonly movedTo: number | undefined

  constructor(code: number, description: string, retryAfterMs: number | undefined, movedTo: number | undefined) {
    const outcome =
      code === 429 || code === 401 || code === 404 || code === 409 ? 'not_sent' : code >= 500 ? 'unknown' : 'refused'
    super(outcome, `Telegram answered ${code}: ${description}`, retryAfterMs)
    this.name = 'BotApiError'
    this.code = code
    this.movedTo = movedTo
  }

  /** The token is not that of a bot. */
  get unauthorized(): boolean {
    return this.code === 401 || this.code === 404
  }

  says(words: string): boolean {
    return this.message.toLowerCase().includes(words)
  }
}

export interface CallOptions {
  timeoutMs?: number
  signal?: AbortSignal
}

/**
 * The Bot API over HTTP. The token is a part of every address, so no error of the HTTP client leaves this file: what is
 * thrown says what happened in words of its own.
 */
export class BotApi {
  private readonly base: string
  private readonly timeoutMs: number
  private pool: Promise<Dispatcher> | undefined

  constructor(options: { base: string; token: string; timeoutMs: number }) {
    this.base = `${options.base}/bot${options.token}/`
    this.timeoutMs = options.timeoutMs
  }

  async call<T>(method: string, params: object, { timeoutMs = this.timeoutMs, signal }: CallOptions = {}): Promise<T> {
    const { status, text } = await this.post(method, params, timeoutMs, signal)
    const answer = readAnswer(text)
    if (answer?.ok === true) return answer.result as T
    if (answer?.ok === false) {
      const { error_code: code = status, description = 'no reason given', parameters } = answer
      const wait = parameters?.retry_after
      const retryAfterMs =
        wait === undefined ? (code === 401 || code === 404 ? AUTH_RETRY_MS : undefined) : wait * 1_000
      throw new BotApiError(code, description, retryAfterMs, parameters?.migrate_to_chat_id)
    }
    throw new SendError('unknown', `Telegram answered ${status} with something that is not an answer of the Bot API`)
  }

  async close(): Promise<void> {
    const pool = await this.pool
    await pool?.destroy()
  }

  private async post(method: string, params: object, timeoutMs: number, signal: AbortSignal | undefined) {
    const { request } = await import('undici')
    const dispatcher = await this.dispatcher()
    try {
      const response = await request(this.base + method, {
        method: 'POST',
        dispatcher,
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(params),
        headersTimeout: timeoutMs,
        bodyTimeout: timeoutMs,
        ...(signal ? { signal } : {}),
      })
      return { status: response.statusCode, text: await readLimited(response.body) }
    } catch (error) {
      throw connectionError(method, error)
    }
  }

  /** Idle connections are given up before Telegram does: a request on a closing one would be in doubt. */
  private dispatcher(): Promise<Dispatcher> {
    this.pool ??= import('undici').then(
      ({ Agent }) => new Agent({ keepAliveTimeout: 10_000, keepAliveMaxTimeout: 30_000, connect: { timeout: 10_000 } }),
    )
    return this.pool
  }
}

interface Answer {
  ok: boolean
  result?: unknown
  error_code?: number
  description?: string
  parameters?: { retry_after?: number; migrate_to_chat_id?: number }
}

function readAnswer(text: string): Answer | undefined {
  try {
    const value = JSON.parse(text) as unknown
    return typeof value === 'object' && value !== null && 'ok' in value ? (value as Answer) : undefined
  } catch {
    return undefined
  }
}

async function readLimited(body: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of body) {
    size += chunk.length
    if (size > MAX_ANSWER) throw new SendError('unknown', 'The answer of Telegram is too large')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

/** Code and method alone: messages of the HTTP client may hold the address, and the address holds the token. */
function connectionError(method: string, error: unknown): SendError {
  if (error instanceof SendError) return error
  const { code, cause } = error as { code?: unknown; cause?: { code?: unknown } }
  const why = [code, cause?.code].find((found) => typeof found === 'string') ?? 'unknown cause'
  const outcome = NEVER_CONNECTED.has(String(why)) ? 'not_sent' : 'unknown'
  return new SendError(outcome, `The connection to Telegram failed in ${method} (${why})`)
}
