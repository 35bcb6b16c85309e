import { Writable } from 'node:stream'
import { expect, it } from 'vitest'
import { renderSummary } from './summary.ts'

it('the summary names an engine that is held, as it does a worker', () => {
  const process = (name: string) => ({
    name,
    state: 'held' as const,
    restarts: 4,
    since: 0,
    reason: `exit code 1: ${name}`,
  })
  const summary = {
    page: 'http://127.0.0.1:3111/',
    base: 'http://127.0.0.1:3111',
    processes: [process('engine'), process('memory')],
    functions: undefined,
    model: { connected: false, text: 'unknown' },
    dataDir: '/data',
    dev: false,
  }
  const text = renderSummary(summary, new Writable() as NodeJS.WriteStream)
  expect(text).toContain('engine is held: exit code 1: engine')
  expect(text).toContain('memory is held: exit code 1: memory')
  expect(text).toContain('0 of 1 worker')
})
