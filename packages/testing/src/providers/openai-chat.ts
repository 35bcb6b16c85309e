import * as z from 'zod'
import { argumentsText, pieces, type RecordedRequest, type Script, type SimulatedAnswer, usageOf } from './script.ts'
import {
  type Dialect,
  Refused,
  type Simulator,
  type SimulatorOptions,
  type StreamEvent,
  startSimulator,
} from './simulator.ts'
import { firstMistake, TOOL_NAME } from './strict.ts'

const TextContent = z.strictObject({ type: z.literal('text'), text: z.string() })
const ImageContent = z.strictObject({
  type: z.literal('image_url'),
  image_url: z.strictObject({
    url: z.string().regex(/^(https:\/\/|data:image\/(png|jpeg|gif|webp);base64,)/, 'Invalid image URL'),
    detail: z.enum(['auto', 'low', 'high', 'original']).optional(),
  }),
})
const FileContent = z.strictObject({
  type: z.literal('file'),
  file: z.strictObject({
    file_data: z.string().regex(/^data:[\w.+-]+\/[\w.+-]+;base64,/, 'Expected a base64-encoded data URL'),
    filename: z.string('Missing required parameter').min(1),
  }),
})
const Text = z.union([z.string(), z.array(TextContent).min(1)])
const ToolCall = z.strictObject({
  id: z.string().min(1).max(40),
  type: z.literal('function'),
  function: z.strictObject({ name: z.string().regex(TOOL_NAME), arguments: z.string() }),
})
const Message = z.discriminatedUnion('role', [
  z.strictObject({ role: z.enum(['system', 'developer']), content: Text, name: z.string().optional() }),
  z.strictObject({
    role: z.literal('user'),
    content: z.union([z.string(), z.array(z.union([TextContent, ImageContent, FileContent])).min(1)]),
    name: z.string().optional(),
  }),
  z.strictObject({
    role: z.literal('assistant'),
    content: Text.nullish(),
    refusal: z.string().nullish(),
    name: z.string().optional(),
    tool_calls: z.array(ToolCall).min(1).optional(),
  }),
  z.strictObject({ role: z.literal('tool'), content: Text, tool_call_id: z.string() }),
])
const Body = z.strictObject({
  model: z.string(),
  messages: z.array(Message).min(1),
  tools: z
    .array(
      z.strictObject({
        type: z.literal('function'),
        function: z.strictObject({
          name: z.string().regex(TOOL_NAME),
          description: z.string().optional(),
          parameters: z.looseObject({ type: z.literal('object') }).optional(),
          strict: z.boolean().nullish(),
        }),
      }),
    )
    .min(1)
    .optional(),
  tool_choice: z
    .union([
      z.enum(['none', 'auto', 'required']),
      z.strictObject({ type: z.literal('function'), function: z.strictObject({ name: z.string() }) }),
    ])
    .optional(),
  parallel_tool_calls: z.boolean().optional(),
  max_tokens: z.number().int().positive().optional(),
  max_completion_tokens: z.number().int().positive().optional(),
  temperature: z.number().min(0).max(2).optional(),
  top_p: z.number().min(0).max(1).optional(),
  stop: z.union([z.string(), z.array(z.string()).max(4)]).optional(),
  response_format: z
    .discriminatedUnion('type', [
      z.strictObject({ type: z.enum(['text', 'json_object']) }),
      z.strictObject({
        type: z.literal('json_schema'),
        json_schema: z.strictObject({
          name: z.string().regex(/^[a-zA-Z0-9_-]{1,64}$/),
          schema: z.looseObject({}),
          strict: z.boolean().optional(),
          description: z.string().optional(),
        }),
      }),
    ])
    .optional(),
  reasoning_effort: z.enum(['none', 'minimal', 'low', 'medium', 'high', 'xhigh', 'max']).optional(),
  verbosity: z.enum(['low', 'medium', 'high']).optional(),
  seed: z.number().int().optional(),
  frequency_penalty: z.number().min(-2).max(2).optional(),
  presence_penalty: z.number().min(-2).max(2).optional(),
  stream: z.boolean().optional(),
  stream_options: z.strictObject({ include_usage: z.boolean() }).optional(),
})

