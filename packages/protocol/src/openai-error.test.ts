import { describe, expect, it } from 'vitest'
import { errorRegistry } from './errors.ts'
import { isOpenAiPath, openAiError } from './openai-error.ts'

/** What OpenAI's libraries send again by themselves, unless `x-should-retry` says otherwise. */
const isRepeated = (status: number): boolean => [408, 409, 429].includes(status) || status >= 500

describe("an error in OpenAI's shape", () => {
  it('has message, type, param and code', () => {
    const { body } = openAiError({ code: 'invalid_input', message: 'No.', details: { param: 'top_p' } })
    expect(body).toEqual({
      error: { message: 'No.', type: 'invalid_request_error', param: 'top_p', code: 'invalid_input' },
    })
  })

  it.each([
    ['budget_exceeded', 402, 'insufficient_quota', 'budget_exceeded'],
    ['upstream_quota', 402, 'insufficient_quota', 'upstream_quota'],
    ['quota_exceeded', 402, 'insufficient_quota', 'insufficient_quota'],
    ['price_unknown', 422, 'invalid_request_error', 'price_unknown'],
    ['unauthorized', 401, 'authentication_error', 'invalid_api_key'],
    ['forbidden', 403, 'permission_error', 'forbidden'],
    ['not_found', 404, 'invalid_request_error', 'not_found'],
    ['payload_too_large', 413, 'invalid_request_error', 'payload_too_large'],
    ['context_overflow', 400, 'invalid_request_error', 'context_length_exceeded'],
    ['upstream_rejected', 400, 'invalid_request_error', 'upstream_rejected'],
    ['conflict', 400, 'invalid_request_error', 'conflict'],
    ['rate_limited', 429, 'rate_limit_error', 'rate_limit_exceeded'],
    ['session_busy', 409, 'invalid_request_error', 'session_busy'],
    ['overloaded', 503, 'api_error', 'overloaded'],
    ['a_code_of_somebody', 500, 'api_error', 'a_code_of_somebody'],
  ])('says %s with status %d and type %s', (code, status, type, told) => {
    const error = openAiError({ code, message: 'm' })
    expect([error.status, error.body.error.type, error.body.error.code]).toEqual([status, type, told])
  })

  it('is repeated by clients exactly where repeating may help', () => {
    const wrong = errorRegistry.filter(({ code, class: kind }) => {
      const { status, headers } = openAiError({ code, message: 'm' })
      return (isRepeated(status) && headers['x-should-retry'] !== 'false') !== (kind === 'retryable')
    })
    expect(wrong.map(({ code }) => code)).toEqual([])
  })
})

it.each([
  ['/v1/chat/completions', true],
  ['/v1/chat/completions/stream', true],
  ['/api/chat/completions', true],
  ['/v1/models', true],
  ['/v1/models/openai%2Fgpt-4o', true],
  ['/v1/embeddings', true],
  ['/v1/responses', true],
  ['/v1/chat', false],
  ['/v1/chat/stream', false],
  ['/v1/modelsmith', false],
  ['/chat/completions', false],
])("knows OpenAI's paths: %s", (path, expected) => {
  expect(isOpenAiPath(path)).toBe(expected)
})
