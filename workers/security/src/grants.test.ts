import { normaliseGrant } from '@agentos/contracts/grant'
import { describe, expect, it } from 'vitest'
import { toRecord } from './capabilities.ts'
import { covers, decide } from './grants.ts'

describe('grants', () => {
  it.each([
    ['*', '*'],
    ['memory', 'memory::*'],
    ['memory::', 'memory::*'],
    ['memory::*', 'memory::*'],
    ['memory::recall', 'memory::recall'],
    ['memory::session::get', 'memory::session::get'],
    [' web ', 'web::*'],
    ['mem*', undefined],
    ['', undefined],
    ['*::x', undefined],
    ['a b', undefined],
  ])('%s is kept as %s', (grant, full) => {
    expect(normaliseGrant(grant)).toBe(full)
  })

  it('end at a namespace', () => {
    expect(covers('memory::*', 'memory::recall')).toBe(true)
    expect(covers('mem::*', 'memory::recall')).toBe(false)
    expect(covers('memory::re', 'memory::recall')).toBe(false)
    expect(covers('*', 'anything')).toBe(true)
  })

  it('of a namespace give nothing that anybody may register in it', () => {
    const record = { tools: ['stream::*', 'stream::get(todos)'], deny: [], max_tokens_per_hour: null }
    expect(decide('a', 'stream::chat', record)).toMatchObject({ allowed: true })
    expect(decide('a', 'stream::get(evil)', record)).toMatchObject({ allowed: false, reason: 'not_granted' })
    expect(decide('a', 'stream::get(todos)', record)).toMatchObject({ allowed: true })
    const denying = { tools: ['*'], deny: ['stream::*'], max_tokens_per_hour: null }
    expect(decide('a', 'stream::get(todos)', denying)).toMatchObject({ allowed: false, reason: 'denied' })
  })

  it('are decided with deny rules first', () => {
    const record = { tools: ['*'], deny: ['shell::*'], max_tokens_per_hour: null }
    expect(decide('a', 'memory::get', record)).toEqual({ allowed: true, rule: '*' })
    expect(decide('a', 'shell::exec', record)).toMatchObject({ allowed: false, reason: 'denied', rule: 'shell::*' })
    expect(decide('a', 'x::y', { ...record, tools: [] })).toMatchObject({ allowed: false, reason: 'not_granted' })
    expect(decide('a', 'x::y', undefined)).toMatchObject({ allowed: false, reason: 'no_capabilities' })
  })

  it('come from either name of the list, and nonsense is refused', () => {
    expect(toRecord({ tools: ['memory'], functions: ['memory::*', 'web::fetch'], maxTokensPerHour: 5 })).toEqual({
      tools: ['memory::*', 'web::fetch'],
      deny: [],
      max_tokens_per_hour: 5,
    })
    expect(() => toRecord({ tools: ['mem*'] })).toThrow(/is no grant/)
  })
})
