import { describe, expect, it } from 'vitest'
import { preview } from './preview.ts'

const size = (value: unknown) => Buffer.byteLength(JSON.stringify(value))

describe('what a person is shown of an input', () => {
  it('is the input, where there is nothing to hide and little to read', () => {
    for (const input of [{ to: 'a', n: [1, { b: null }] }, 'text', 7, null]) {
      expect(preview(input)).toEqual({ params: input, cut: false })
    }
    expect(preview(undefined)).toEqual({ params: null, cut: false })
  })

  it('holds no secret, by name or by form, and says that something is missing', () => {
    const { params, cut } = preview({ password: 'hunter22', note: `key sk-ant-${'a1'.repeat(20)}`, to: 'a' })
    expect(JSON.stringify(params)).not.toMatch(/hunter22|sk-ant/)
    expect(params).toMatchObject({ to: 'a' })
    expect(cut).toBe(true)
  })

  it('keeps the beginning and the end of long texts, and says how much lies between', () => {
    const { params, cut } = preview({ text: `begin${'x'.repeat(50_000)}end` })
    expect((params as { text: string }).text).toMatch(/^begin.*\[… 46008 characters …\].*end$/)
    expect(cut).toBe(true)
  })

  it.each([
    ['one long text', { text: 'ü'.repeat(1_000_000) }],
    ['many items', Array.from({ length: 100_000 }, (_, n) => n)],
    ['many keys', Object.fromEntries(Array.from({ length: 10_000 }, (_, n) => [`key${n}`, 'value']))],
    ['many long texts', Array.from({ length: 200 }, () => 'x'.repeat(10_000))],
  ])('is bounded: %s', (_name, input) => {
    const { params, cut } = preview(input)
    expect(size(params)).toBeLessThan(20_000)
    expect(cut).toBe(true)
  })
})
