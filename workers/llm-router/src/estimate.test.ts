import { describe, expect, it } from 'vitest'
import { estimateInput } from './estimate.ts'

const of = (content: string) => estimateInput({ messages: [{ role: 'user', content }] })

describe('the estimate of an input', () => {
  it('is a token for three letters of English, two bytes of other scripts, two signs, and a few for the message', () => {
    expect(of('x'.repeat(3_000))).toBe(1_016)
    expect(of('汉'.repeat(1_000))).toBe(1_516)
    expect(of('é'.repeat(1_000))).toBe(1_016)
    expect(of('😀'.repeat(1_000))).toBe(4_016)
    expect(of('0F9A'.repeat(100)), 'digits and capitals').toBe(416)
    expect(of('{":"'.repeat(100)), 'signs').toBe(216)
  })

  it('counts system prompt, tools, results and images', () => {
    const tools = [{ id: 'a::b', description: 'x'.repeat(300), inputSchema: {} }]
    const image = { type: 'image' as const, mediaType: 'image/png', data: 'AA' }
    const result = { type: 'toolResult' as const, callId: 'c', content: [image] }
    const plain = of('')
    expect(estimateInput({ messages: [], system: 'x'.repeat(300), tools })).toBeGreaterThan(plain + 200)
    expect(estimateInput({ messages: [{ role: 'tool', content: [result] }] })).toBeGreaterThan(1_600)
  })
})
