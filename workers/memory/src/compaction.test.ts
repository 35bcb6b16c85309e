import type { Message } from '@agentos/contracts/message'
import { expect, test } from 'vitest'
import { cutPoint, rendered } from './compaction.ts'

const say = (role: Message['role'], content: Message['content'] = 'x'): Message => ({ role, content })
const turns = (count: number) => Array.from({ length: count }, (_, i) => say(i % 2 ? 'assistant' : 'user'))

test('31 messages with 10 to keep give 21 to summarise', () => {
  expect(cutPoint(turns(31), 10)).toBe(21)
})

test('with as many to keep as there are, nothing is summarised', () => {
  expect(cutPoint(turns(5), 5)).toBe(0)
  expect(cutPoint(turns(5), 9)).toBe(0)
})

test('a tool call and its results stay together', () => {
  const messages = [say('user'), say('user'), say('assistant'), say('tool'), say('tool'), say('assistant')]
  expect(cutPoint(messages, 2)).toBe(2)
})

test('with nothing to keep everything is summarised', () => {
  expect(cutPoint(turns(3), 0)).toBe(3)
})

test('the text to summarise names roles, tool calls and results', () => {
  const call: Message['content'] = [
    { type: 'text', text: 'Let me see.' },
    { type: 'toolCall', callId: '1', id: 'memory::recall', arguments: { query: 'dog' } },
  ]
  const result: Message['content'] = [{ type: 'toolResult', callId: '1', content: 'Rex' }]
  expect(rendered([say('assistant', call), say('tool', result)], 'They talked about pets.')).toBe(
    'earlier summary: They talked about pets.\n\nassistant: Let me see.\n[calls memory::recall {"query":"dog"}]\n\ntool: [result Rex]',
  )
})
