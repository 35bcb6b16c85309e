import type { Message, Part } from '@agentos/contracts/message'

/**
 * History as a model may see it: a turn that a crash cut off in the middle leaves tool calls without results, or
 * results without calls, which every provider refuses. They are dropped; the text around them stays.
 */
export function wellFormed(messages: readonly Message[]): Message[] {
  const kept: Message[] = []
  for (let at = 0; at < messages.length; at++) {
    const message = messages[at]!
    if (message.role === 'tool') continue
    const calls = callIds(message)
    if (message.role !== 'assistant' || calls.size === 0) {
      kept.push(message)
      continue
    }
    const results: Message[] = []
    for (let next = at + 1; messages[next]?.role === 'tool'; next++) results.push(messages[next]!)
    const answered = new Set(results.flatMap((result) => [...resultIds(result)]))
    if ([...calls].every((id) => answered.has(id))) kept.push(message, ...results)
    else {
      const text = withoutToolCalls(message)
      if (text) kept.push(text)
    }
  }
  return kept
}

function parts(message: Message): readonly Part[] {
  return typeof message.content === 'string' ? [] : message.content
}

function callIds(message: Message): Set<string> {
  return new Set(parts(message).flatMap((part) => (part.type === 'toolCall' ? [part.callId] : [])))
}

function resultIds(message: Message): Set<string> {
  return new Set(parts(message).flatMap((part) => (part.type === 'toolResult' ? [part.callId] : [])))
}

function withoutToolCalls(message: Message): Message | undefined {
  const text = parts(message).filter((part) => part.type === 'text')
  return text.length > 0 ? { role: message.role, content: text } : undefined
}
