import type { TranscriptMessage } from '@agentos/contracts/memory'
import type { Message } from '@agentos/contracts/message'
import { expect, test } from 'vitest'
import { findings, repaired } from './transcript-repair.ts'

let ids = 0
const newId = () => `new-${++ids}`
const message = (
  role: Message['role'],
  content: Message['content'] = `${role} says`,
  changes: Partial<TranscriptMessage> = {},
): TranscriptMessage => ({ id: `m-${++ids}`, sequence: ids, timestamp: 1_000, role, content, ...changes })
const calls = (...callIds: string[]): Message['content'] =>
  callIds.map((callId) => ({ type: 'toolCall', callId, id: 'a::b', arguments: {} }))
const call = (callId: string): Message['content'] => calls(callId)
const result = (callId: string): Message['content'] => [{ type: 'toolResult', callId, content: 'ok' }]

test('a sound transcript stays as it is', () => {
  const messages = [message('system'), message('user'), message('assistant', call('1')), message('tool', result('1'))]
  const { messages: after, stats } = repaired(messages, newId)
  expect(after).toEqual(messages)
  expect(findings(stats)).toBe(0)
})

test('neighbours of one role are joined with the text of both, system messages are not', () => {
  const roles: Message['role'][] = ['user', 'user', 'assistant', 'assistant', 'system', 'system']
  const { messages, stats } = repaired(
    roles.map((role, i) => message(role, `${role} ${i}`)),
    newId,
  )
  expect(stats.consecutiveMerged).toBe(2)
  expect(messages.map(({ content }) => content)).toEqual([
    'user 0\n\nuser 1',
    'assistant 2\n\nassistant 3',
    'system 4',
    'system 5',
  ])
})

test('timestamps 300, 200, 100 give 2 changes', () => {
  const times = [300, 200, 100]
  const { messages, stats } = repaired(
    times.map((timestamp) => message('system', 'x', { timestamp })),
    newId,
  )
  expect(stats.reordered).toBe(2)
  expect(messages.map(({ timestamp }) => timestamp)).toEqual([300, 301, 302])
})

test('empty and repeated messages go', () => {
  const twice = message('user')
  const { messages, stats } = repaired([twice, message('assistant', ' '), twice, message('assistant', [])], newId)
  expect(stats).toMatchObject({ emptyRemoved: 2, duplicatesRemoved: 1 })
  expect(messages).toEqual([twice])
})

test('a result without its call is dropped, a call without result is answered with an error', () => {
  const { messages, stats } = repaired(
    [message('user'), message('tool', result('9')), message('assistant', call('1')), message('user')],
    newId,
  )
  expect(stats).toMatchObject({ orphanedRefs: 1, callsAnswered: 1 })
  expect(messages.map(({ role }) => role)).toEqual(['user', 'assistant', 'tool', 'user'])
  expect(messages[2]!.content).toMatchObject([{ type: 'toolResult', callId: '1', isError: true }])
})

test('calls of one answer that share an id get ids of their own, each with the result in its place', () => {
  const twice = calls('c1', 'c1')
  const results = ['rain', 'snow'].map((content) => ({ type: 'toolResult' as const, callId: 'c1', content }))
  const broken = [message('user'), message('assistant', twice), message('tool', results)]
  const { messages, stats } = repaired(broken, newId)
  expect(stats).toMatchObject({ sharedCallIds: 1, orphanedRefs: 0, callsAnswered: 0 })
  const [, asked, answered] = messages
  expect(asked!.content).toMatchObject([{ callId: 'c1' }, { callId: 'c1_2' }])
  expect(answered!.content).toMatchObject([
    { callId: 'c1', content: 'rain' },
    { callId: 'c1_2', content: 'snow' },
  ])
  expect(findings(repaired(messages, newId).stats)).toBe(0)
})

test('of calls that share an id, one without a result is answered with an error', () => {
  const twice = calls('c1', 'c1', 'c1_2')
  const { messages, stats } = repaired(
    [message('user'), message('assistant', twice), message('tool', result('c1'))],
    newId,
  )
  expect(stats).toMatchObject({ sharedCallIds: 1, orphanedRefs: 0, callsAnswered: 2 })
  expect(messages.slice(2).flatMap(({ content }) => [...content])).toMatchObject([
    { callId: 'c1', content: 'ok' },
    { callId: 'c1_3', isError: true },
    { callId: 'c1_2', isError: true },
  ])
})

test('an oversized text is split without loss, and a second repair finds nothing', () => {
  const text = `${'line of text\n'.repeat(60_000)}end`
  const first = repaired([message('user', text)], newId)
  expect(first.stats.oversizedDetected).toBe(1)
  expect(first.messages.map(({ content }) => content).join('')).toBe(text)
  expect(findings(repaired(first.messages, newId).stats)).toBe(0)
})
