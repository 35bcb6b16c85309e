import type { complete } from '@agentos/contracts/llm-router'
import {
  argumentsTextOf,
  type FilePart,
  type ImagePart,
  type Message,
  type Part,
  type TextPart,
  type ToolCall,
} from '@agentos/contracts/message'
import type { CompletionRequest } from '@agentos/contracts/streaming'
import { AgentError, type InputOf } from '@agentos/sdk'
import { unsupported } from './unsupported.ts'

type CompleteInput = InputOf<typeof complete>
type OpenAiMessage = CompletionRequest['messages'][number]
type ContentPart =
  | { type: 'text'; text: string }
  | { type: 'image_url'; image_url: { url: string; detail?: ImagePart['detail'] | null | undefined } }
  | { type: 'file'; file: { file_data?: string | null | undefined; filename?: string | null | undefined } }

/** What runs the request: an agent with its own tools and memory, or a model with the client's messages and tools. */
export type Target = { agentId: string } | { model: string | undefined }

export function targetOf(request: CompletionRequest): Target {
  const named = /^agent\/(.+)$/.exec(request.model)?.[1]
  const agentId = named ?? request.agentId
  if (agentId) return { agentId }
  return { model: request.model === 'agentos-default' ? undefined : request.model }
}

/** The request of a plain model call. */
export function toCompletion(request: CompletionRequest): CompleteInput {
  const target = targetOf(request)
  const { tools, toolChoice } = toolsOf(request)
  const { metadata } = request
  return {
    messages: toMessages(request.messages),
    ...('model' in target && target.model !== undefined ? { model: target.model } : {}),
    ...(request.provider ? { provider: request.provider } : {}),
    ...(tools ? { tools } : {}),
    ...(toolChoice === undefined ? {} : { toolChoice }),
    ...(typeof request.parallel_tool_calls === 'boolean' ? { parallelToolCalls: request.parallel_tool_calls } : {}),
    ...answerOptions(request),
    ...(typeof request.frequency_penalty === 'number' ? { frequencyPenalty: request.frequency_penalty } : {}),
    ...(typeof request.presence_penalty === 'number' ? { presencePenalty: request.presence_penalty } : {}),
    ...(typeof request.seed === 'number' ? { seed: request.seed } : {}),
    ...(request.verbosity ? { verbosity: request.verbosity } : {}),
    ...(metadata ? { metadata: texts(metadata) } : {}),
  }
}

/** What a model and an agent are told alike about the answer that is wanted. */
export function answerOptions(request: CompletionRequest) {
  const maxTokens = request.max_completion_tokens ?? request.max_tokens
  const stop = typeof request.stop === 'string' ? [request.stop] : (request.stop ?? [])
  return {
    ...(maxTokens ? { maxTokens } : {}),
    ...(typeof request.temperature === 'number' ? { temperature: request.temperature } : {}),
    ...(typeof request.top_p === 'number' ? { topP: request.top_p } : {}),
    ...(stop.length > 0 ? { stop } : {}),
    ...(request.response_format ? { responseFormat: responseFormat(request.response_format) } : {}),
    ...(request.reasoning_effort ? { reasoning: request.reasoning_effort } : {}),
  }
}

/** The messages in the neutral form, one for one. */
export function toMessages(messages: readonly OpenAiMessage[]): Message[] {
  const names = callNames(messages)
  return messages.map((message) => toMessage(message, names))
}

function toMessage(message: OpenAiMessage, names: ReadonlyMap<string, string>): Message {
  switch (message.role) {
    case 'system':
    case 'developer':
      return { role: 'system', content: textOf(message.content) }
    case 'user':
      return {
        role: 'user',
        content: typeof message.content === 'string' ? message.content : message.content.map(partOf),
        ...nameOf(message),
      }
    case 'assistant': {
      // A refusal is what the assistant said.
      const text = textOf(message.content ?? '') + (message.refusal ?? '')
      const calls = (message.tool_calls ?? []).map(
        (call): Part => ({
          type: 'toolCall',
          callId: call.id,
          id: call.function.name,
          ...argumentsOf(call.function.arguments),
        }),
      )
      const thought = message.reasoning_content ?? ''
      if (calls.length === 0 && thought === '') return { role: 'assistant', content: text, ...nameOf(message) }
      const parts: Part[] = [
        ...(thought ? [{ type: 'reasoning' as const, text: thought }] : []),
        ...(text ? [{ type: 'text' as const, text }] : []),
        ...calls,
      ]
      return { role: 'assistant', content: parts, ...nameOf(message) }
    }
    case 'tool': {
      const { content, tool_call_id: callId } = message
      const id = names.get(callId)
      const result = typeof content === 'string' ? content : resultOf(content)
      return {
        role: 'tool',
        content: [{ type: 'toolResult', callId, ...(id === undefined ? {} : { id }), content: result }],
      }
    }
  }
}