type ChatBody = z.output<typeof Body>

const dialect: Dialect = {
  basePath: '/v1',

  check(request, { key, keyless, models }) {
    checkOpenAiKey(request, key, keyless)
    if (request.method === 'GET' && request.path === '/v1/models') return { stream: false }
    if (request.method !== 'POST' || request.path !== '/v1/chat/completions') {
      throw new Refused(404, error(404, `Invalid URL (${request.method} ${request.path})`))
    }
    const mistake = firstMistake(Body, request.body)
    if (mistake) {
      const message = mistake.unknown
        ? `Unrecognized request argument supplied: ${mistake.path}`
        : `Invalid value for '${mistake.path}': ${mistake.message}`
      throw new Refused(400, error(400, message))
    }
    const body = request.body as ChatBody
    checkModel(body.model, models)
    checkReasoningModel(body)
    checkTools(body)
    checkOrder(body.messages)
    return { stream: body.stream === true }
  },

  whole(answer, request) {
    const { model } = request.body as ChatBody
    return {
      id: 'chatcmpl-simulated',
      object: 'chat.completion',
      created: 1_700_000_000,
      model,
      choices: [
        {
          index: 0,
          message: {
            role: 'assistant',
            content: answer.text ?? null,
            refusal: null,
            ...(answer.reasoning === undefined ? {} : { reasoning_content: answer.reasoning }),
            ...(answer.toolCalls ? { tool_calls: answer.toolCalls.map(wireCall) } : {}),
          },
          logprobs: null,
          finish_reason: finishReason(answer),
        },
      ],
      usage: wireUsage(answer),
    }
  },

  events(answer, request) {
    const { model, stream_options } = request.body as ChatBody
    const head = { id: 'chatcmpl-simulated', object: 'chat.completion.chunk', created: 1_700_000_000, model }
    const chunk = (delta: object, finish: string | null = null): StreamEvent => ({
      data: { ...head, choices: [{ index: 0, delta, logprobs: null, finish_reason: finish }] },
    })
    return [
      chunk({ role: 'assistant', content: answer.text === undefined ? null : '' }),
      ...pieces(answer.reasoning).map((piece) => chunk({ reasoning_content: piece })),
      ...pieces(answer.text).map((piece) => chunk({ content: piece })),
      ...(answer.toolCalls ?? []).flatMap((call, index) => {
        const { id, type, function: called } = wireCall(call, index)
        const cut = Math.ceil(called.arguments.length / 2)
        return [
          chunk({ tool_calls: [{ index, id, type, function: { name: called.name, arguments: '' } }] }),
          ...[called.arguments.slice(0, cut), called.arguments.slice(cut)]
            .filter((part) => part !== '')
            .map((part) => chunk({ tool_calls: [{ index, function: { arguments: part } }] })),
        ]
      }),
      chunk({}, finishReason(answer)),
      ...(stream_options?.include_usage ? [{ data: { ...head, choices: [], usage: wireUsage(answer) } }] : []),
      { data: '[DONE]' },
    ]
  },

  error,
  errorEvent: (message) => ({ data: error(500, message, 'server_error') }),
  models: openAiModels,
}

/** OpenAI's chat completions. */
export function startOpenAiSimulator(script: Script, options?: SimulatorOptions): Promise<Simulator> {
  return startSimulator(dialect, script, options)
}

export function checkOpenAiKey(request: RecordedRequest, key: string, keyless: boolean): void {
  if (keyless) return
  const { authorization } = request.headers
  if (authorization === undefined) {
    const message = "You didn't provide an API key. You need to provide your API key in an Authorization header."
    throw new Refused(401, error(401, message))
  }
  if (authorization !== `Bearer ${key}`) {
    const given = authorization.replace(/^Bearer /, '')
    const shown = `${given.slice(0, 3)}${'*'.repeat(8)}${given.slice(-4)}`
    throw new Refused(
      401,
      error(401, `Incorrect API key provided: ${shown}.`, 'invalid_request_error', 'invalid_api_key'),
    )
  }
}

