import { describe, expect, it } from 'vitest'
import { asks, DEFAULT_POLICY } from './policy.ts'

const policy = (more: Partial<typeof DEFAULT_POLICY>) => ({ ...DEFAULT_POLICY, ...more })

describe('a policy', () => {
  it('asks for what changes something outside where the owner has said nothing', () => {
    expect(asks(DEFAULT_POLICY, 'a::b', 'external')).toBe(true)
    expect(asks(DEFAULT_POLICY, 'a::b', 'write')).toBe(false)
    expect(asks(DEFAULT_POLICY, 'a::b', 'read')).toBe(false)
  })

  it.each([
    ['*', 'anything', true],
    ['memory::*', 'memory::search', true],
    ['memory::*', 'memory::kg::add', true],
    ['memory::*', 'memory', false],
    ['memory::*', 'memory2::search', false],
    ['memory::search', 'memory::search', true],
    ['memory::sea*', 'memory::search', false],
    ['memory::SEARCH', 'Memory::search', true],
  ])('with %s asks for %s: %s', (pattern, id, expected) => {
    expect(asks(policy({ tools: [pattern] }), id, 'read')).toBe(expected)
  })

  it('lets through what it allows by exact case, unless it asks for it by name', () => {
    expect(asks(policy({ allow: ['fn::*'] }), 'fn::send', 'external')).toBe(false)
    expect(asks(policy({ allow: ['fn::*'] }), 'FN::send', 'external')).toBe(true)
    expect(asks(policy({ allow: ['*'], tools: ['fn::send'] }), 'fn::send', 'external')).toBe(true)
  })

  it('is switched off by naming no effects, never by an empty list of functions', () => {
    expect(asks(policy({ tools: [] }), 'a::b', 'external')).toBe(true)
    expect(asks(policy({ effects: [] }), 'a::b', 'external')).toBe(false)
  })
})
