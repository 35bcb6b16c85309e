import { describe, expect, it } from 'vitest'
import { routePreference } from './chat.ts'

const record = (provider?: string, model?: string) => ({ model: { provider, model } })

describe('which model a chat asks for', () => {
  it("takes the request's pair alone where it names one of the two", () => {
    const agent = record('anthropic', 'claude-haiku')
    expect(routePreference({ provider: 'openai', model: 'gpt-4o' }, agent)).toEqual({
      provider: 'openai',
      model: 'gpt-4o',
    })
    expect(routePreference({ model: 'gpt-4o' }, agent)).toEqual({ model: 'gpt-4o' })
    expect(routePreference({ provider: 'openai' }, agent)).toEqual({ provider: 'openai' })
  })

  it("else the record's, where it names a model", () => {
    expect(routePreference({}, record('anthropic', 'claude-haiku'))).toEqual({
      provider: 'anthropic',
      model: 'claude-haiku',
    })
    expect(routePreference({}, record(undefined, 'claude-haiku'))).toEqual({ model: 'claude-haiku' })
    expect(routePreference({}, record('anthropic', undefined))).toEqual({})
  })

  it('counts empty strings and agentos-default as not given', () => {
    expect(routePreference({ provider: '', model: 'agentos-default' }, record('openai', 'gpt-4o'))).toEqual({
      provider: 'openai',
      model: 'gpt-4o',
    })
    expect(routePreference({ model: '' }, record('openai', 'agentos-default'))).toEqual({})
  })

  it("and last the realm's default", () => {
    expect(routePreference({}, { model: null }, 'openai/gpt-4o')).toEqual({ model: 'openai/gpt-4o' })
    expect(routePreference({}, record('anthropic', 'claude-haiku'), 'openai/gpt-4o')).toEqual({
      provider: 'anthropic',
      model: 'claude-haiku',
    })
  })
})