export function checkModel(model: string, models: readonly string[]): void {
  if (models.length === 0 || models.includes(model)) return
  const message = `The model \`${model}\` does not exist or you do not have access to it.`
  throw new Refused(404, error(404, message, 'invalid_request_error', 'model_not_found'))
}

export function openAiModels(names: readonly string[]): unknown {
  return {
    object: 'list',
    data: names.map((id) => ({ id, object: 'model', created: 1_700_000_000, owned_by: 'simulated' })),
  }
}

export function error(status: number, message: string, type?: string, code?: string): unknown {
  const types: Record<number, string> = {
    401: 'invalid_request_error',
    429: 'rate_limit_exceeded',
    500: 'server_error',
  }
  return {
    error: { message, type: type ?? types[status] ?? 'invalid_request_error', param: null, code: code ?? type ?? null },
  }
}

function checkReasoningModel(body: ChatBody): void {
  if (!/^(o\d|gpt-5)/.test(body.model)) return
  if (body.max_tokens !== undefined) {
    const message =
      "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
    throw new Refused(400, error(400, message, 'invalid_request_error', 'unsupported_parameter'))
  }
  if (body.temperature !== undefined && body.temperature !== 1) {
    const message = `Unsupported value: 'temperature' does not support ${body.temperature} with this model.`
    throw new Refused(400, error(400, message, 'invalid_request_error', 'unsupported_value'))
  }
}

function checkTools({ tools, tool_choice: choice, parallel_tool_calls: parallel }: ChatBody): void {
  if (parallel !== undefined && !tools) {
    const message =
      "Invalid value for 'parallel_tool_calls': 'parallel_tool_calls' is only allowed when 'tools' are specified."
    throw new Refused(400, error(400, message))
  }
  if (choice !== undefined && !tools) {
    throw new Refused(
      400,
      error(400, "Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are specified."),
    )
  }
  const wanted = typeof choice === 'object' ? choice.function.name : undefined
  if (wanted !== undefined && !tools?.some((tool) => tool.function.name === wanted)) {
    throw new Refused(400, error(400, `Invalid value for 'tool_choice': Tool choice '${wanted}' not found in 'tools'.`))
  }
}

function checkOrder(messages: ChatBody['messages']): void {
  let open = new Set<string>()
  for (const [index, message] of messages.entries()) {
    if (message.role === 'tool') {
      if (!open.delete(message.tool_call_id)) {
        const text = `Invalid parameter: messages with role 'tool' must be a response to a preceding message with 'tool_calls'. (messages[${index}])`
        throw new Refused(400, error(400, text))
      }
      continue
    }
    checkAnswered(open)
    open = new Set(message.role === 'assistant' ? (message.tool_calls ?? []).map(({ id }) => id) : [])
    if (message.role === 'assistant' && !message.content && !message.tool_calls) {
      throw new Refused(
        400,
        error(400, `Invalid value for 'content': expected a string, got null. (messages[${index}])`),
      )
    }
  }
  checkAnswered(open)
}

function checkAnswered(open: Set<string>): void {
  if (open.size === 0) return
  const ids = [...open].join(', ')
  const text = `An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. The following tool_call_ids did not have response messages: ${ids}`
  throw new Refused(400, error(400, text))
}

function wireCall({ id, name, arguments: args }: NonNullable<SimulatedAnswer['toolCalls']>[number], index: number) {
  return { id: id ?? `call_${index}`, type: 'function', function: { name, arguments: argumentsText(args) } }
}

function finishReason({ finish, stop, toolCalls }: SimulatedAnswer): string | null {
  if (finish !== undefined) return finish
  if (stop !== undefined) return stop
  return toolCalls ? 'tool_calls' : 'stop'
}

function wireUsage(answer: SimulatedAnswer): unknown {
  if (answer.countedAs !== undefined) return answer.countedAs
  const { input, output, cached, reasoning } = usageOf(answer)
  return {
    prompt_tokens: input,
    completion_tokens: output,
    total_tokens: input + output,
    prompt_tokens_details: { cached_tokens: cached, audio_tokens: 0 },
    completion_tokens_details: { reasoning_tokens: reasoning, audio_tokens: 0 },
  }
}