function nameOf({ name }: OpenAiMessage): { name?: string } {
  return name ? { name } : {}
}

/** Names of the functions that were called, by the ids of the calls. */
export function callNames(messages: readonly OpenAiMessage[]): Map<string, string> {
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
      const args = value as Record<string, unknown>
      const written = argumentsTextOf(json, args)
      return { arguments: args, ...(written === undefined ? {} : { argumentsText: written }) }
    }
  } catch {
    // Kept as text below.
  }
  return { arguments: {}, problem: { code: 'invalid_json', message: 'The arguments are not a JSON object', raw: json } }
}

function partOf(part: ContentPart): TextPart | ImagePart | FilePart {
  if (part.type === 'text') return { type: 'text', text: part.text }
  return part.type === 'file' ? fileOf(part.file) : imageOf(part.image_url)
}

/** Text alone is a text; with images it is parts. */
function resultOf(parts: readonly Exclude<ContentPart, { type: 'file' }>[]): string | (TextPart | ImagePart)[] {
  if (parts.every((part) => part.type === 'text')) return textOf(parts)
  return parts.map((part) => (part.type === 'text' ? { type: 'text', text: part.text } : imageOf(part.image_url)))
}

function imageOf({ url, detail }: Extract<ContentPart, { type: 'image_url' }>['image_url']): ImagePart {
  const closely = detail ? { detail } : {}
  const data = dataUrl(url)
  if (data) return { type: 'image', ...data, ...closely }
  return { type: 'image', mediaType: 'image/*', url, ...closely }
}

const MEDIA_TYPES: Record<string, string> = { pdf: 'application/pdf', txt: 'text/plain', md: 'text/markdown' }

function fileOf({ file_data: given, filename }: Extract<ContentPart, { type: 'file' }>['file']): FilePart {
  if (!given) throw unsupported('file', 'files cannot be uploaded here; send the content as file_data')
  const name = filename ? { name: filename } : {}
  const data = dataUrl(given)
  if (data) return { type: 'file', ...data, ...name }
  const mediaType = MEDIA_TYPES[filename?.split('.').at(-1)?.toLowerCase() ?? '']
  if (mediaType) return { type: 'file', mediaType, data: given, ...name }
  throw new AgentError('invalid_input', 'file: file_data is a data URL such as data:application/pdf;base64,…', {
    details: { param: 'messages' },
  })
}

function dataUrl(url: string): { mediaType: string; data: string } | undefined {
  const [, mediaType, data] = /^data:([^;,]+)(?:;[^;,]+)*;base64,(.+)$/s.exec(url) ?? []
  return mediaType === undefined || data === undefined ? undefined : { mediaType, data }
}

/** The text of a message, its refusals too. */
export function textOf(content: string | readonly { type: string; text?: unknown; refusal?: unknown }[]): string {
  if (typeof content === 'string') return content
  return content
    .map(({ text, refusal }) => [text, refusal].filter((said) => typeof said === 'string').join(''))
    .join('')
}

/** Of tools that are given and not allowed the model need not know. */
function toolsOf({ tools, tool_choice: choice }: CompletionRequest): Pick<CompleteInput, 'tools' | 'toolChoice'> {
  const all = (tools ?? []).map(({ function: fn }) => ({
    id: fn.name,
    description: fn.description ?? '',
    inputSchema: fn.parameters ?? { type: 'object', properties: {} },
    ...(typeof fn.strict === 'boolean' ? { strict: fn.strict } : {}),
  }))
  if (!choice) return all.length > 0 ? { tools: all } : {}
  if (typeof choice === 'object' && 'allowed_tools' in choice && choice.type === 'allowed_tools') {
    const { mode, tools: named } = choice.allowed_tools
    const allowed = named.map((tool) => tool.function.name)
    const unknown = allowed.find((name) => !all.some(({ id }) => id === name))
    if (unknown !== undefined) {
      throw new AgentError('invalid_input', `tool_choice: ${unknown} is not among the tools`, {
        details: { param: 'tool_choice' },
      })
    }
    return { tools: all.filter(({ id }) => allowed.includes(id)), toolChoice: mode }
  }
  const toolChoice = typeof choice === 'string' ? choice : { id: choice.function.name }
  return { ...(all.length > 0 ? { tools: all } : {}), toolChoice }
}

function responseFormat(
  format: NonNullable<CompletionRequest['response_format']>,
): NonNullable<CompleteInput['responseFormat']> {
  if (format.type !== 'json_schema') return { type: format.type === 'text' ? 'text' : 'json' }
  const { name, schema, description, strict } = format.json_schema
  return {
    type: 'json',
    name,
    ...(schema ? { schema } : {}),
    ...(description ? { description } : {}),
    // Absent means false in this API.
    strict: strict ?? false,
  }
}

function texts(metadata: Record<string, unknown>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(metadata).map(([name, value]) => [name, typeof value === 'string' ? value : JSON.stringify(value)]),
  )
}
