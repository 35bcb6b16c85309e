import type { complete } from '@agentos/contracts/llm-router'
import type { Message, Part, ToolCall } from '@agentos/contracts/message'
import type { CompletionRequest } from '@agentos/contracts/streaming'
import { AgentError, type InputOf } from '@agentos/sdk'

type CompleteInput = InputOf<typeof complete>
type OpenAiMessage = CompletionRequest['messages'][number]

/** Parts of the API that change the answer and that this system cannot give. */
const UNSUPPORTED = ['audio', 'functions', 'function_call', 'logprobs', 'top_logprobs', 'logit_bias', 'prediction']

/** What runs the request: an agent with its own tools and memory, or a model with the client's messages and tools. */
export type Target = { agentId: string } | { model: string | undefined }

export function targetOf(request: CompletionRequest): Target {
  const named = /^agent\/(.+)$/.exec(request.model)?.[1]
  const agentId = named ?? request.agentId
  if (agentId) return { agentId }
  return { model: request.model === 'agentos-default' ? undefined : request.model }
}

/** Refuses what would silently be left out. */
export function assertSupported(request: CompletionRequest, target: Target): void {
  for (const name of UNSUPPORTED) {
    const value = request[name]
    if (value !== undefined && value !== null && value !== false) {
      throw new AgentError('unsupported_feature', `${name} is not supported here; leave it out`)
    }
  }
  if (request.n && request.n !== 1) throw new AgentError('unsupported_feature', 'n has to be 1')
  if ('agentId' in target && request.tools?.length) {
    throw new AgentError('invalid_input', 'An agent uses its own functions; send tools with a plain model only')
  }
}

/** The last user turn's text, which is what an agent answers. */
export function lastUserText(messages: readonly OpenAiMessage[]): string {
  const last = messages.findLast((message) => message.role === 'user')
  const text = last ? textOf(last.content) : ''
  if (!text) throw new AgentError('invalid_input', 'a non-empty user message is required')
  return text
}

/** The request of a plain model call. */
export function toCompletion(request: CompletionRequest): CompleteInput {
  const target = targetOf(request)
  const maxTokens = request.max_completion_tokens ?? request.max_tokens
  const names = callNames(request.messages)
  return {
    messages: request.messages.map((message) => toMessage(message, names)),
    ...('model' in target && target.model !== undefined ? { model: target.model } : {}),
    ...(request.provider ? { provider: request.provider } : {}),
    ...(request.tools?.length
      ? {
          tools: request.tools.map(({ function: fn }) => ({
            id: fn.name,
            description: fn.description ?? '',
            inputSchema: fn.parameters ?? { type: 'object', properties: {} },
          })),
        }
      : {}),
    ...(request.tool_choice ? { toolChoice: toolChoice(request.tool_choice) } : {}),
    ...(maxTokens ? { maxTokens } : {}),
    ...(typeof request.temperature === 'number' ? { temperature: request.temperature } : {}),
    ...(typeof request.top_p === 'number' ? { topP: request.top_p } : {}),
    ...(request.stop ? { stop: typeof request.stop === 'string' ? [request.stop] : request.stop } : {}),
    ...(request.response_format ? { responseFormat: responseFormat(request.response_format) } : {}),
    ...(request.reasoning_effort ? { reasoning: request.reasoning_effort } : {}),
  }
}

function toMessage(message: OpenAiMessage, names: ReadonlyMap<string, string>): Message {
  switch (message.role) {
    case 'system':
    case 'developer':
      return { role: 'system', content: textOf(message.content) }
    case 'user':
      return {
        role: 'user',
        content: typeof message.content === 'string' ? message.content : message.content.map(userPart),
      }
    case 'assistant': {
      const text = textOf(message.content ?? '')
      const calls = (message.tool_calls ?? []).map(
        (call): Part => ({
          type: 'toolCall',
          callId: call.id,
          id: call.function.name,
          ...argumentsOf(call.function.arguments),
        }),
      )
      if (calls.length === 0) return { role: 'assistant', content: text }
      return { role: 'assistant', content: [...(text ? [{ type: 'text' as const, text }] : []), ...calls] }
    }
    case 'tool': {
      const id = names.get(message.tool_call_id)
      return {
        role: 'tool',
        content: [
          {
            type: 'toolResult',
            callId: message.tool_call_id,
            ...(id === undefined ? {} : { id }),
            content: textOf(message.content),
          },
        ],
      }
    }
  }
}

function callNames(messages: readonly OpenAiMessage[]): Map<string, string> {
  const names = new Map<string, string>()
  for (const message of messages) {
    if (message.role !== 'assistant') continue
    for (const call of message.tool_calls ?? []) names.set(call.id, call.function.name)
  }
  return names
}

/** What a model wrote comes back as it is, broken or not: the client answers it with a tool error, and the chat goes on. */
function argumentsOf(json: string): Pick<ToolCall, 'arguments' | 'argumentsText' | 'problem'> {
  try {
    const value: unknown = JSON.parse(json || '{}')
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
      const isAsPrinted = json.trim() === '' || json === JSON.stringify(value)
      return { arguments: value as Record<string, unknown>, ...(isAsPrinted ? {} : { argumentsText: json }) }
    }
  } catch {
    // Kept as text below.
  }
  return { arguments: {}, problem: { code: 'invalid_json', message: 'The arguments are not a JSON object', raw: json } }
}

function userPart(part: { type: 'text'; text: string } | { type: 'image_url'; image_url: { url: string } }): Part {
  if (part.type === 'text') return { type: 'text', text: part.text }
  const { url } = part.image_url
  const data = /^data:([^;,]+);base64,(.+)$/s.exec(url)
  if (data) return { type: 'image', mediaType: data[1]!, data: data[2]! }
  return { type: 'image', mediaType: 'image/*', url }
}

function textOf(content: string | readonly { type: string; text?: string }[]): string {
  if (typeof content === 'string') return content
  return content.map((part) => (part.type === 'text' ? (part.text ?? '') : '')).join('')
}

function toolChoice(choice: NonNullable<CompletionRequest['tool_choice']>): NonNullable<CompleteInput['toolChoice']> {
  return typeof choice === 'string' ? choice : { id: choice.function.name }
}

function responseFormat(
  format: NonNullable<CompletionRequest['response_format']>,
): NonNullable<CompleteInput['responseFormat']> {
  if (!('json_schema' in format)) return { type: format.type === 'text' ? 'text' : 'json' }
  const { name, schema } = format.json_schema
  return { type: 'json', name, ...(schema ? { schema } : {}) }
}
