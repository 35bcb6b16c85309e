import type { ToolCallPart } from '@agentos/contracts/llm-router'
import { describe, expect, it } from 'vitest'
import { Catalogue } from '../catalogue.ts'
import { readEnvironment, Settings, type Trait } from '../settings.ts'
import { argumentsObject, argumentsText, translate } from './format.ts'
import { openAiChat } from './openai-chat.ts'

const call = (raw?: string): ToolCallPart => ({
  type: 'toolCall',
  callId: 'c1',
  id: 'weather::now',
  arguments: raw === undefined ? { city: 'Oslo' } : {},
  ...(raw === undefined ? {} : { problem: { code: 'invalid_json', message: 'no object', raw } }),
})

describe('the arguments of an earlier call', () => {
  it('are told to the model as it wrote them, where they are text', () => {
    expect(argumentsText(call(), [])).toBe('{"city":"Oslo"}')
    expect(argumentsText(call('{"city": "Os'), [])).toBe('{"city": "Os')
  })

  it('are an object where one is wanted, by the format or by a server that reads the text', () => {
    const kept = { invalid_json: '{"city": "Os' }
    expect(argumentsObject(call('{"city": "Os'))).toEqual(kept)
    expect(JSON.parse(argumentsText(call('{"city": "Os'), ['parsed-arguments']))).toEqual(kept)
  })

  it('stay those of a call to a function that nobody offered', () => {
    const unknown: ToolCallPart = {
      ...call(),
      problem: { code: 'unknown_tool', message: 'no', raw: '{"city":"Oslo"}' },
    }
    expect(argumentsObject(unknown)).toEqual({ city: 'Oslo' })
  })
})

it.each([
  [[], { seed: 0 }],
  [['random-seed'], { random_seed: 0 }],
] as [Trait[], object][])('a seed has the name that the server gives it: %s', (traits, expected) => {
  const facts = new Catalogue(Settings.parse({}), readEnvironment({})).model('mistral', 'a-model')
  const input = { messages: [{ role: 'user' as const, content: 'hi' }], seed: 0 }
  expect(openAiChat.request(translate('a-model', input, facts, traits), false).body).toMatchObject(expected)
})
