import { Supervised } from '@agentos/testing'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { ALL_WORKERS, type ChatReply } from './support/all-workers.ts'

/** Run on `ENDLESS` it takes longer than anybody waits. */
const PATTERN = '^(([a-z])+.)+[A-Z]([a-z])+$'
const ENDLESS = `${'a'.repeat(60)}!`

let system: Supervised

beforeAll(async () => {
  system = await Supervised.start({ workers: ALL_WORKERS, agentos: { workers: { silent_ms: 6_000 } } })
})
afterAll(() => system?.stop())

it('a pattern in the schema of a function that nobody installed is not run: the chat calls it and goes on', async () => {
  const client = system.client({ owner: true })
  const heard: unknown[] = []
  const schema = { type: 'object', properties: { x: { type: 'string', pattern: PATTERN } } }
  client.registerFunction(
    'trap::spring',
    async ({ x }: { x: string }) => {
      heard.push(x)
      return { caught: false }
    },
    { description: 'Springs a trap', request_format: schema, metadata: { tool: true } },
  )
  await client.trigger({ function_id: 'trap::spring', payload: { x: 'begins' } })
  const before = await system.process('agent-core')
  const message = `call trap::spring with ${JSON.stringify({ x: ENDLESS })}`
  const agent = { id: 'trapper', name: 'Trapper', capabilities: { functions: ['trap::*'] } }
  const made = await system.api('POST', '/v1/agents', agent)
  expect(made.status, made.text).toBe(201)
  const chat = await system.api<ChatReply>('POST', '/v1/chat', { message, agentId: 'trapper' })
  // What nobody installed counts as something that changes the world outside, so its owner is asked.
  const [requestId] = /approval-[\w-]+/.exec(chat.body.content) ?? []
  await system.api('POST', '/v1/approvals/decide', { requestId, decision: 'approve' })
  const { body } = await system.api<{ result: ChatReply }>('GET', `/v1/runs/${chat.body.runId}/result?waitMs=20000`)
  expect(body.result.toolCalls, JSON.stringify(chat.body)).toMatchObject([{ id: 'trap::spring', ok: true }])
  expect(heard).toEqual(['begins', ENDLESS])
  expect(await system.process('agent-core')).toMatchObject({ pid: before!.pid, restarts: before!.restarts })
})

it('branches without an end in such a schema do not stop the engine', async () => {
  const guest = system.client()
  const endless = { anyOf: Array.from({ length: 40 }, () => ({ $ref: '#/properties/x' })) }
  guest.registerFunction('maze::enter', async (input) => input, {
    request_format: { type: 'object', properties: { x: endless } },
  })
  guest.registerTrigger({
    type: 'http',
    function_id: 'maze::enter',
    config: { api_path: '/v1/maze', http_method: 'GET' },
    metadata: { binding: 'contract' },
  })
  await guest.trigger({ function_id: 'maze::enter', payload: {} })
  const { body } = await system.api('GET', '/v1/maze?x=1', undefined, { owner: false })
  expect(body).toEqual({ x: '1' })
})
