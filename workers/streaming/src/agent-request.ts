import { AgentId, type chat } from '@agentos/contracts/agent-core'
import type { Message } from '@agentos/contracts/message'
import type { CompletionRequest } from '@agentos/contracts/streaming'
import { AgentError, type InputOf, newId } from '@agentos/sdk'
import { answerOptions, textOf, toMessages } from './openai-request.ts'

type ChatInput = InputOf<typeof chat>
type Turn = NonNullable<ChatInput['history']>[number]

const agentId = AgentId()

/**
 * The request as a message to an agent. It answers the last turn of the user. Where the client names a session, what was
 * said before is there; else what it sends is the history of this call. What it says as the system stands below the
 * agent's own prompt. An agent that is not there is not made: a mistyped id is no wish for one.
 */
export function toChat(request: CompletionRequest, id: string, session: string | undefined): ChatInput {
  if (!agentId.safeParse(id).success) throw new AgentError('not_found', `There is no agent ${id}`)
  const { maxTokens, ...options } = answerOptions(request)
  const system = request.messages.flatMap((message) => (isSystem(message) ? [textOf(message.content)] : []))
  const turns = toMessages(request.messages).filter((message): message is Turn => message.role !== 'system')
  const last = turns.pop()
  if (last?.role !== 'user') {
    const message = 'messages: an agent answers the user, so the last message has to be a user message'
    throw new AgentError('invalid_input', message, { details: { param: 'messages' } })
  }
  const named = /^agent\//.test(request.model) || request.model === 'agentos-default' ? undefined : request.model
  return {
    agentId: id,
    ...messageOf(last),
    ...(session ? { sessionId: session } : { sessionId: newId('session'), history: turns }),
    ...(system.length > 0 ? { system: system.join('\n\n') } : {}),
    ...(request.provider ? { provider: request.provider } : {}),
    ...(named === undefined ? {} : { model: named }),
    ...options,
    ...(maxTokens === undefined ? {} : { maxOutputTokens: maxTokens }),
    create: false,
  }
}

function messageOf({ content }: Pick<Message, 'content'>): Pick<ChatInput, 'message' | 'content'> {
  const parts = typeof content === 'string' ? [{ type: 'text' as const, text: content }] : content
  const said = parts.filter((part) => part.type === 'text' || part.type === 'image' || part.type === 'file')
  const text = said.flatMap((part) => (part.type === 'text' ? [part.text] : [])).join('\n')
  if (said.every((part) => part.type === 'text')) {
    if (text) return { message: text }
    const message = 'messages: a non-empty user message is required'
    throw new AgentError('invalid_input', message, { details: { param: 'messages' } })
  }
  return { message: text || '(no text)', content: said }
}

function isSystem(
  message: CompletionRequest['messages'][number],
): message is Extract<CompletionRequest['messages'][number], { role: 'system' | 'developer' }> {
  return message.role === 'system' || message.role === 'developer'
}
