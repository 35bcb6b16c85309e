import type { TranscriptMessage } from '@agentos/contracts/memory'
import { expect, it } from 'vitest'
import { turnsOf } from './transcript.ts'

let sequence = 0
const message = (role: TranscriptMessage['role'], content: TranscriptMessage['content']): TranscriptMessage => {
  sequence += 1
  return { id: `m${sequence}`, sequence, timestamp: sequence, role, content }
}

it('shows a session as questions and answers, with the functions between', () => {
  const turns = turnsOf([
    message('system', 'Be kind.'),
    message('user', 'What do you know about my dog?'),
    message('assistant', [
      { type: 'reasoning', text: '', signature: 'opaque' },
      { type: 'text', text: 'Let me look.' },
      { type: 'toolCall', callId: 'a', id: 'memory::recall', arguments: { query: 'dog' } },
      { type: 'toolCall', callId: 'b', id: 'memory::get', arguments: {} },
    ]),
    message('tool', [
      { type: 'toolResult', callId: 'b', content: 'no such memory', isError: true },
      { type: 'toolResult', callId: 'a', content: '[]' },
    ]),
    message('assistant', 'He is called Rex.'),
    message('user', [{ type: 'text', text: 'Thanks' }]),
  ])
  expect(turns).toMatchObject([
    { role: 'user', text: 'What do you know about my dog?' },
    {
      role: 'assistant',
      status: 'ended',
      pieces: [
        { kind: 'text', text: 'Let me look.' },
        { kind: 'call', id: 'memory::recall', outcome: { ok: true } },
        { kind: 'call', id: 'memory::get', outcome: { ok: false, error: { message: 'no such memory' } } },
        { kind: 'text', text: 'He is called Rex.' },
      ],
    },
    { role: 'user', text: 'Thanks' },
  ])
})

it('shows an empty session as nothing', () => {
  expect(turnsOf([])).toEqual([])
})
