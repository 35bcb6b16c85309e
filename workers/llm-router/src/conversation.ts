import type { CompletionInput, Message, Part, ToolResultPart } from '@agentos/contracts/llm-router'
import { AgentError } from '@agentos/sdk'
import { CallPairs } from './call-pairs.ts'

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
  /** Who of those that have this role. */
  name?: string
}

export interface Conversation {
  /** The system prompt and all system messages, in order. */
  system: string
  turns: Turn[]
}

/** Stands for a message in which nothing is, where the model is to answer it. */
const NOTHING_SAID = '(an empty message)'

/**
 * The one check for all formats, so that what one provider would refuse is refused alike by all: parts that fit their
 * role, each tool result right after its call and each call answered, something for the model to answer. Text that is
 * blank is left out, since some of them refuse it.
 */
export function conversationOf(input: CompletionInput): Conversation {
  const system = input.system ? [input.system] : []
  const turns: Turn[] = []
  const pairs = new CallPairs()
  for (const [index, message] of input.messages.entries()) {
    const parts = partsOf(message)
    const misfit = parts.find((part) => !ALLOWED[message.role].includes(part.type))
    if (misfit) throw invalid(index, `a ${message.role} message cannot hold a ${misfit.type} part`)
    for (const part of parts) if (part.type === 'image') checkImage(index, part)
    if (message.name !== undefined && message.role !== 'user' && message.role !== 'assistant') {
      throw invalid(index, `a ${message.role} message has no name; only those of users and assistants have`)
    }
    if (message.role === 'system') {
      system.push(parts.flatMap((part) => (isSaid(part) && part.type === 'text' ? [part.text] : [])).join('\n'))
    } else if (message.role === 'tool') {
      for (const part of parts) {
        if (part.type === 'toolResult' && !pairs.answer(withoutBlanks(part))) {
          throw invalid(index, `the tool result ${part.callId} has no call before it`)
        }
      }
      if (pairs.waiting.length === 0) addTurn(turns, 'tool', pairs.take())
    } else {
      if (pairs.waiting.length > 0) throw unanswered(index, pairs)
      const opened = message.role === 'assistant' ? pairs.open(parts) : parts
      addTurn(turns, message.role, opened.filter(isSaid), message.name)
    }
  }
  const last = input.messages.findLast(({ role }) => role !== 'system')
  if (last?.role === 'user' && turns.at(-1)?.role === 'assistant') {
    addTurn(turns, 'user', [{ type: 'text', text: NOTHING_SAID }])
  }
  if (turns.length === 0)
    throw new AgentError('invalid_input', 'messages: they hold nothing for the model to answer', {
      details: { param: 'messages' },
    })
  if (pairs.waiting.length > 0) throw unanswered(input.messages.length - 1, pairs)
  return { system: system.filter((text) => text.trim() !== '').join('\n\n'), turns }
}

/** Neighbours of one role are one turn, unless their names tell them apart. */
export function addTurn(turns: Turn[], role: Turn['role'], parts: Part[], name?: string): void {
  const last = turns.at(-1)
  if (last?.role === role && last.name === name) last.parts.push(...parts)
  else if (parts.length > 0) turns.push({ role, parts: [...parts], ...(name === undefined ? {} : { name }) })
}

function isSaid(part: Part): boolean {
  return part.type !== 'text' || part.text.trim() !== ''
}

function withoutBlanks(result: ToolResultPart): ToolResultPart {
  const { content } = result
  if (typeof content === 'string') return result
  const said = content.filter(isSaid)
  return { ...result, content: said.length === 0 ? '' : said }
}

function partsOf({ role, content }: Message): Part[] {
  if (typeof content !== 'string') return content
  if (role === 'tool') throw new AgentError('invalid_input', 'a tool message holds toolResult parts, not text')
  return [{ type: 'text', text: content }]
}

function unanswered(index: number, pairs: CallPairs): AgentError {
  return invalid(index, `the tool calls ${pairs.waiting.join(', ')} have no result`)
}

function checkImage(index: number, { data, url }: { data?: string | undefined; url?: string | undefined }): void {
  if ((data === undefined) === (url === undefined)) throw invalid(index, 'an image has either data or url')
  if (url !== undefined && !url.startsWith('https://')) throw invalid(index, 'the url of an image begins with https://')
}

function invalid(index: number, message: string): AgentError {
  const param = `messages.${index}`
  return new AgentError('invalid_input', `${param}: ${message}`, { details: { param } })
}
