import { describe, expect, it } from 'vitest'
import { stopReasonOf } from './stop-reasons.ts'

describe('the reason to stop', () => {
  it.each([
    ['stop', 'stop'],
    ['STOP', 'stop'],
    ['end_turn', 'stop'],
    ['length', 'length'],
    ['MAX_TOKENS', 'length'],
    ['max_tokens', 'length'],
    ['model_length', 'length'],
    ['tool_calls', 'tool_calls'],
    ['tool_use', 'tool_calls'],
    ['SAFETY', 'content_filter'],
    ['refusal', 'content_filter'],
    ['sensitive', 'content_filter'],
    ['insufficient_system_resource', 'interrupted'],
    ['abort', 'interrupted'],
    ['MALFORMED_FUNCTION_CALL', 'interrupted'],
  ])('%s is %s in every format', (word, reason) => {
    expect(stopReasonOf(word)).toBe(reason)
  })

  it('is other where nobody knows the word', () => {
    expect(stopReasonOf('moon_phase')).toBe('other')
    expect(stopReasonOf('constructor')).toBe('other')
  })
})
