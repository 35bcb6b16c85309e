import { describe, expect, it } from 'vitest'
import { fromResponse, fromStream } from './upstream-error.ts'

const codeOf = (status: number, message: string) =>
  fromResponse({ provider: 'p', model: 'm' }, status, {}, JSON.stringify({ error: { message } }), []).code

describe('a context that is full', () => {
  it.each([
    "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.",
    'prompt is too long: 210000 tokens > 200000 maximum',
    'Your input exceeds the context window of this model. Please adjust your input and try again.',
    'The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).',
    'the request exceeds the available context size, try increasing it',
    'request (9000 tokens) exceeds the available context size (4096 tokens)',
    'the input length exceeds the context length',
    "This model's maximum prompt length is 131072 but the request contains 140000 tokens.",
    'Input is too long for requested model.',
    'Please reduce the length of the messages or completion.',
    'Trying to keep the first 9000 tokens when context overflows. However, the model is loaded with context length of only 4096 tokens.',
  ])('%s', (message) => {
    expect(codeOf(400, message)).toBe('context_overflow')
  })

  it.each<object>([
    { error: { code: 400, message: 'too big', type: 'exceed_context_size_error', n_prompt_tokens: 9000, n_ctx: 4096 } },
    { error: 'context length exceeded', details: [{ limits: { max_context_length: '4096' } }] },
    [{ error: { message: 'context window', metadata: { contextWindow: 4096, maxModelLen: 8192 } } }],
  ])('is told with its size, wherever that stands: %j', (body) => {
    const choice = { provider: 'p', model: 'm' }
    for (const error of [fromResponse(choice, 413, {}, JSON.stringify(body), []), fromStream(choice, body, [])]) {
      expect(error.details).toMatchObject({ contextTokens: 4_096 })
    }
  })

  it('is no limit of tokens per minute, and no other mistake', () => {
    expect(codeOf(429, 'Request too large for m on tokens per min (TPM): Limit 30000, Requested 50000.')).toBe(
      'rate_limited',
    )
    expect(codeOf(400, 'Invalid value for temperature')).toBe('upstream_rejected')
    expect(codeOf(400, 'The tool name is too long')).toBe('upstream_rejected')
  })
})
