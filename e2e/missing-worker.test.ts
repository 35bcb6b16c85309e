import { type System, startSystem } from '@agentos/testing'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { NO_LOCAL_MODELS } from './support/all-workers.ts'

let system: System

beforeAll(async () => {
  system = await startSystem({ workers: ['agent-core', 'llm-router', 'security'], env: NO_LOCAL_MODELS })
})
afterAll(() => system?.stop())

describe('without the folder of a worker', () => {
  it('the rest starts, and its functions answer worker_unavailable at once', async () => {
    const client = system.client()
    const call = client.trigger({ function_id: 'memory::recall', payload: { query: 'x' } })
    await expect(call).rejects.toMatchObject({ code: 'worker_unavailable', retryable: true })
    expect((await system.api('GET', '/v1/agents')).status).toBe(200)
  })

  it('what needs it says which worker is missing', async () => {
    const { status, body } = await system.api<{ code: string; detail: string }>('POST', '/v1/chat', { message: 'hi' })
    expect(status).toBe(503)
    expect(body.code).toBe('worker_unavailable')
    expect(body.detail).toContain('memory')
  })
})
