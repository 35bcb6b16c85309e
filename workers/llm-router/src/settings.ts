import * as z from 'zod'

/** USD per million tokens, which is the same number as micro-dollars per token. */
const Price = z.strictObject({
  input: z.number().nonnegative(),
  output: z.number().nonnegative(),
  cached: z.number().nonnegative().optional(),
  cacheWrite: z.number().nonnegative().optional(),
  /** Other prices where the whole input is above so many tokens. */
  long: z
    .strictObject({
      above: z.number().int().positive(),
      input: z.number().nonnegative(),
      output: z.number().nonnegative(),
      cached: z.number().nonnegative().optional(),
      cacheWrite: z.number().nonnegative().optional(),
    })
    .optional(),
  /** Last day (ISO) on which the price holds. */
  until: z.string().optional(),
})

export const FormatName = z.enum(['openai-chat', 'openai-responses', 'anthropic', 'gemini'])

/**
 * What a provider differs in from its format: `max-completion-tokens` instead of `max_tokens`; `reasoning-back` wants
 * the reasoning of the current turn again; `short-call-ids` takes nine letters or digits; `no-stream-options` refuses
 * that field; `random-seed` is its name for `seed`; `parsed-arguments` reads the arguments of earlier calls and refuses those that are no JSON object;
 * `loopback-only` never leaves the host.
 */
const Trait = z.enum([
  'max-completion-tokens',
  'reasoning-back',
  'short-call-ids',
  'no-stream-options',
  'random-seed',
  'parsed-arguments',
  'loopback-only',
])

export const KnownProvider = z.strictObject({
  name: z.string(),
  baseUrl: z.string(),
  keyEnv: z.string(),
  format: FormatName,
  local: z.boolean().default(false),
  /** Beginnings of model names that are this provider's even where the table does not list them. */
  families: z.array(z.string()).default([]),
  traits: z.array(Trait).default([]),
})

export const KnownModel = z.strictObject({
  provider: z.string(),
  id: z.string(),
  tier: z.enum(['small', 'medium', 'large']).optional(),
  contextWindow: z.number().int().positive().optional(),
  maxOutput: z.number().int().positive().optional(),
  tools: z.boolean().default(true),
  vision: z.boolean().default(false),
  reasoning: z.boolean().default(false),
  /** How Anthropic's models are asked to think. */
  thinking: z.enum(['budget', 'adaptive']).optional(),
  /** False where the model refuses `temperature` and `top_p`. */
  sampling: z.boolean().default(true),
  /** Still known, never chosen automatically. */
  retired: z.boolean().default(false),
  price: Price.optional(),
  source: z.string().optional(),
})

export const Knowledge = z.strictObject({
  providers: z.array(KnownProvider),
  aliases: z.record(z.string(), z.string()),
  sources: z.record(z.string(), z.strictObject({ url: z.string(), asOf: z.string() })),
  models: z.array(KnownModel),
})

const milliseconds = (byDefault: number) => z.number().int().positive().default(byDefault)

/** `config:` of the worker's entry in config.yaml. */
export const Settings = z.strictObject({
  /** `provider/model`, a model or an alias for requests that name none. */
  default: z.string().min(1).optional(),
  /** `provider/model` each, tried in order where the first choice fails for a reason that another may not have. */
  fallback: z.array(z.string().min(3)).default([]),
  aliases: z.record(z.string(), z.string()).default({}),
  /** Changes to known providers, and further ones (any OpenAI-compatible address). */
  providers: z
    .record(
      z.string().regex(/^[a-z0-9][a-z0-9._-]*$/, 'a provider name has small letters, digits, dot, dash, underscore'),
      z.strictObject({
        baseUrl: z.url().optional(),
        /** Name of the setting with the key; '' where none is needed. */
        keyEnv: z.string().optional(),
        format: FormatName.optional(),
        models: z.array(z.string()).optional(),
        traits: z.array(Trait).optional(),
        maxConcurrent: z.number().int().positive().optional(),
      }),
    )
    .default({}),
  /** Prices that the owner knows, by `provider/model`; they win over the table. `provider/*`: where no other is known. */
  prices: z.record(z.string(), Price.extend({ source: z.string().optional() })).default({}),
  timeouts: z
    .strictObject({
      connectMs: milliseconds(10_000),
      firstByteMs: milliseconds(120_000),
      idleMs: milliseconds(60_000),
      totalMs: milliseconds(600_000),
    })
    .prefault({}),
  retries: z
    .strictObject({
      max: z.number().int().nonnegative().max(10).default(2),
      baseMs: milliseconds(500),
      /** A provider that asks for a longer wait than this is given up for the call. */
      maxWaitMs: milliseconds(20_000),
    })
    .prefault({}),
  breaker: z
    .strictObject({ failures: z.number().int().positive().default(5), openMs: milliseconds(30_000) })
    .prefault({}),
  concurrency: z
    .strictObject({
      perProvider: z.number().int().positive().default(8),
      queue: z.number().int().nonnegative().default(64),
    })
    .prefault({}),
})

export type Settings = z.output<typeof Settings>
export type KnownProvider = z.output<typeof KnownProvider>
export type KnownModel = z.output<typeof KnownModel>
export type Price = z.output<typeof Price>
export type FormatName = z.output<typeof FormatName>
export type Trait = z.output<typeof Trait>

/** The environment that the worker's manifest declares. */
export interface Environment {
  defaultProvider: string | undefined
  defaultModel: string | undefined
  codexBaseUrl: string | undefined
  /** `off`, or `name=url` pairs with commas between them; undefined probes the usual ports. */
  localModels: string | undefined
  /** Address that the HTTP server listens on. */
  bind: string
}

/** Blank values count as unset. */
export function readEnvironment(env: NodeJS.ProcessEnv = process.env): Environment {
  const read = (name: string) => env[name]?.trim() || undefined
  return {
    defaultProvider: read('AGENTOS_DEFAULT_PROVIDER'),
    defaultModel: read('AGENTOS_DEFAULT_MODEL'),
    codexBaseUrl: read('CODEX_PROXY_BASE_URL'),
    localModels: read('AGENTOS_LOCAL_MODELS'),
    bind: read('AGENTOS_BIND') ?? '127.0.0.1',
  }
}

export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host === '[::1]' || /^127(\.\d{1,3}){3}$/.test(host)
}
