import * as z from 'zod'
import { checkModel, checkOpenAiKey, error, openAiModels } from './openai-chat.ts'
import { argumentsText, pieces, type Script, type SimulatedAnswer, usageOf } from './script.ts'
import {
  type Dialect,
  Refused,
  type Simulator,
  type SimulatorOptions,
  type StreamEvent,
  startSimulator,
} from './simulator.ts'
import { firstMistake, TOOL_NAME } from './strict.ts'

const InputText = z.strictObject({ type: z.literal('input_text'), text: z.string() })
const InputImage = z.strictObject({
  type: z.literal('input_image'),
  image_url: z.string().regex(/^(https:\/\/|data:image\/(png|jpeg|gif|webp);base64,)/, 'Invalid image URL'),
  detail: z.enum(['auto', 'low', 'high', 'original']),
})
const InputFile = z.strictObject({
  type: z.literal('input_file'),
  filename: z.string().min(1),
  file_data: z.string().regex(/^data:[\w.+-]+\/[\w.+-]+;base64,/, 'Expected a base64-encoded data URL'),
})
const InputContent = z.union([InputText, InputImage, InputFile])
const Item = z.union([
  z.strictObject({
    type: z.literal('message'),
    role: z.enum(['user', 'system', 'developer']),
    content: z.union([z.string(), z.array(InputContent).min(1)]),
  }),
  z.strictObject({
    type: z.literal('message'),
    role: z.literal('assistant'),
    content: z
      .array(z.strictObject({ type: z.literal('output_text'), text: z.string(), annotations: z.array(z.unknown()) }))
      .min(1),
  }),
  z.strictObject({
    type: z.literal('function_call'),
    call_id: z.string().min(1).max(64),
    name: z.string().regex(TOOL_NAME),
    arguments: z.string(),
    id: z.string().optional(),
  }),
  z.strictObject({
    type: z.literal('function_call_output'),
    call_id: z.string(),
    output: z.union([z.string(), z.array(InputContent).min(1)]),
  }),
  z.strictObject({
    type: z.literal('reasoning'),
    id: z.string(),
    summary: z.array(z.strictObject({ type: z.literal('summary_text'), text: z.string() })),
    encrypted_content: z.string(),
  }),
])
const Body = z.strictObject({
  model: z.string(),
  input: z.union([z.string(), z.array(Item).min(1)]),
  instructions: z.string().optional(),
  store: z.boolean().optional(),
  include: z.array(z.enum(['reasoning.encrypted_content'])).optional(),
  tools: z
    .array(
      z.strictObject({
        type: z.literal('function'),
        name: z.string().regex(TOOL_NAME),
        description: z.string().optional(),
        parameters: z.looseObject({ type: z.literal('object') }),
        strict: z.boolean(),
      }),
    )
    .min(1)
    .optional(),
  tool_choice: z
    .union([z.enum(['none', 'auto', 'required']), z.strictObject({ type: z.literal('function'), name: z.string() })])
    .optional(),
  max_output_tokens: z.number().int().min(16).optional(),
  temperature: z.number().min(0).max(2).optional(),
  top_p: z.number().min(0).max(1).optional(),
  parallel_tool_calls: z.boolean().optional(),
  text: z
    .strictObject({
      format: z
        .discriminatedUnion('type', [
          z.strictObject({ type: z.enum(['text', 'json_object']) }),
          z.strictObject({
            type: z.literal('json_schema'),
            name: z.string().regex(/^[a-zA-Z0-9_-]{1,64}$/),
            schema: z.looseObject({}),
            strict: z.boolean().optional(),
            description: z.string().optional(),
          }),
        ])
        .optional(),
      verbosity: z.enum(['low', 'medium', 'high']).optional(),
    })
    .optional(),
  reasoning: z
    .strictObject({
      effort: z.enum(['none', 'minimal', 'low', 'medium', 'high', 'xhigh', 'max']),
      summary: z.enum(['auto', 'concise', 'detailed']).optional(),
    })
    .optional(),
  stream: z.boolean().optional(),
})

type ResponsesBody = z.output<typeof Body>
type Items = Exclude<ResponsesBody['input'], string>

