import * as z from 'zod'
import { argumentsText, argumentsValue, pieces, type Script, type SimulatedAnswer, usageOf } from './script.ts'
import {
  type Dialect,
  Refused,
  type Simulator,
  type SimulatorOptions,
  type StreamEvent,
  startSimulator,
} from './simulator.ts'
import { firstMistake } from './strict.ts'

const VERSION = '2023-06-01'
const Text = z.strictObject({
  type: z.literal('text'),
  text: z.string().regex(/\S/, 'text content blocks must contain non-whitespace text'),
})
const Words = z.string().regex(/\S/, 'text content blocks must contain non-whitespace text')
const Image = z.strictObject({
  type: z.literal('image'),
  source: z.discriminatedUnion('type', [
    z.strictObject({
      type: z.literal('base64'),
      media_type: z.enum(['image/jpeg', 'image/png', 'image/gif', 'image/webp']),
      data: z.base64(),
    }),
    z.strictObject({ type: z.literal('url'), url: z.string().startsWith('https://') }),
  ]),
})
const Document = z.strictObject({
  type: z.literal('document'),
  source: z.discriminatedUnion('type', [
    z.strictObject({ type: z.literal('base64'), media_type: z.literal('application/pdf'), data: z.base64() }),
    z.strictObject({ type: z.literal('text'), media_type: z.literal('text/plain'), data: z.string().min(1) }),
  ]),
  title: z.string().min(1).max(255).optional(),
})
const ToolUse = z.strictObject({
  type: z.literal('tool_use'),
  id: z.string().regex(/^[a-zA-Z0-9_-]+$/),
  name: z.string().regex(/^[a-zA-Z0-9_-]{1,128}$/),
  input: z.record(z.string(), z.unknown()),
})
const ToolResult = z.strictObject({
  type: z.literal('tool_result'),
  tool_use_id: z.string().regex(/^[a-zA-Z0-9_-]+$/),
  content: z.union([z.string(), z.array(z.discriminatedUnion('type', [Text, Image]))]).optional(),
  is_error: z.boolean().optional(),
})
const Thinking = z.strictObject({ type: z.literal('thinking'), thinking: z.string(), signature: z.string().min(1) })
const Redacted = z.strictObject({ type: z.literal('redacted_thinking'), data: z.string().min(1) })
const Message = z.discriminatedUnion('role', [
  z.strictObject({
    role: z.literal('user'),
    content: z.union([Words, z.array(z.discriminatedUnion('type', [Text, Image, Document, ToolResult])).min(1)]),
  }),
  z.strictObject({
    role: z.literal('assistant'),
    content: z.union([Words, z.array(z.discriminatedUnion('type', [Text, ToolUse, Thinking, Redacted])).min(1)]),
  }),
])
const Body = z.strictObject({
  model: z.string(),
  max_tokens: z.number('Field required').int().positive(),
  messages: z.array(Message).min(1, 'at least one message is required'),
  system: z.union([Words, z.array(Text)]).optional(),
  tools: z
    .array(
      z.strictObject({
        name: z.string().regex(/^[a-zA-Z0-9_-]{1,128}$/, "String should match pattern '^[a-zA-Z0-9_-]{1,128}$'"),
        description: z.string().optional(),
        input_schema: z.looseObject({ type: z.literal('object') }),
        strict: z.boolean().optional(),
      }),
    )
    .optional(),
  tool_choice: z
    .discriminatedUnion('type', [
      z.strictObject({ type: z.enum(['auto', 'any']), disable_parallel_tool_use: z.boolean().optional() }),
      z.strictObject({ type: z.literal('none') }),
      z.strictObject({ type: z.literal('tool'), name: z.string(), disable_parallel_tool_use: z.boolean().optional() }),
    ])
    .optional(),
  temperature: z.number().min(0).max(1).optional(),
  top_p: z.number().min(0).max(1).optional(),
  stop_sequences: z.array(z.string().regex(/\S/, 'each stop sequence must contain non-whitespace')).optional(),
  thinking: z
    .discriminatedUnion('type', [
      z.strictObject({ type: z.literal('enabled'), budget_tokens: z.number().int().min(1024) }),
      z.strictObject({ type: z.enum(['adaptive', 'disabled']) }),
    ])
    .optional(),
  output_config: z
    .strictObject({
      effort: z.enum(['low', 'medium', 'high', 'xhigh', 'max']).optional(),
      format: z.strictObject({ type: z.literal('json_schema'), schema: z.looseObject({}) }).optional(),
    })
    .optional(),
  metadata: z.strictObject({ user_id: z.string() }).optional(),
  stream: z.boolean().optional(),
})

