import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { EngineError, errorInfo, errorRegistry, isRetryable } from './errors.ts'

const page = readFileSync(fileURLToPath(new URL('../../../docs/errors.md', import.meta.url)), 'utf8')
const documented = page
  .split('\n')
  .filter((line) => line.startsWith('| `'))
  .map((line) => line.slice(2, -2).split(' | '))

describe('the error registry and docs/errors.md', () => {
  it('documents every code as the registry has it', () => {
    const rows = errorRegistry.map((info) => [
      `\`${info.code}\``,
      info.class,
      String(info.status),
      info.title,
      info.next,
    ])
    expect(rows.filter((row) => !documented.some((other) => other.join() === row.join()))).toEqual([])
  })

  it('documents no code that the registry does not have', () => {
    const codes = new Set(errorRegistry.map((info) => `\`${info.code}\``))
    expect(documented.map(([code]) => code).filter((code) => !codes.has(code!))).toEqual([])
    expect(documented).toHaveLength(errorRegistry.length)
  })

  it('lists each code once, with a status of an error and two sentences', () => {
    expect(new Set(errorRegistry.map((info) => info.code)).size).toBe(errorRegistry.length)
    for (const info of errorRegistry) {
      expect(info.status).toBeGreaterThanOrEqual(400)
      expect(info.status).toBeLessThan(600)
      expect(info.title).toMatch(/^[A-Z].*\.$/)
      expect(info.next).toMatch(/^[A-Z].*\.$/)
    }
  })
})

describe('errors', () => {
  it('takes an unknown code for a failure of the handler, and keeps the code', () => {
    expect(errorInfo('my_own')).toMatchObject({ code: 'my_own', class: 'terminal', status: 500 })
    expect(errorInfo('__proto__').status).toBe(500)
  })

  it('tells what may be repeated', () => {
    expect(isRetryable('overloaded')).toBe(true)
    expect(isRetryable('in_doubt')).toBe(false)
  })

  it('travels with its details and without its cause', () => {
    const error = new EngineError('overloaded', 'too many', {
      details: { retryAfterMs: 100 },
      cause: new Error('secret'),
    })
    expect(error.toBody()).toEqual({ code: 'overloaded', message: 'too many', details: { retryAfterMs: 100 } })
    expect(new EngineError('not_found', 'no').toBody()).toEqual({ code: 'not_found', message: 'no' })
  })
})
