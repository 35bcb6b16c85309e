import { type System, startSystem } from '@agentos/testing'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ALL_WORKERS, type ChatReply, NO_LOCAL_MODELS } from './support/all-workers.ts'

let system: System
beforeAll(async () => {
  system = await startSystem({ workers: ALL_WORKERS, env: NO_LOCAL_MODELS })
})
afterAll(() => system?.stop())

interface Span {
  name: string
  children: Span[]
}

/** Every call of a trace, those that lists usually leave out too; not the HTTP request, nor spans inside of a worker. */
async function callsOf(traceId: string): Promise<string[]> {
  const names = ({ name, children }: Span): string[] => [name, ...children.flatMap(names)]
  const { body } = await system.api<{ roots: Span[] }>('GET', `/v1/traces/${traceId}?include_internal=true`)
  return body.roots.flatMap(names).filter((name) => name.includes('::'))
}

/** The steps of a run that are work of its own process: they are written down by a call that is in no trace. */
async function worksOf(runId: string): Promise<string[]> {
  const path = `/v1/runs/${runId}`
  const { body } = await system.api<{ journal: { kind: string; name: string }[] }>('GET', path, undefined, {
    owner: true,
    realm: 'guest',
  })
  return body.journal.flatMap(({ kind, name }) => (kind === 'work' ? [name] : []))
}

describe('what one request costs the engine', () => {
  it('is at most 20 calls for a chat that calls no function', async () => {
    const { headers, body } = await system.api<ChatReply>('POST', '/v1/chat', { message: 'What is 17 times 23?' })
    expect(body.content).toContain('391')
    const traceId = headers.get('x-trace-id')!
    // Spans come when they end: the call of the chat, and below it its one attempt, are the last.
    await expect
      .poll(async () => (await callsOf(traceId)).filter((name) => name === 'agent::chat'))
      .toEqual(['agent::chat', 'agent::chat'])
    const calls = [...(await callsOf(traceId)), ...(await worksOf(body.runId))]
    expect(calls.length, calls.join('\n')).toBeLessThanOrEqual(20)
  })
})
