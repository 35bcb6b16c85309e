import { defineFunction } from '@agentos/sdk/contract'
import * as z from 'zod'
import { JsonObject } from './json-object.ts'
import { Exhausted } from './ledger.ts'

const Ref = () => z.object({ channel_id: z.string(), access_key: z.string(), direction: z.enum(['read', 'write']) })

/** The protocol's request object, as a raw route delivers it. */
export const RawRequest = () =>
  z.looseObject({
    path_params: z.record(z.string(), z.string()),
    query_params: z.record(z.string(), z.string()),
    headers: z.record(z.string(), z.string()),
    method: z.string(),
    body: z.unknown(),
    response: Ref(),
  })

export type RawRequest = z.output<ReturnType<typeof RawRequest>>

export const RawResponse = () =>
  z.object({ status_code: z.number().int(), headers: z.record(z.string(), z.string()).optional(), body: z.unknown() })

const TextContent = () => z.looseObject({ type: z.literal('text'), text: z.string() })
const RefusalContent = () => z.looseObject({ type: z.literal('refusal'), refusal: z.string() })
const ImageContent = () =>
  z.looseObject({
    type: z.literal('image_url'),
    image_url: z.looseObject({ url: z.string(), detail: z.enum(['auto', 'low', 'high', 'original']).nullish() }),
  })
/** `file_data` is a data URL or base64; files that were uploaded before are not known here. */
const FileContent = () =>
  z.looseObject({
    type: z.literal('file'),
    file: z.looseObject({ file_data: z.string().nullish(), filename: z.string().max(255).nullish() }),
  })
const SystemContent = () => z.union([z.string(), z.array(TextContent())])
const UserContent = () =>
  z.union([z.string(), z.array(z.discriminatedUnion('type', [TextContent(), ImageContent(), FileContent()]))])
const AssistantContent = () =>
  z.union([z.string(), z.array(z.discriminatedUnion('type', [TextContent(), RefusalContent()]))])
const ToolContent = () => z.union([z.string(), z.array(z.discriminatedUnion('type', [TextContent(), ImageContent()]))])
const FunctionCall = () =>
  z.looseObject({
    id: z.string().min(1),
    type: z.literal('function'),
    function: z.looseObject({ name: z.string().min(1), arguments: z.string() }),
  })

/** Who speaks, where several have one role. */
const Name = () => z.string().nullish()

/** A message of OpenAI's chat completions API. */
export const OpenAiMessage = () =>
  z.discriminatedUnion('role', [
    z.looseObject({ role: z.enum(['system', 'developer']), content: SystemContent(), name: Name() }),
    z.looseObject({ role: z.literal('user'), content: UserContent(), name: Name() }),
    z.looseObject({
      role: z.literal('assistant'),
      content: AssistantContent().nullish(),
      refusal: z.string().nullish(),
      /** Not OpenAI's, but what other servers call the thoughts that they give and want back; so do we. */
      reasoning_content: z.string().nullish(),
      tool_calls: z.array(FunctionCall()).nullish(),
      name: Name(),
    }),
    z.looseObject({ role: z.literal('tool'), tool_call_id: z.string().min(1), content: ToolContent(), name: Name() }),
  ])

const OpenAiTool = () =>
  z.looseObject({
    type: z.literal('function'),
    function: z.looseObject({
      name: z.string().min(1).max(64),
      description: z.string().nullish(),
      parameters: JsonObject().nullish(),
      strict: z.boolean().nullish(),
    }),
  })

const NamedFunction = () =>
  z.looseObject({ type: z.literal('function'), function: z.looseObject({ name: z.string() }) })

const OpenAiToolChoice = () =>
  z.union([
    z.enum(['none', 'auto', 'required']),
    z.discriminatedUnion('type', [
      NamedFunction(),
      z.looseObject({
        type: z.literal('allowed_tools'),
        allowed_tools: z.looseObject({ mode: z.enum(['auto', 'required']), tools: z.array(NamedFunction()).min(1) }),
      }),
    ]),
  ])

/**
 * The body of `POST /v1/chat/completions`; `agentId`, `sessionId` and `provider` are ours. With an agent, a session (also as
 * `X-Session-Id`) is where one talks to it; a plain model call belongs to none. No field is left out in
 * silence: what is not carried to the model or the agent is refused by its path, and so are fields that nobody knows.
 */
export const CompletionRequest = () =>
  z.looseObject({
    messages: z.array(OpenAiMessage()).min(1, 'a non-empty user message is required'),
    /** `agent/<id>` runs the agent; anything else is a plain model call with the messages and tools given here. */
    model: z.string().default('agentos-default'),
    provider: z.string().nullish(),
    agentId: z.string().nullish(),
    sessionId: z.string().nullish(),
    stream: z.boolean().nullish(),
    stream_options: z.looseObject({ include_usage: z.boolean().nullish() }).nullish(),
    tools: z.array(OpenAiTool()).max(128).nullish(),
    tool_choice: OpenAiToolChoice().nullish(),
    parallel_tool_calls: z.boolean().nullish(),
    temperature: z.number().min(0).max(2).nullish(),
    top_p: z.number().gt(0).max(1).nullish(),
    frequency_penalty: z.number().min(-2).max(2).nullish(),
    presence_penalty: z.number().min(-2).max(2).nullish(),
    seed: z.number().int().nullish(),
    max_tokens: z.number().int().positive().nullish(),
    max_completion_tokens: z.number().int().positive().nullish(),
    stop: z.union([z.string(), z.array(z.string()).max(4)]).nullish(),
    response_format: z
      .discriminatedUnion('type', [
        z.looseObject({ type: z.enum(['text', 'json_object']) }),
        z.looseObject({
          type: z.literal('json_schema'),
          json_schema: z.looseObject({
            name: z.string(),
            description: z.string().nullish(),
            schema: JsonObject().nullish(),
            strict: z.boolean().nullish(),
          }),
        }),
      ])
      .nullish(),
    reasoning_effort: z.enum(['none', 'minimal', 'low', 'medium', 'high', 'xhigh', 'max']).nullish(),
    verbosity: z.enum(['low', 'medium', 'high']).nullish(),
    metadata: z.record(z.string(), z.unknown()).nullish(),
    n: z.number().int().nullish(),
  })

