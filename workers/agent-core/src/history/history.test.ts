import type { Message } from '@agentos/contracts/message'
import { InvocationError } from '@agentos/sdk'
import { describe, expect, it } from 'vitest'
import { afterOverflow } from './history.ts'
import { tokensOf } from './token-estimate.ts'

const overflow = (message: string, code = 'context_overflow') => new InvocationError({ code, message })
const conversation: Message[] = [
  ...Array.from({ length: 40 }, (_, n): Message[] => [
    { role: 'user', content: `question ${n} ${'q'.repeat(600)}` },
    { role: 'assistant', content: `answer ${n} ${'a'.repeat(600)}` },
  ]).flat(),
  { role: 'user', content: 'and now?' },
]
const around = { system: 's'.repeat(300), tools: [] }
const left = (reason: string) => tokensOf(...afterOverflow(overflow(reason), conversation, around)!)

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
    expect(left(reason)).toBeLessThan(context)
    expect(left(reason)).toBeGreaterThan(context / 4)
  })

  it('is a third of what was sent where nothing is named, and half at most', () => {
    expect(left('sim/m: request too large')).toBeLessThan(tokensOf(...conversation) / 2.5)
    expect(left('sim/m: prompt is too long for 1,000,000 tokens')).toBeLessThan(tokensOf(...conversation) * 0.55)
  })

  it('ends with the question as it was asked', () => {
    expect(afterOverflow(overflow('2000 tokens'), conversation, around)!.at(-1)).toEqual(conversation.at(-1))
  })

  it('is given up where nothing can be left out, and for other errors', () => {
    expect(afterOverflow(overflow('9000 > 8000'), conversation.slice(-1), around)).toBeUndefined()
    expect(afterOverflow(overflow('no', 'rate_limited'), conversation, around)).toBeUndefined()
    expect(afterOverflow(new Error('context_overflow'), conversation, around)).toBeUndefined()
  })
})
