import { expect, it } from 'vitest'
import { type Answer, chunkAtEnd, finishReason, newIdentity, toChatCompletion } from './openai-response.ts'

const answer = (stopReason: string, stopDetail?: string): Answer => ({
  content: 'half a sen',
  model: 'm',
  toolCalls: [{ callId: 'c1', id: 'weather', arguments: {} }],
  stopReason,
  ...(stopDetail === undefined ? {} : { stopDetail }),
  usage: null,
})

it.each([
  ['length', 'length'],
  ['content_filter', 'content_filter'],
  ['tool_calls', 'tool_calls'],
  ['interrupted', 'length'],
  ['other', 'length'],
])('says that an answer ended by %s as %s, also where it holds calls', (stopReason, expected) => {
  expect(finishReason(answer(stopReason))).toBe(expected)
})

it('tells the provider’s own word for a reason that this API does not have', () => {
  const identity = newIdentity('m')
  const told = { finish_reason: 'length', native_finish_reason: 'insufficient_system_resource' }
  const interrupted = answer('interrupted', 'insufficient_system_resource')
  expect(toChatCompletion(identity, interrupted).choices[0]).toMatchObject(told)
  expect(chunkAtEnd(identity, interrupted)).toMatchObject({ choices: [told] })
  expect(chunkAtEnd(identity, answer('stop'))).not.toHaveProperty('choices.0.native_finish_reason')
})
