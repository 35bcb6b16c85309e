import { describe, expect, it } from 'vitest'
import { grantCovers, mayUse } from './grants.ts'

describe('grants', () => {
  it.each([
    ['*', 'memory::store', true],
    ['memory::*', 'memory::kg::add', true],
    ['memory::*', 'memoryx::store', false],
    ['memory', 'memory::store', true],
    ['mem', 'memory::store', false],
    ['memory::store', 'memory::store', true],
    ['memory::store', 'memory::store_all', false],
    ['memory::re', 'memory::recall', false],
  ])('%s covers %s: %s', (grant, id, expected) => {
    expect(grantCovers(grant, id)).toBe(expected)
  })

  it('deny wins over a grant, and a chat can only narrow', () => {
    const capabilities = { functions: ['memory::*'], deny: ['memory::forget'] }
    expect(mayUse('memory::store', capabilities)).toBe(true)
    expect(mayUse('memory::forget', capabilities)).toBe(false)
    expect(mayUse('memory::store', capabilities, ['memory::search'])).toBe(false)
    expect(mayUse('llm::complete', capabilities, ['*'])).toBe(false)
  })

  it('a grant of a namespace gives nothing that anybody may register in it', () => {
    const capabilities = { functions: ['stream::*'] }
    expect(mayUse('stream::chat', capabilities)).toBe(true)
    expect(mayUse('stream::get(evil)', capabilities)).toBe(false)
    expect(mayUse('stream::get(todos)', { functions: ['stream::get(todos)'] })).toBe(true)
    expect(mayUse('stream::get(todos)', { functions: ['*'], deny: ['stream::*'] })).toBe(false)
  })
})
