import { defineFunction } from '@agentos/sdk/contract'
import * as z from 'zod'

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
const ImageContent = () =>
  z.looseObject({ type: z.literal('image_url'), image_url: z.looseObject({ url: z.string() }) })
const ContentPart = () => z.union([TextContent(), ImageContent()])
const FunctionCall = () =>
  z.looseObject({
    id: z.string().min(1),
    type: z.literal('function'),
    function: z.looseObject({ name: z.string().min(1), arguments: z.string() }),
  })

/** A message of OpenAI's chat completions API. */
export const OpenAiMessage = () =>
  z.discriminatedUnion('role', [
    z.looseObject({ role: z.enum(['system', 'developer']), content: z.union([z.string(), z.array(TextContent())]) }),
    z.looseObject({ role: z.literal('user'), content: z.union([z.string(), z.array(ContentPart())]) }),
    z.looseObject({
      role: z.literal('assistant'),
      content: z.union([z.string(), z.array(TextContent())]).nullish(),
      tool_calls: z.array(FunctionCall()).nullish(),
    }),
    z.looseObject({
      role: z.literal('tool'),
      tool_call_id: z.string().min(1),
      content: z.union([z.string(), z.array(TextContent())]),
    }),
  ])

const OpenAiTool = () =>
  z.looseObject({
    type: z.literal('function'),
    function: z.looseObject({
      name: z.string().min(1).max(64),
      description: z.string().nullish(),
      parameters: z.record(z.string(), z.unknown()).nullish(),
    }),
  })

/** The body of `POST /v1/chat/completions`; `agentId`, `sessionId` and `provider` are ours. */
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
    tool_choice: z
      .union([
        z.enum(['none', 'auto', 'required']),
        z.looseObject({ type: z.literal('function'), function: z.looseObject({ name: z.string() }) }),
      ])
      .nullish(),
    temperature: z.number().min(0).max(2).nullish(),
    top_p: z.number().gt(0).max(1).nullish(),
    max_tokens: z.number().int().positive().nullish(),
    max_completion_tokens: z.number().int().positive().nullish(),
    stop: z.union([z.string(), z.array(z.string()).max(4)]).nullish(),
    response_format: z
      .union([
        z.object({ type: z.enum(['text', 'json_object']) }),
        z.object({
          type: z.literal('json_schema'),
          json_schema: z.looseObject({ name: z.string(), schema: z.record(z.string(), z.unknown()).nullish() }),
        }),
      ])
      .nullish(),
    reasoning_effort: z.enum(['low', 'medium', 'high']).nullish(),
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
        finish_reason: z.string(),
        /** The provider's own word, where this API has none for it. */
        native_finish_reason: z.string().optional(),
      }),
    ),
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

const ChatRequest = () =>
  z.looseObject({
    message: z.string('message required').min(1, 'message required'),
    agentId: z.string().default('default'),
    sessionId: z.string().nullish(),
    provider: z.string().nullish(),
    model: z.string().nullish(),
  })

/** As `agent::chat`, answered as a stream over HTTP where the body says `"stream": true`. */
export const chat = defineFunction({
  id: 'stream::chat',
  summary: 'Chat with an agent, content, model and usage only',
  input: () => ChatRequest().extend({ stream: z.union([z.literal(false), Ref()]).nullish() }),
  output: () => z.object({ content: z.string(), model: z.string().nullable(), usage: z.unknown() }),
  http: { route: 'POST /v1/chat/stream', stream: true },
  effects: 'external',
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

export const models = defineFunction({
  id: 'stream::models',
  summary: "The agents and models that /v1/chat/completions takes, in OpenAI's form",
  input: () => z.looseObject({}),
  output: () =>
    z.object({
      object: z.literal('list'),
      data: z.array(
        z.object({ id: z.string(), object: z.literal('model'), created: z.number().int(), owned_by: z.string() }),
      ),
    }),
  http: 'GET /v1/models',
  effects: 'read',
})
