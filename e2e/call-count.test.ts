import { randomUUID } from 'node:crypto'
import { type System, startSystem } from '@agentos/testing'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ALL_WORKERS, NO_LOCAL_MODELS } from './support/all-workers.ts'

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
async function callsIn(traceId: string): Promise<string[]> {
  const names = ({ name, children }: Span): string[] => [name, ...children.flatMap(names)]
  const { body } = await system.api<{ roots: Span[] }>('GET', `/v1/traces/${traceId}?include_internal=true`)
  return body.roots.flatMap(names).filter((name) => name.includes('::'))
}

/** The steps of the newest run that are work of its own process: they are written down by a call that is in no trace. */
async function worksOfNewest(): Promise<string[]> {
  const OWNER = { owner: true, realm: 'guest' }
  const { body: newest } = await system.api<{ runs: { id: string }[] }>('GET', '/v1/runs?limit=1', undefined, OWNER)
  const path = `/v1/runs/${newest.runs[0]!.id}`
  const { body } = await system.api<{ journal: { kind: string; name: string }[] }>('GET', path, undefined, OWNER)
  return body.journal.flatMap(({ kind, name }) => (kind === 'work' ? [name] : []))
}

/** The calls that one request came to. */
async function callsOf(path: string, body: object, headers: Record<string, string> = {}): Promise<string[]> {
  const response = await fetch(system.httpUrl + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  })
  expect(await response.text()).toContain('391')
  const traceId = response.headers.get('x-trace-id')!
  const outermost = path.endsWith('/completions') ? 'stream::completion' : 'agent::chat'
  // Spans come when they end: the call of the request, and below it the chat's one attempt, are the last.
  await expect
    .poll(async () => (await callsIn(traceId)).filter((name) => name === outermost || name === 'agent::chat'))
    .toHaveLength(outermost === 'agent::chat' ? 2 : 3)
  return [...(await callsIn(traceId)), ...(await worksOfNewest())]
}

const message = 'What is 17 times 23?'
const completion = { model: 'agent/default', messages: [{ role: 'user', content: message }] }

describe('what one request costs the engine', () => {
  it.each([
    { what: 'a chat that calls no function', path: '/v1/chat', most: 19 },
    { what: 'one that is streamed', path: '/v1/chat', more: { stream: true }, most: 19 },
    { what: 'a completion by an agent', path: '/v1/chat/completions', most: 19 },
    { what: 'one that is streamed', path: '/v1/chat/completions', more: { stream: true }, most: 20 },
  ])('is at most $most calls for $what at $path', async ({ path, more, most }) => {
    const calls = await callsOf(path, { ...(path === '/v1/chat' ? { message } : completion), ...more })
    expect(calls.length, calls.join('\n')).toBeLessThanOrEqual(most)
  })

  it('is at most 26 calls for a first chat, which makes its agent', async () => {
    const calls = await callsOf('/v1/chat', { message, agentId: `newcomer-${randomUUID()}` })
    expect(calls).toContain('security::set_capabilities')
    expect(calls.length, calls.join('\n')).toBeLessThanOrEqual(26)
  })

  it('is one more for each that finds something said before in its session', async () => {
    const chat = { message, sessionId: 'chatted' }
    const named = { 'x-session-id': 'completed' }
    await callsOf('/v1/chat', chat)
    await callsOf('/v1/chat/completions', completion, named)
    const calls = [await callsOf('/v1/chat', chat), await callsOf('/v1/chat/completions', completion, named)]
    expect(calls[0]!.length, calls[0]!.join('\n')).toBeLessThanOrEqual(20)
    expect(calls[1]!.length, calls[1]!.join('\n')).toBeLessThanOrEqual(21)
  })
})
