import type { CompletionInput, Message, Part } from '@agentos/contracts/llm-router'
import { AgentError } from '@agentos/sdk'

const ALLOWED: Record<Message['role'], readonly Part['type'][]> = {
  system: ['text'],
  user: ['text', 'image', 'file'],
  assistant: ['text', 'reasoning', 'toolCall'],
  tool: ['toolResult'],
}

/** A message whose content is parts, always. */
export interface Turn {
  role: Exclude<Message['role'], 'system'>
  parts: Part[]
}

export interface Conversation {
  /** The system prompt and all system messages, in order. */
  system: string
  turns: Turn[]
}

/**
 * The one check for all formats, so that what one provider would refuse is refused alike by all: parts that fit their
 * role, each tool result right after its call and each call answered, something for the model to answer.
 */
export function conversationOf(input: CompletionInput): Conversation {
  const system = input.system ? [input.system] : []
  const turns: Turn[] = []
  let open = new Set<string>()
  for (const [index, message] of input.messages.entries()) {
    const parts = partsOf(message)
    const misfit = parts.find((part) => !ALLOWED[message.role].includes(part.type))
    if (misfit) throw invalid(index, `a ${message.role} message cannot hold a ${misfit.type} part`)
    for (const part of parts) if (part.type === 'image') checkImage(index, part)
    if (message.role === 'system') {
      system.push(parts.map((part) => (part.type === 'text' ? part.text : '')).join('\n'))
      continue
    }
    if (message.role === 'tool') {
      for (const part of parts) {
        if (part.type !== 'toolResult') continue
        if (!open.delete(part.callId)) throw invalid(index, `the tool result ${part.callId} has no call before it`)
      }
    } else if (open.size > 0) {
      throw invalid(index, `the tool calls ${[...open].join(', ')} have no result`)
    }
    if (message.role === 'assistant') open = new Set(callIds(index, parts))
    const kept = parts.filter((part) => part.type !== 'text' || part.text !== '')
    const last = turns.at(-1)
    if (last?.role === message.role) last.parts.push(...kept)
    else if (kept.length > 0) turns.push({ role: message.role, parts: kept })
  }
  if (turns.length === 0) throw new AgentError('invalid_input', 'messages holds nothing for the model to answer')
  if (open.size > 0) throw invalid(input.messages.length - 1, `the tool calls ${[...open].join(', ')} have no result`)
  return { system: system.join('\n\n'), turns }
}

function partsOf({ role, content }: Message): Part[] {
  if (typeof content !== 'string') return content
  if (role === 'tool') throw new AgentError('invalid_input', 'a tool message holds toolResult parts, not text')
  return [{ type: 'text', text: content }]
}

function callIds(index: number, parts: Part[]): string[] {
  const ids = parts.flatMap((part) => (part.type === 'toolCall' ? [part.callId] : []))
  if (new Set(ids).size < ids.length) throw invalid(index, 'two tool calls have the same callId')
  return ids
}

function checkImage(index: number, { data, url }: { data?: string | undefined; url?: string | undefined }): void {
  if ((data === undefined) === (url === undefined)) throw invalid(index, 'an image has either data or url')
  if (url !== undefined && !url.startsWith('https://')) throw invalid(index, 'the url of an image begins with https://')
}

function invalid(index: number, message: string): AgentError {
  return new AgentError('invalid_input', `messages[${index}]: ${message}`, { details: { path: ['messages', index] } })
}