type MessagesBody = z.output<typeof Body>

const dialect: Dialect = {
  basePath: '',

  check(request, { key, keyless, models }) {
    const { headers, method, path } = request
    if (!keyless && headers['x-api-key'] === undefined)
      throw new Refused(401, error(401, 'x-api-key header is required'))
    if (!keyless && headers['x-api-key'] !== key) throw new Refused(401, error(401, 'invalid x-api-key'))
    if (headers['anthropic-version'] === undefined) {
      throw new Refused(400, error(400, 'anthropic-version: header is required'))
    }
    if (headers['anthropic-version'] !== VERSION) {
      throw new Refused(400, error(400, `anthropic-version: "${headers['anthropic-version']}" is not a valid version`))
    }
    if (method === 'GET' && path.split('?')[0] === '/v1/models') return { stream: false }
    if (method !== 'POST' || path !== '/v1/messages') throw new Refused(404, error(404, 'Not found'))
    const mistake = firstMistake(Body, request.body)
    if (mistake) throw new Refused(400, error(400, `${mistake.path}: ${mistake.message}`))
    const body = request.body as MessagesBody
    if (models.length > 0 && !models.includes(body.model)) throw new Refused(404, error(404, `model: ${body.model}`))
    checkThinking(body)
    checkTools(body)
    checkOrder(body.messages)
    checkEnd(body)
    return { stream: body.stream === true }
  },

  whole(answer, request) {
    return {
      id: 'msg_simulated',
      type: 'message',
      role: 'assistant',
      model: (request.body as MessagesBody).model,
      content: blocksOf(answer).map(({ block }) => block),
      stop_reason: stopReason(answer),
      stop_sequence: null,
      usage: answer.countedAs === undefined ? wireUsage(answer) : answer.countedAs,
    }
  },

  events(answer, request) {
    const events: StreamEvent[] = []
    const add = (type: string, fields: object = {}) => events.push({ event: type, data: { type, ...fields } })
    const usage = wireUsage(answer)
    add('message_start', {
      message: {
        id: 'msg_simulated',
        type: 'message',
        role: 'assistant',
        model: (request.body as MessagesBody).model,
        content: [],
        stop_reason: null,
        stop_sequence: null,
        usage: answer.countedAs === undefined ? { ...usage, output_tokens: 1 } : { output_tokens: 1 },
      },
    })
    add('ping')
    for (const [index, { empty, deltas }] of blocksOf(answer).entries()) {
      add('content_block_start', { index, content_block: empty })
      for (const delta of deltas) add('content_block_delta', { index, delta })
      add('content_block_stop', { index })
    }
    add('message_delta', {
      delta: { stop_reason: stopReason(answer), stop_sequence: null },
      usage: answer.countedAs === undefined ? { output_tokens: usage.output_tokens } : answer.countedAs,
    })
    add('message_stop')
    return events
  },

  error,
  errorEvent: (message) => ({ event: 'error', data: error(529, message) }),
  models: (names) => ({
    data: names.map((id) => ({ id, type: 'model', display_name: id, created_at: '2026-01-01T00:00:00Z' })),
    has_more: false,
  }),
}

/** Anthropic's Messages. */
export function startAnthropicSimulator(script: Script, options?: SimulatorOptions): Promise<Simulator> {
  return startSimulator(dialect, script, options)
}

