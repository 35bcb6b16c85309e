import { randomUUID } from 'node:crypto'
import * as memory from '@agentos/contracts/memory'
import type { IIIClient } from '@agentos/sdk'
import { type System, startSystem } from '@agentos/testing'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { ALL_WORKERS, type ChatReply, NO_LOCAL_MODELS } from './support/all-workers.ts'

const WAIT = { timeout: 60_000, interval: 50 }

let system: System
let client: IIIClient

beforeAll(async () => {
  system = await startSystem({
    workers: ALL_WORKERS,
    env: NO_LOCAL_MODELS,
    // A frozen process is given up soon, and what waits for it fails soon.
    config: { agentos: { heartbeat_ms: 2_000, limits: { worker_wait_ms: 6_000 } } },
  })
  client = system.client({ owner: true })
})
afterAll(() => system?.stop())

it.each(['/v1/chat', '/v1/chat/stream'])(
  'a chat under a key that failed because memory was frozen goes on at the next call, and is had once (%s)',
  async (path) => {
    const sessionId = `session-${randomUUID()}`
    const headers = { 'idempotency-key': randomUUID() }
    const chat = () =>
      system.api('POST', path, { message: 'hello', agentId: 'default', sessionId }, { headers, owner: true })
    const { pid } = system.workers.memory!
    process.kill(pid, 'SIGSTOP')
    try {
      const refused = await chat()
      expect([refused.status, (refused.body as { retryable: boolean }).retryable]).toEqual([503, true])
    } finally {
      process.kill(pid, 'SIGCONT')
    }
    await expect.poll(async () => (await chat()).status, WAIT).toBe(200)
    const first = (await chat()).body as ChatReply
    expect((await chat()).body).toEqual(first)
    const { messages } = await client.call(memory.sessionGet, { agentId: 'default', sessionId })
    expect(messages.map(({ role }) => role)).toEqual(['user', 'assistant'])
  },
)
