import * as z from 'zod'

/** Settings of the HTTP edge. Times are milliseconds, sizes bytes. */
export interface HttpSettings {
  port: number
  /** Addresses to listen on. Others than loopback only with `guests: false`. */
  addresses: readonly string[]
  /** Names under which we are reached, beside loopback's. */
  allowedHosts: readonly string[]
  /** Origins whose pages may call us, beside our own page's. */
  allowedOrigins: readonly string[]
  /** Methods that pages of other origins may use, of those that a path takes; `undefined` is all of them. */
  crossOriginMethods?: readonly string[]
  guests: boolean
  /** Shared by all guests. */
  guestRequestsPerMinute: number
  /** Time to the head of an answer of an `http` trigger, and of each middleware. */
  defaultTimeoutMs: number
  /** Deadline of a call by a contract's route. */
  callTimeoutMs: number
  /** Requests in service at once, streams apart. */
  concurrency: number
  /** Streams (server-sent events and channel bodies) at once. */
  streams: number
  bodyBytes: number
  connections: number
  /** Time to receive a request's head, and the whole of it: slow senders are cut off. */
  headersTimeoutMs: number
  requestTimeoutMs: number
  /** A stream whose reader takes nothing for so long is cut off. */
  slowReaderMs: number
  /** A call is cancelled so long after its caller went away, unless it carries an idempotency key. */
  abandonedMs: number
  heartbeatMs: number
  /** Functions that see every request of an `http` trigger first, in this order. */
  middleware: readonly string[]
}

export const DEFAULT_HTTP_SETTINGS: HttpSettings = {
  port: 3111,
  addresses: ['127.0.0.1', '::1'],
  allowedHosts: [],
  allowedOrigins: [],
  guests: true,
  guestRequestsPerMinute: 6_000,
  defaultTimeoutMs: 30_000,
  callTimeoutMs: 300_000,
  concurrency: 1_024,
  streams: 4_096,
  bodyBytes: 4 * 1024 * 1024,
  connections: 10_000,
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 60_000,
  slowReaderMs: 20_000,
  abandonedMs: 5_000,
  heartbeatMs: 15_000,
  middleware: [],
}

/** Pages of another origin act with the visitor's cookie, so those that may are named one by one. */
export const ORIGIN = z.string().refine((origin) => origin !== '*', {
  error: 'is not taken: name each origin that is welcome, as in "http://localhost:5173"',
})

/** `config:` of an `iii-http` entry of config.yaml. */
export const httpSettingsSchema = z.strictObject({
  port: z.int().min(0).max(65_535).optional(),
  host: z.string().optional(),
  default_timeout: z.int().positive().optional(),
  concurrency_request_limit: z.int().positive().optional(),
  cors: z
    .strictObject({ allowed_origins: z.array(ORIGIN).optional(), allowed_methods: z.array(z.string()).optional() })
    .optional(),
  middleware: z
    .array(
      z.strictObject({
        function_id: z.string(),
        phase: z.literal('preHandler').default('preHandler'),
        priority: z.number().default(0),
      }),
    )
    .optional(),
})

/**
 * Settings of an `iii-http` entry of config.yaml. Throws a `ZodError` for keys that are not known, and for `*` as an
 * origin.
 */
export function httpSettingsFrom(config: unknown): Partial<HttpSettings> {
  const entry = httpSettingsSchema.parse(config ?? {})
  const settings: Partial<HttpSettings> = {}
  if (entry.port !== undefined) settings.port = entry.port
  if (entry.host !== undefined) settings.addresses = addressesOf(entry.host)
  if (entry.default_timeout !== undefined) settings.defaultTimeoutMs = entry.default_timeout
  if (entry.concurrency_request_limit !== undefined) settings.concurrency = entry.concurrency_request_limit
  if (entry.cors?.allowed_origins) {
    settings.allowedOrigins = entry.cors.allowed_origins
  }
  const methods = entry.cors?.allowed_methods?.map((method) => method.toUpperCase()) ?? []
  if (methods.length > 0 && !methods.includes('*')) settings.crossOriginMethods = methods
  if (entry.middleware) {
    settings.middleware = [...entry.middleware].sort((a, b) => a.priority - b.priority).map((item) => item.function_id)
  }
  return settings
}

function addressesOf(host: string): string[] {
  return host === '127.0.0.1' || host === 'localhost' ? ['127.0.0.1', '::1'] : [host]
}

export function isLoopback(address: string | undefined): boolean {
  return address !== undefined && (/^(::ffff:)?127\./.test(address) || address === '::1')
}
