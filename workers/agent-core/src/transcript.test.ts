import type { Message } from '@agentos/contracts/message'
import { describe, expect, it } from 'vitest'
import { wellFormed } from './transcript.ts'

const user = (content: string): Message => ({ role: 'user', content })
const asks = (callId: string, text?: string): Message => ({
  role: 'assistant',
  content: [
    ...(text ? [{ type: 'text' as const, text }] : []),
    { type: 'toolCall', callId, id: 'memory::recall', arguments: {} },
  ],
})
const answers = (callId: string): Message => ({
  role: 'tool',
  content: [{ type: 'toolResult', callId, content: '[]' }],
})

describe('history that a model may see', () => {
  it('keeps whole turns as they are', () => {
    const turns = [user('hi'), asks('1'), answers('1'), { role: 'assistant', content: 'done' } as Message]
    expect(wellFormed(turns)).toEqual(turns)
  })

  it('drops a tool call whose result a crash took, and keeps the text beside it', () => {
    expect(wellFormed([user('hi'), asks('1', 'let me look'), user('again')])).toEqual([
      user('hi'),
      { role: 'assistant', content: [{ type: 'text', text: 'let me look' }] },
      user('again'),
    ])
  })

  it('drops results whose call is gone', () => {
    expect(wellFormed([user('hi'), answers('1'), user('again')])).toEqual([user('hi'), user('again')])
  })
})
