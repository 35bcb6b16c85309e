import { describe, expect, it } from 'vitest'
import { complexity, tierOf } from './complexity.ts'

const score = (content: unknown, tools = 0, count = 1) =>
  complexity({
    messages: Array.from({ length: count }, () => ({ role: 'user', content })),
    tools: Array(tools).fill({}),
  })

describe('complexity', () => {
  it.each([
    ['empty', score(''), 0],
    ['no messages', complexity({ messages: [], tools: [] }), 0],
    ['99 characters', score('x'.repeat(99)), 0],
    ['100 characters', score('x'.repeat(100)), 1],
    ['500 characters', score('x'.repeat(500)), 5],
    ['two tools, short text', score('hi', 2), 10],
    ['long, analysis, code', score(`${'x'.repeat(600)} analyze this function \`\`\`code\`\`\``), 41],
    ['ten messages', score('hi', 0, 10), 0],
    ['eleven messages', score('hi', 0, 11), 10],
    ['bytes, not letters', score('ü'.repeat(50)), 1],
    ['text parts', score([{ type: 'text', text: 'x'.repeat(200) }, { type: 'image' }]), 2],
    ['content that is no text', score({ a: 1 }), 0],
  ])('%s', (_, actual, expected) => expect(actual).toBe(expected))

  it('takes words for words: classic is no class, functional no function', () => {
    expect(score('a classic, functional, redesigned comparer')).toBe(0)
  })

  it('does not take many tools for a hard question', () => {
    expect(tierOf(score('hi', 40))).toBe('small')
  })
})