const dialect: Dialect = {
  basePath: '/v1',

  check(request, { key, keyless, models }) {
    checkOpenAiKey(request, key, keyless)
    if (request.method === 'GET' && request.path === '/v1/models') return { stream: false }
    if (request.method !== 'POST' || request.path !== '/v1/responses') {
      throw new Refused(404, error(404, `Invalid URL (${request.method} ${request.path})`))
    }
    const mistake = firstMistake(Body, request.body)
    if (mistake) {
      const message = mistake.unknown
        ? `Unknown parameter: '${mistake.path}'.`
        : `Invalid value: '${mistake.path}'. ${mistake.message}`
      throw new Refused(400, error(400, message, 'invalid_request_error', 'unknown_parameter'))
    }
    const body = request.body as ResponsesBody
    checkModel(body.model, models)
    checkReasoning(body)
    if (typeof body.input !== 'string') checkItems(body.input)
    return { stream: body.stream === true }
  },

  whole: (answer, request) => response(answer, (request.body as ResponsesBody).model),

  events(answer, request) {
    const whole = response(answer, (request.body as ResponsesBody).model)
    const events: StreamEvent[] = []
    const add = (type: string, fields: object) =>
      events.push({ event: type, data: { type, sequence_number: events.length, ...fields } })
    add('response.created', { response: { ...whole, status: 'in_progress', output: [], usage: null } })
    add('response.in_progress', { response: { ...whole, status: 'in_progress', output: [], usage: null } })
    for (const [index, item] of whole.output.entries()) {
      const place = { item_id: item.id, output_index: index }
      add('response.output_item.added', { output_index: index, item: { ...item, status: 'in_progress' } })
      if (item.type === 'reasoning') {
        for (const delta of pieces(answer.reasoning)) {
          add('response.reasoning_summary_text.delta', { ...place, summary_index: 0, delta })
        }
      } else if (item.type === 'message') {
        for (const delta of pieces(answer.text))
          add('response.output_text.delta', { ...place, content_index: 0, delta })
        add('response.output_text.done', { ...place, content_index: 0, text: answer.text })
      } else {
        add('response.function_call_arguments.delta', { ...place, delta: item.arguments })
        add('response.function_call_arguments.done', { ...place, arguments: item.arguments })
      }
      add('response.output_item.done', { output_index: index, item })
    }
    add(whole.status === 'completed' ? 'response.completed' : 'response.incomplete', { response: whole })
    return events
  },

  error,
  errorEvent: (message) => ({ event: 'error', data: { type: 'error', code: 'server_error', message, param: null } }),
  models: openAiModels,
}

/** OpenAI's Responses. */
export function startOpenAiResponsesSimulator(script: Script, options?: SimulatorOptions): Promise<Simulator> {
  return startSimulator(dialect, script, options)
}

function checkReasoning({ model, include, reasoning, temperature }: ResponsesBody): void {
  const reasons = /^(o\d|gpt-5)/.test(model)
  if (!reasons && include) throw new Refused(400, error(400, 'Encrypted content is not supported with this model.'))
  if (!reasons && reasoning) {
    throw new Refused(400, error(400, "Unsupported parameter: 'reasoning.effort' is not supported with this model."))
  }
  if (reasons && temperature !== undefined) {
    throw new Refused(400, error(400, "Unsupported parameter: 'temperature' is not supported with this model."))
  }
}

function checkItems(items: Items): void {
  const open = new Set<string>()
  for (const [index, item] of items.entries()) {
    if (item.type === 'function_call') open.add(item.call_id)
    if (item.type === 'function_call_output' && !open.delete(item.call_id)) {
      throw new Refused(400, error(400, `No tool call found for function call output with call_id ${item.call_id}.`))
    }
    const next = items[index + 1]
    const follows = next?.type === 'function_call' || (next?.type === 'message' && next.role === 'assistant')
    if (item.type === 'reasoning' && !follows) {
      const text = `Item '${item.id}' of type 'reasoning' was provided without its required following item.`
      throw new Refused(400, error(400, text))
    }
    if (item.type === 'reasoning' && !item.encrypted_content.startsWith('enc:')) {
      throw new Refused(400, error(400, `The encrypted content for item ${item.id} could not be verified.`))
    }
  }
  const [missing] = open
  if (missing) throw new Refused(400, error(400, `No tool output found for function call ${missing}.`))
}

function response(answer: SimulatedAnswer, model: string) {
  const { input, output, cached, reasoning } = usageOf(answer)
  const reasons = { stop: undefined, length: 'max_output_tokens', content_filter: 'content_filter' }
  const reason = answer.finish ?? reasons[answer.stop ?? 'stop']
  return {
    id: 'resp_simulated',
    object: 'response',
    created_at: 1_700_000_000,
    model,
    status: reason === undefined ? 'completed' : 'incomplete',
    incomplete_details: reason === undefined ? null : { reason },
    error: null,
    output: outputItems(answer),
    usage:
      answer.countedAs === undefined
        ? {
            input_tokens: input,
            input_tokens_details: { cached_tokens: cached },
            output_tokens: output,
            output_tokens_details: { reasoning_tokens: reasoning },
            total_tokens: input + output,
          }
        : answer.countedAs,
  }
}

function outputItems(answer: SimulatedAnswer) {
  return [
    ...(answer.reasoning === undefined && answer.signature === undefined
      ? []
      : [
          {
            type: 'reasoning' as const,
            id: 'rs_0',
            summary: answer.reasoning === undefined ? [] : [{ type: 'summary_text', text: answer.reasoning }],
            encrypted_content: `enc:${answer.signature ?? ''}`,
          },
        ]),
    ...(answer.text === undefined
      ? []
      : [
          {
            type: 'message' as const,
            id: 'msg_0',
            role: 'assistant',
            status: 'completed',
            content: [{ type: 'output_text', text: answer.text, annotations: [] }],
          },
        ]),
    ...(answer.toolCalls ?? []).map((call, index) => ({
      type: 'function_call' as const,
      id: `fc_${index}`,
      call_id: call.id ?? `call_${index}`,
      name: call.name,
      arguments: argumentsText(call.arguments),
      status: 'completed',
    })),
  ]
}