function error(status: number, message: string, type?: string): unknown {
  const types: Record<number, string> = {
    401: 'authentication_error',
    403: 'permission_error',
    404: 'not_found_error',
    413: 'request_too_large',
    429: 'rate_limit_error',
    500: 'api_error',
    529: 'overloaded_error',
  }
  const body = { type: type ?? types[status] ?? 'invalid_request_error', message }
  return { type: 'error', error: body, request_id: 'req_simulated' }
}

function checkThinking({
  thinking,
  max_tokens: limit,
  temperature,
  top_p: topP,
  tool_choice: choice,
}: MessagesBody): void {
  if (temperature !== undefined && topP !== undefined) {
    throw new Refused(400, error(400, '`temperature` and `top_p` cannot both be specified for this model.'))
  }
  if (!thinking || thinking.type === 'disabled') return
  if (thinking.type === 'enabled' && thinking.budget_tokens >= limit) {
    throw new Refused(400, error(400, '`max_tokens` must be greater than `thinking.budget_tokens`.'))
  }
  if (temperature !== undefined && temperature !== 1) {
    throw new Refused(400, error(400, '`temperature` may only be set to 1 when thinking is enabled.'))
  }
  if (choice?.type === 'any' || choice?.type === 'tool') {
    throw new Refused(400, error(400, 'Thinking may not be enabled when tool_choice forces tool use.'))
  }
}

function checkTools({ tools, tool_choice: choice }: MessagesBody): void {
  const names = (tools ?? []).map(({ name }) => name)
  if (new Set(names).size < names.length) throw new Refused(400, error(400, 'tools: Tool names must be unique.'))
  if (choice && names.length === 0) throw new Refused(400, error(400, 'tool_choice: tools must be provided'))
  if (choice?.type === 'tool' && !names.includes(choice.name)) {
    throw new Refused(400, error(400, `tool_choice.name: Tool '${choice.name}' not found in provided tools`))
  }
}

function checkOrder(messages: MessagesBody['messages']): void {
  if (messages[0]?.role !== 'user')
    throw new Refused(400, error(400, 'messages: first message must use the "user" role'))
  let open: string[] = []
  const used = new Set<string>()
  for (const [index, { role, content }] of messages.entries()) {
    const blocks = typeof content === 'string' ? [] : content
    for (const [at, block] of blocks.entries()) {
      if (block.type !== 'tool_use') continue
      if (used.has(block.id)) {
        throw new Refused(400, error(400, `messages.${index}.content.${at}: \`tool_use\` ids must be unique`))
      }
      used.add(block.id)
    }
    const results = blocks.flatMap((block) => (block.type === 'tool_result' ? [block.tool_use_id] : []))
    const missing = open.filter((id) => !results.includes(id))
    if (missing.length > 0) {
      const text = `messages.${index - 1}: \`tool_use\` ids were found without \`tool_result\` blocks immediately after: ${missing.join(', ')}.`
      throw new Refused(400, error(400, text))
    }
    const stray = results.find((id) => !open.includes(id))
    if (stray !== undefined) {
      const text = `messages.${index}: unexpected \`tool_use_id\` found in \`tool_result\` blocks: ${stray}. Each \`tool_result\` block must have a corresponding \`tool_use\` block in the previous message.`
      throw new Refused(400, error(400, text))
    }
    const firstOther = blocks.findIndex((block) => block.type !== 'tool_result')
    if (firstOther >= 0 && blocks.slice(firstOther).some((block) => block.type === 'tool_result')) {
      throw new Refused(400, error(400, `messages.${index}: tool_result blocks must come first in the content`))
    }
    const end = blocks.at(-1)?.type
    if (end === 'thinking' || end === 'redacted_thinking') {
      const text = `messages.${index}: The final block in an assistant message cannot be \`thinking\`.`
      throw new Refused(400, error(400, text))
    }
    for (const block of blocks) {
      if (block.type === 'thinking' && !block.signature.startsWith('sig:')) {
        throw new Refused(400, error(400, `messages.${index}: Invalid \`signature\` in \`thinking\` block`))
      }
    }
    open = role === 'assistant' ? blocks.flatMap((block) => (block.type === 'tool_use' ? [block.id] : [])) : []
  }
  if (open.length > 0)
    throw new Refused(400, error(400, `\`tool_use\` ids were found without \`tool_result\`: ${open}`))
}

