import { defineFunction } from '@agentos/sdk/contract'
import * as z from 'zod'
import { answerOptions } from './answer-options.ts'
import { JsonObject } from './json-object.ts'
import { Exhausted } from './ledger.ts'
import { Message, Part, ToolCall, ToolCallPart } from './message.ts'

export { Reasoning, ResponseFormat } from './answer-options.ts'

export {
  FilePart,
  ImagePart,
  Message,
  Part,
  ReasoningPart,
  TextPart,
  ToolCall,
  ToolCallPart,
  ToolCallProblem,
  ToolResultPart,
} from './message.ts'

/** A channel's writer end as it travels in a payload; deltas leave on it as JSON text frames (`StreamFrame`). */
export const StreamWriterRef = () =>
  z.object({ channel_id: z.string(), access_key: z.string(), direction: z.literal('write') })

/** Ids keep their `::`; the router maps them to what each provider allows and back. */
export const Tool = () =>
  z.strictObject({
    id: z.string().min(1),
    description: z.string().default(''),
    /** JSON Schema of an object. */
    inputSchema: JsonObject().default(() => ({ type: 'object', properties: {} })),
    /** The provider makes sure that the arguments follow the schema. */
    strict: z.boolean().optional(),
  })

export const ToolChoice = () => z.union([z.enum(['auto', 'none', 'required']), z.strictObject({ id: z.string() })])

/** `input` includes `cached` and `cacheWrite`; `output` includes `reasoning`; `total` is input + output. */
export const Usage = () =>
  z.object({
    input: z.number().int(),
    output: z.number().int(),
    total: z.number().int(),
    /** Part of the input that was read from the provider's cache. */
    cached: z.number().int().optional(),
    /** Part of the input that was written to the provider's cache. */
    cacheWrite: z.number().int().optional(),
    reasoning: z.number().int().optional(),
    /** The provider did not count all of it, or said what cannot be: what was missing is estimated, and the cost not known. */
    estimated: z.literal(true).optional(),
  })

/** Integer micro-dollars; `null` where no sourced price is known for the model. */
export const Cost = () => z.object({ microUsd: z.number().int().nullable(), priced: z.boolean() })

/**
 * `length`: at the model's longest answer or the request's; `budget_exceeded`: where the money for more ended;
 * `interrupted`: the provider broke the answer off; `other`: for a reason that is not known here, and it may lack its end.
 */
export const StopReason = () =>
  z.enum(['stop', 'length', 'budget_exceeded', 'tool_calls', 'content_filter', 'interrupted', 'other'])

/** What travels on the stream's channel, one JSON text frame each. A tool call is sent once it is whole. */
export const StreamFrame = () =>
  z.discriminatedUnion('type', [
    z.object({ type: z.literal('text'), text: z.string() }),
    z.object({ type: z.literal('reasoning'), text: z.string() }),
    ToolCallPart(),
    z.object({ type: z.literal('usage'), usage: Usage() }),
    /** The call is made again after a crash: what came of this answer before is void. */
    z.object({ type: z.literal('restart') }),
  ])

export type Tool = z.output<ReturnType<typeof Tool>>
export type ToolChoice = z.output<ReturnType<typeof ToolChoice>>
export type Usage = z.output<ReturnType<typeof Usage>>
export type Cost = z.output<ReturnType<typeof Cost>>
export type StopReason = z.output<ReturnType<typeof StopReason>>
export type StreamFrame = z.output<ReturnType<typeof StreamFrame>>
export type Completion = z.output<ReturnType<typeof Completion>>

/** JSON null and the empty string count as absent, and so does the model `agentos-default`. */
const choice = (field: string) => z.string(`${field} must be a string`).nullish()

/**
 * Fields of a completion; `max_tokens`, `systemPrompt` and null values are accepted and folded by `normalized`. None is
 * left out in silence: what the model's provider has no words for is refused with `unsupported_feature`, whose details
 * name the field as `param`.
 */
