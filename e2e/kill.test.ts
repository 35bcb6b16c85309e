import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { type System, startSystem } from '@agentos/testing'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ChatReply, NO_LOCAL_MODELS } from './support/all-workers.ts'

let system: System

beforeAll(async () => {
  system = await startSystem({
    workers: ['agent-core', 'llm-router', 'memory', 'security'],
    env: NO_LOCAL_MODELS,
    // Calls wait for a restart for as long as a slow machine takes.
    config: { agentos: { limits: { worker_wait_ms: 30_000 } } },
  })
})
afterAll(() => system?.stop())

describe('kill -9', () => {
  it('of a worker in mid-call: its caller has a typed error, nobody hangs', async () => {
    const script = join(import.meta.dirname, 'support/hanging-worker.ts')
    const worker = spawn(process.execPath, [script], {
      env: { III_URL: system.wsUrl },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const called = once(worker.stdout, 'data')
    const caller = system.client()
    const call = (async () => {
      for (;;) {
        const code = await caller.trigger({ function_id: 'mid::call', payload: {} }).catch((error) => error.code)
        // Until the process has registered.
        if (code !== 'function_not_found') return code
        await delay(20)
      }
    })()
    await called
    worker.kill('SIGKILL')
    await expect(call).resolves.toBe('invocation_stopped')
    await expect(caller.trigger({ function_id: 'mid::call', payload: {} })).rejects.toMatchObject({
      code: 'function_not_found',
    })
  })

  it('of an installed worker: the call that comes while it is away waits for it and is served', async () => {
    const memory = system.workers.memory!
    await memory.kill()
    // What is sent before the engine hears of it may still go to the dead process.
    await expect.poll(() => served()).not.toContain('memory::list')
    const waiting = system.api<{ memories: unknown[] }>('GET', '/v1/memory?agentId=default')
    await memory.start()
    const reply = await waiting
    expect(reply.status).toBe(200)
    expect(reply.body.memories).toEqual([])
  })

  it('of an installed worker that nobody starts: 503 with Retry-After, and its routes stand', async () => {
    await using small = await startSystem({
      workers: ['memory'],
      config: { agentos: { limits: { worker_wait_ms: 500 } } },
    })
    const memory = small.workers.memory!
    await memory.kill()
    await expect.poll(() => served(small)).not.toContain('memory::list')
    const reply = await small.api<{ code: string }>('GET', '/v1/memory?agentId=default')
    expect(reply.status).toBe(503)
    expect(reply.body.code).toBe('worker_unavailable')
    expect(Number(reply.headers.get('retry-after'))).toBeGreaterThan(0)
    const functions = await small.api<{ functions: { id: string; up: boolean }[] }>('GET', '/v1/engine/functions')
    expect(functions.body.functions.find((fn) => fn.id === 'memory::search')?.up).toBe(false)
    await memory.start()
    expect((await small.api('GET', '/v1/memory?agentId=default')).status).toBe(200)
  })

  it('of the engine: acknowledged state is there, and all functions are back', async () => {
    const client = system.client()
    const acknowledged: number[] = []
    for (let n = 0; n < 200; n++) {
      await client.trigger({ function_id: 'state::set', payload: { scope: 'kill', key: `k${n}`, value: n } })
      acknowledged.push(n)
    }
    const before = await served()
    await system.engine.kill()
    await system.engine.start()
    await system.ready()
    const after = system.client()
    const values = (await after.trigger({ function_id: 'state::list', payload: { scope: 'kill' } })) as number[]
    expect([...values].sort((a, b) => a - b)).toEqual(acknowledged)
    await expect.poll(() => served()).toEqual(before)
    const { body } = await system.api<ChatReply>('POST', '/v1/chat', { message: 'What is 1 plus 1?' })
    expect(body.content).toContain('2')
  })

  it('of the engine in mid-call: the worker that called gets engine_lost and goes on', async () => {
    const client = system.client()
    client.registerFunction('slow::one', () => new Promise(() => {}))
    const caller = system.client()
    await expect
      .poll(async () => {
        const { functions } = (await caller.trigger({ function_id: 'engine::functions::list', payload: {} })) as {
          functions: { function_id: string }[]
        }
        return functions.some((fn) => fn.function_id === 'slow::one')
      })
      .toBe(true)
    const call = caller.trigger({ function_id: 'slow::one', payload: {} }).catch((error) => error)
    await system.engine.kill()
    await expect(call).resolves.toMatchObject({ code: 'engine_lost', retryable: true })
    await system.engine.start()
    await system.ready()
    await expect
      .poll(() =>
        caller.trigger({ function_id: 'state::get', payload: { scope: 'kill', key: 'k1' } }).catch(() => null),
      )
      .toBe(1)
  })
})

/** Ids of all functions that somebody serves. */
async function served(of = system): Promise<string[]> {
  const { body } = await of.api<{ functions: { id: string; up: boolean; worker: string }[] }>(
    'GET',
    '/v1/engine/functions',
  )
  const installed = ['agent-core', 'llm-router', 'memory', 'security', 'engine']
  return body.functions.filter((fn) => fn.up && installed.includes(fn.worker)).map((fn) => fn.id)
}