/** What comes last: whether the model may go on with it, and what it thought before its calls. */
function checkEnd({ model, messages, thinking }: MessagesBody): void {
  const last = messages.at(-1)!
  const blocks = typeof last.content === 'string' ? [] : last.content
  if (last.role === 'assistant') {
    if (!/^claude-(?:[123]|[a-z]+-4(?:-[0-5])?(?:-20\d{6})?$)/.test(model)) {
      const text =
        'This model does not support assistant message prefill. The conversation must end with a user message.'
      throw new Refused(400, error(400, text))
    }
    const block = blocks.at(-1)
    const text = typeof last.content === 'string' ? last.content : block?.type === 'text' ? block.text : ''
    if (/\s$/.test(text)) {
      throw new Refused(400, error(400, 'messages: final assistant content cannot end with trailing whitespace'))
    }
  }
  if (thinking?.type !== 'enabled' || !blocks.some((block) => block.type === 'tool_result')) return
  const first = messages.findLast(({ role }) => role === 'assistant')?.content[0]
  const found = typeof first === 'object' ? first.type : 'text'
  if (found === 'thinking' || found === 'redacted_thinking') return
  const text = `messages: Expected \`thinking\` or \`redacted_thinking\`, but found \`${found}\`. When \`thinking\` is enabled, a final \`assistant\` message must start with a thinking block.`
  throw new Refused(400, error(400, text))
}

interface StreamedBlock {
  block: object
  empty: object
  deltas: object[]
}

function blocksOf(answer: SimulatedAnswer): StreamedBlock[] {
  const blocks: StreamedBlock[] = []
  if (answer.reasoning !== undefined || answer.signature !== undefined) {
    const signature = `sig:${answer.signature ?? ''}`
    blocks.push({
      block: { type: 'thinking', thinking: answer.reasoning ?? '', signature },
      empty: { type: 'thinking', thinking: '', signature: '' },
      deltas: [
        ...pieces(answer.reasoning).map((thinking) => ({ type: 'thinking_delta', thinking })),
        { type: 'signature_delta', signature },
      ],
    })
  }
  if (answer.text !== undefined) {
    blocks.push({
      block: { type: 'text', text: answer.text },
      empty: { type: 'text', text: '' },
      deltas: pieces(answer.text).map((text) => ({ type: 'text_delta', text })),
    })
  }
  for (const [index, { id = `toolu_${index}`, name, arguments: args }] of (answer.toolCalls ?? []).entries()) {
    const json = argumentsText(args)
    const cut = Math.ceil(json.length / 2)
    blocks.push({
      block: { type: 'tool_use', id, name, input: argumentsValue(args) },
      empty: { type: 'tool_use', id, name, input: {} },
      deltas: ['', json.slice(0, cut), json.slice(cut)].map((part) => ({
        type: 'input_json_delta',
        partial_json: part,
      })),
    })
  }
  return blocks
}

function stopReason({ finish, stop, toolCalls }: SimulatedAnswer): string | null {
  if (finish !== undefined) return finish
  if (stop !== undefined) return { stop: 'end_turn', length: 'max_tokens', content_filter: 'refusal' }[stop]
  return toolCalls ? 'tool_use' : 'end_turn'
}

function wireUsage(answer: SimulatedAnswer) {
  const { input, output, cached } = usageOf(answer)
  return {
    input_tokens: input - cached,
    cache_creation_input_tokens: 0,
    cache_read_input_tokens: cached,
    output_tokens: output,
  }
}