const completionFields = () => ({
  messages: z.array(Message()).default([]),
  system: z.string().nullish(),
  /** Alias of `system`. */
  systemPrompt: z.string().nullish(),
  tools: z.array(Tool()).max(128).nullish(),
  toolChoice: ToolChoice().nullish(),
  maxTokens: z.number().int().positive().nullish(),
  /** Alias of `maxTokens`. */
  max_tokens: z.number().int().positive().nullish(),
  ...answerOptions(),
  /** False: at most one tool call in an answer. */
  parallelToolCalls: z.boolean().nullish(),
  /** The same seed and request give the same answer, as far as the provider can. */
  seed: z.number().int().nullish(),
  frequencyPenalty: z.number().min(-2).max(2).nullish(),
  presencePenalty: z.number().min(-2).max(2).nullish(),
  /** How long the answer should be. */
  verbosity: z.enum(['low', 'medium', 'high']).nullish(),
  provider: choice('provider'),
  /** A model, an alias, `provider/model`, or absent for the default. */
  model: choice('model'),
  /**
   * To whom usage and cost are booked; taken from the call's context where absent. The owner, and the worker that runs
   * agents, name others than those of the context; from everybody else that is `forbidden`.
   */
  agentId: z.string().nullish(),
  sessionId: z.string().nullish(),
  /** Recorded on the span of the model call as `metadata.<name>`. */
  metadata: z.record(z.string(), z.string()).nullish(),
})

type CompletionFields = z.output<z.ZodObject<ReturnType<typeof completionFields>>>
type Present<T> = { [K in keyof T]?: NonNullable<T[K]> }

/** A completion's input after aliases are folded in and nulls are gone. */
export type CompletionInput = { messages: Message[] } & Present<
  Omit<CompletionFields, 'messages' | 'systemPrompt' | 'max_tokens'>
>

type Further<T> = { [K in keyof Omit<T, keyof CompletionFields>]: NonNullable<T[K & keyof T]> }

function normalized<T extends CompletionFields>(input: T): CompletionInput & Further<T> {
  const { systemPrompt, max_tokens, ...rest } = input
  const folded: Record<string, unknown> = { ...rest }
  folded.system = rest.system ?? systemPrompt
  folded.maxTokens = rest.maxTokens ?? max_tokens
  for (const [name, value] of Object.entries(folded)) if (value === null || value === undefined) delete folded[name]
  return folded as CompletionInput & Further<T>
}

export const Completion = () =>
  z.object({
    /** The answer's text; '' where the model only called tools. */
    content: z.string(),
    provider: z.string(),
    model: z.string(),
    toolCalls: z.array(ToolCall()),
    /** The whole answer in order; use it as the assistant message's content in the next round. */
    parts: z.array(Part()),
    usage: Usage(),
    cost: Cost(),
    stopReason: StopReason(),
    /** The provider's own word, where `stopReason` is `interrupted` or `other`. */
    stopDetail: z.string().optional(),
    /** The budget that cut the answer off, where `stopReason` is `budget_exceeded`. */
    budget: Exhausted().optional(),
  })

/** Resolves provider and model without calling anything; works without any key. */
export const route = defineFunction({
  id: 'llm::route',
  summary: 'The provider and model that a request would go to, and its complexity score',
  input: () =>
    z.strictObject({
      /** `{role, content}` each; content that is not text counts as empty for the score. */
      messages: z.array(z.looseObject({ role: z.string(), content: z.unknown().optional() })).default([]),
      tools: z.array(z.unknown()).nullish(),
      provider: choice('provider'),
      model: choice('model'),
    }),
  output: () => z.object({ provider: z.string(), model: z.string(), complexity: z.number().int() }),
  effects: 'read',
})

/**
 * Asks a model. Errors: `not_configured`, `upstream_auth`, `rate_limited`, `context_overflow`, `content_filter`,
 * `upstream_error`, `upstream_timeout`, `upstream_quota`, `upstream_rejected`, `model_not_found`, `invalid_input`,
 * `unsupported_feature`, `overloaded`, `cancelled`, `budget_exceeded`, `price_unknown`; `details` carry provider, model,
 * status, the provider's message and `retryAfterMs`.
 *
 * A `read` (it changes nothing but what it costs), so it may be made again after a crash. It is not `keyed`: another process
 * asks the provider again, and books what the lost request held as maybe charged. Within one process the same idempotency
 * key joins the call that is under way, and gets the answer of one that ended within the last minute.
 */
export const complete = defineFunction({
  id: 'llm::complete',
  summary: 'Ask a model and return its answer, tool calls, tokens and cost',
  input: () => z.strictObject({ ...completionFields(), stream: StreamWriterRef().nullish() }).transform(normalized),
  output: Completion,
  effects: 'read',
})

/** As `complete`, with deltas on the given channel as they arrive; answers the same result at the end. */
export const stream = defineFunction({
  id: 'llm::stream',
  summary: 'Ask a model and stream its answer on a channel',
  input: () => z.strictObject({ ...completionFields(), stream: StreamWriterRef() }).transform(normalized),
  output: Completion,
  effects: 'read',
})

