import type { Message } from '@agentos/contracts/message'
import { InvocationError } from '@agentos/sdk'
import { describe, expect, it } from 'vitest'
import { roomAfter, within } from './history.ts'
import { ModelRooms } from './model-rooms.ts'
import { tokensOf } from './token-estimate.ts'

const overflow = (message: string, code = 'context_overflow', details?: object) =>
  new InvocationError({ code, message, ...(details ? { details } : {}) })
const conversation: Message[] = [
  ...Array.from({ length: 40 }, (_, n): Message[] => [
    { role: 'user', content: `question ${n} ${'q'.repeat(600)}` },
    { role: 'assistant', content: `answer ${n} ${'a'.repeat(600)}` },
  ]).flat(),
  { role: 'user', content: 'and now?' },
]
const around = { system: 's'.repeat(300), tools: [] }
const left = (error: Error) => tokensOf(...within(conversation, roomAfter(error, conversation, around)!, around))

describe('after an overflow', () => {
  it.each([
    [
      "sim/m: This model's maximum context length is 8192 tokens. However, your messages resulted in 18000 tokens.",
      8_192,
    ],
    ['sim/m: prompt is too long: 18,000 tokens > 6,000 maximum', 6_000],
    ['sim/m: the request exceeds the available context size (4096 tokens), try increasing it', 4_096],
    [
      'a/claude-haiku-4-5-20251001: input token count (18000) exceeds the maximum number of tokens allowed (9000).',
      9_000,
    ],
  ])('%s: it fits into what is named', (reason, context) => {
    expect(left(overflow(reason))).toBeLessThan(context)
    expect(left(overflow(reason))).toBeGreaterThan(context / 4)
  })

  it('it fits into the context that stands beside the words', () => {
    const error = overflow('sim/m: too long', 'context_overflow', { contextTokens: 4_096 })
    expect(left(error)).toBeLessThan(4_096)
    expect(left(error)).toBeGreaterThan(1_000)
  })

  it.each(['sim/m: request too large', 'sim/m: prompt is too long for 1,000,000 tokens'])(
    'is half of what was sent at most: %s',
    (reason) => {
      expect(left(overflow(reason))).toBeLessThan(tokensOf(...conversation) * 0.55)
      expect(left(overflow(reason))).toBeGreaterThan(tokensOf(...conversation) * 0.4)
    },
  )

  it('ends with the question as it was asked', () => {
    expect(within(conversation, 1_000, around).at(-1)).toEqual(conversation.at(-1))
  })

  it('stays as it is where it fits', () => {
    const cut = within(conversation, 3_000, around)
    expect(within(cut, 3_000, around)).toEqual(cut)
  })

  it('is not what another error says', () => {
    expect(roomAfter(overflow('no', 'rate_limited'), conversation, around)).toBeUndefined()
    expect(roomAfter(new Error('context_overflow'), conversation, around)).toBeUndefined()
  })
})

describe('what is known of the context of a model', () => {
  it('is the least that was learned, of that model alone', () => {
    const rooms = new ModelRooms()
    rooms.learn({ model: 'a' }, 4_000)
    rooms.learn({ model: 'a' }, 2_000)
    rooms.learn({ model: 'a' }, 3_000)
    expect(rooms.of({ model: 'a' })).toBe(2_000)
    expect(rooms.of({ model: 'b' })).toBeUndefined()
    expect(rooms.of({ provider: 'p', model: 'a' })).toBeUndefined()
  })

  it('is forgotten, the oldest first, where there are very many', () => {
    const rooms = new ModelRooms(2)
    for (const model of ['a', 'b', 'c']) rooms.learn({ model }, 1_000)
    expect(['a', 'b', 'c'].map((model) => rooms.of({ model }))).toEqual([undefined, 1_000, 1_000])
  })
})
