import { describe, expect, it } from 'vitest'
import { problemOf, retryAfter } from './problem.ts'

describe('what to do next', () => {
  it('names function, trace and log where a handler threw', () => {
    const error = { code: 'invocation_failed', message: 'boom', details: { functionId: 'shop::order' } }
    const { next } = problemOf(error, 'abc123')
    expect(next).toContain('shop::order')
    expect(next).toContain('npm run agentos -- trace abc123')
    expect(next).toContain('npm run agentos -- logs')
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
})
