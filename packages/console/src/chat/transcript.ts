import type { sessionGet, TranscriptMessage } from '@agentos/contracts/memory'
import type { Part } from '@agentos/contracts/message'
import type { OutputOf } from '@agentos/sdk/contract'
import { type Answer, settled } from './answer.ts'

export interface Question {
  role: 'user'
  text: string
}

export type Turn = Question | Answer

export type Transcript = OutputOf<typeof sessionGet>

/** A stored session as turns: all that an agent said and did between two questions is one answer. */
export function turnsOf(messages: TranscriptMessage[]): Turn[] {
  const turns: Turn[] = []
  for (const { role, content } of messages) {
    const parts: Part[] = typeof content === 'string' ? [{ type: 'text', text: content }] : content
    if (role === 'user') turns.push({ role, text: textOf(parts) })
    else if (role !== 'system') {
      const last = turns.at(-1)
      const before: Answer = last?.role === 'assistant' ? last : { role: 'assistant', status: 'ended', pieces: [] }
      const answer = parts.reduce(withPart, before)
      if (last === before) turns[turns.length - 1] = answer
      else turns.push(answer)
    }
  }
  return turns
}

function withPart(answer: Answer, part: Part): Answer {
  const { pieces } = answer
  switch (part.type) {
    case 'text':
      return part.text === '' ? answer : { ...answer, pieces: [...pieces, { kind: 'text', text: part.text }] }
    case 'reasoning':
      // Hidden thoughts have no words.
      return part.text === '' ? answer : { ...answer, pieces: [...pieces, { kind: 'reasoning', text: part.text }] }
    case 'toolCall': {
      const { callId, id, arguments: given } = part
      return { ...answer, pieces: [...pieces, { kind: 'call', callId, id, arguments: given }] }
    }
    case 'toolResult': {
      const message = typeof part.content === 'string' ? part.content : textOf(part.content)
      const outcome = part.isError ? { ok: false, error: { code: 'failed', message } } : { ok: true }
      return { ...answer, pieces: settled(pieces, part.callId, outcome) }
    }
    case 'image':
      return { ...answer, pieces: [...pieces, { kind: 'text', text: '*(an image)*' }] }
    case 'file':
      return { ...answer, pieces: [...pieces, { kind: 'text', text: '*(a file)*' }] }
  }
}

const SHOWN_AS: Partial<Record<Part['type'], string>> = { image: '(an image)', file: '(a file)' }

const textOf = (parts: Part[]): string =>
  parts
    .map((part) => (part.type === 'text' ? part.text : (SHOWN_AS[part.type] ?? '')))
    .filter(Boolean)
    .join('\n')