export type CompletionRequest = z.output<ReturnType<typeof CompletionRequest>>

/** An OpenAI `chat.completion`. */
export const ChatCompletion = () =>
  z.object({
    id: z.string(),
    object: z.literal('chat.completion'),
    created: z.number().int(),
    model: z.string(),
    choices: z.array(
      z.object({
        index: z.literal(0),
        message: z.object({
          role: z.literal('assistant'),
          content: z.string().nullable(),
          refusal: z.null(),
          tool_calls: z.array(FunctionCall()).optional(),
        }),
        logprobs: z.null(),
        /** As OpenAI's; `length` also where a budget cut the answer off. */
        finish_reason: z.string(),
        /** The provider's own word, where this API has none for it. */
        native_finish_reason: z.string().optional(),
      }),
    ),
    /** Ours, also in the last chunk of a stream: the budget that cut the answer off. */
    budget_exceeded: Exhausted().optional(),
    usage: z.object({
      prompt_tokens: z.number().int(),
      completion_tokens: z.number().int(),
      total_tokens: z.number().int(),
      prompt_tokens_details: z.object({ cached_tokens: z.number().int() }),
      completion_tokens_details: z.object({ reasoning_tokens: z.number().int() }),
    }),
  })

export type ChatCompletion = z.output<ReturnType<typeof ChatCompletion>>

/** Over HTTP it speaks OpenAI's wire format, streams where asked to, and answers errors as OpenAI's objects. */
export const completion = defineFunction({
  id: 'stream::completion',
  summary: "OpenAI's chat completions: agents as agent/<id>, or any model",
  input: () => z.union([RawRequest(), CompletionRequest()]),
  output: () => z.union([ChatCompletion(), RawResponse()]).nullish(),
  http: { route: 'POST /v1/chat/completions', raw: true },
  effects: 'external',
})

/** A message to an agent. What `agent::chat` takes beyond these is sent to that. */
export const ChatRequest = () =>
  z.strictObject({
    message: z.string('message required').min(1, 'message required'),
    agentId: z.string().default('default'),
    sessionId: z.string().nullish(),
    provider: z.string().nullish(),
    model: z.string().nullish(),
    stream: z.boolean().nullish(),
  })

/** As `agent::chat`, answered as a stream over HTTP where the body says `"stream": true`. */
export const chat = defineFunction({
  id: 'stream::chat',
  summary: 'Chat with an agent, content, model and usage only',
  input: () => ChatRequest().extend({ stream: z.union([z.literal(false), Ref()]).nullish() }),
  output: () =>
    z.object({
      content: z.string(),
      model: z.string().nullable(),
      usage: z.unknown(),
      /** There was no such agent, and there is one now. */
      agentCreated: z.boolean().optional(),
      /** With `budget`, which says how much it was: the answer was cut off where the money ended. */
      stopReason: z.literal('budget_exceeded').optional(),
      budget: Exhausted().optional(),
    }),
  http: { route: 'POST /v1/chat/stream', stream: true },
  effects: 'external',
  keyed: true,
})

/** Over HTTP the chunks leave as they arrive; over the bus the answer is the whole transcript. */
export const sse = defineFunction({
  id: 'stream::sse',
  summary: 'Chat with an agent as a stream of OpenAI chunks',
  input: () => z.union([RawRequest(), ChatRequest()]),
  output: () => RawResponse().nullish(),
  http: { route: 'POST /v1/chat/completions/stream', raw: true },
  effects: 'external',
})

const OpenAiModel = () =>
  z.object({ id: z.string(), object: z.literal('model'), created: z.number().int(), owned_by: z.string() })

export const models = defineFunction({
  id: 'stream::models',
  summary: "The agents and models that /v1/chat/completions takes, in OpenAI's form",
  input: () => z.looseObject({}),
  output: () => z.object({ object: z.literal('list'), data: z.array(OpenAiModel()) }),
  http: 'GET /v1/models',
  effects: 'read',
})

/** One of that list, by its id, an alias or a model's own name. Ids with a slash may be written as they are, or encoded. */
export const model = defineFunction({
  id: 'stream::model',
  summary: "An agent or model that /v1/chat/completions takes, in OpenAI's form",
  input: () => z.looseObject({ id: z.string().min(1), name: z.string().nullish(), variant: z.string().nullish() }),
  output: OpenAiModel,
  http: ['GET /v1/models/:id', 'GET /v1/models/:id/:name', 'GET /v1/models/:id/:name/:variant'],
  effects: 'read',
})
