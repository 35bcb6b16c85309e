import { describe, expect, it } from 'vitest'
import { problemOf, retryAfter } from './problem.ts'

describe('what to do next', () => {
  it('names function, trace and, of an installed worker, log where a handler threw', () => {
    const error = { code: 'invocation_failed', message: 'boom', details: { functionId: 'shop::order' } }
    const { next } = problemOf(error, 'abc123')
    expect(next).toContain('shop::order')
    expect(next).toContain('npm run agentos -- trace abc123')
    expect(next).not.toContain('npm run agentos -- logs')
    const own = { ...error, details: { functionId: 'memory::search', worker: 'memory' } }
    expect(problemOf(own, 'abc123').next).toContain('npm run agentos -- logs memory')
  })

  it('is to call the worker’s functions where its data is its own, and not to bring a token', () => {
    const { next } = problemOf({ code: 'forbidden', message: 'no', details: { owner: 'memory' } }, 'abc123')
    expect(next).toContain('npm run agentos -- functions memory')
    expect(next).not.toContain('token')
  })

  it('is to restart a worker that is held, not to try again in a second', () => {
    const held = { code: 'worker_unavailable', message: 'held', details: { worker: 'memory', state: 'held' } }
    expect(problemOf(held, 'abc123')).toMatchObject({ retryable: false, status: 503 })
    expect(problemOf(held, 'abc123').next).toContain('npm run agentos -- restart memory')
    expect(retryAfter(held, 503)).toBeUndefined()
    expect(retryAfter({ code: 'worker_unavailable', message: 'down' }, 503)).toBe('1')
  })

  it.each([
    ['gone', 'npm run agentos -- stop'],
    ['none', 'npm start'],
  ])('is no second try where the supervisor is %s', (supervisor, advice) => {
    const error = { code: 'worker_unavailable', message: 'nobody', details: { supervisor } }
    expect(problemOf(error, 'abc123')).toMatchObject({ retryable: false, next: expect.stringContaining(advice) })
    expect(retryAfter(error, 503)).toBeUndefined()
  })
})