/** Tokens and cost of the call's realm, since its first model call. Snake case is pinned here. */
export const usage = defineFunction({
  id: 'llm::usage',
  summary: 'Tokens, requests and cost per provider and model',
  input: () =>
    z.strictObject({
      /** Rows per agent or per session instead of totals. */
      by: z.enum(['agent', 'session']).nullish(),
      agentId: z.string().nullish(),
      sessionId: z.string().nullish(),
    }),
  output: () =>
    z.object({
      stats: z.array(
        z.object({
          provider: z.string(),
          model: z.string(),
          input_tokens: z.number().int(),
          output_tokens: z.number().int(),
          requests: z.number().int(),
          cached_tokens: z.number().int(),
          reasoning_tokens: z.number().int(),
          /** Sum over the requests whose price is known. */
          cost_micro_usd: z.number().int(),
          unpriced_requests: z.number().int(),
          realm: z.string(),
          agent: z.string().optional(),
          session: z.string().optional(),
        }),
      ),
    }),
  http: 'GET /v1/llm/usage',
  effects: 'read',
})

export const providers = defineFunction({
  id: 'llm::providers',
  summary: 'Known model providers, and whether each can be used now',
  input: () => z.strictObject({}),
  output: () =>
    z.object({
      providers: z.array(
        z.object({
          name: z.string(),
          base_url: z.string(),
          /** Name of the setting that holds the key; '' where none is needed. */
          env_key: z.string(),
          models: z.array(z.string()),
          /** A key is present, or none is needed. */
          configured: z.boolean(),
          /** Configured, not failing at the moment, and, where it runs on this host, running. */
          available: z.boolean(),
          modelCount: z.number().int(),
          format: z.string(),
          local: z.boolean(),
          /** Where the key was found. */
          keySource: z.enum(['env', 'secrets', 'dotenv']).optional(),
          /** Requests fail fast while `open`. */
          breaker: z.enum(['closed', 'open', 'half_open']),
        }),
      ),
      /** What a request without provider and model would use now; null where nothing is configured. */
      default: z.object({ provider: z.string(), model: z.string(), reason: z.string() }).nullable(),
    }),
  http: 'GET /v1/llm/providers',
  effects: 'read',
})

/** Prices are integer micro-dollars per million tokens; null where no sourced price is known. */
export const models = defineFunction({
  id: 'llm::models',
  summary: 'Known models with context window, prices and their sources',
  input: () => z.strictObject({ provider: z.string().nullish() }),
  output: () =>
    z.object({
      models: z.array(
        z.object({
          id: z.string(),
          provider: z.string(),
          tier: z.enum(['small', 'medium', 'large']).nullable(),
          contextWindow: z.number().int().nullable(),
          maxOutput: z.number().int().nullable(),
          inputPrice: z.number().int().nullable(),
          cachedInputPrice: z.number().int().nullable(),
          outputPrice: z.number().int().nullable(),
          tools: z.boolean(),
          vision: z.boolean(),
          reasoning: z.boolean(),
          /** Where the facts stand and the date they were read (ISO), null where unsourced. */
          source: z.string().nullable(),
          asOf: z.string().nullable(),
          /** The provider can be used now. */
          available: z.boolean(),
        }),
      ),
    }),
  http: 'GET /v1/llm/models',
  effects: 'read',
})

export const aliases = defineFunction({
  id: 'llm::aliases',
  summary: 'Short names and the models that they stand for',
  input: () => z.strictObject({}),
  output: () => z.object({ aliases: z.record(z.string(), z.object({ provider: z.string(), model: z.string() })) }),
  http: 'GET /v1/llm/aliases',
  effects: 'read',
})

/** Stored in `<data>/secrets.json` (mode 600) and used from the next request on; an empty key removes it. */
export const setKey = defineFunction({
  id: 'llm::set_key',
  summary: 'Store or remove the key of a model provider',
  input: () => z.strictObject({ provider: z.string().min(1), key: z.string().max(4096) }),
  output: () => z.object({ provider: z.string(), env_key: z.string(), configured: z.boolean() }),
  http: 'PUT /v1/llm/providers/:provider/key',
  effects: 'write',
  idempotent: true,
  access: 'owner',
})

/** Asks the provider for its list of models with the stored key; costs nothing. */
export const test = defineFunction({
  id: 'llm::test',
  summary: 'Try whether a provider accepts its key',
  input: () => z.strictObject({ provider: z.string().min(1) }),
  output: () =>
    z.object({
      provider: z.string(),
      ok: z.boolean(),
      models: z.array(z.string()),
      error: z.object({ code: z.string(), message: z.string() }).optional(),
    }),
  http: 'POST /v1/llm/providers/:provider/test',
  effects: 'read',
  access: 'owner',
})
