import { setTimeout as delay } from 'node:timers/promises'
import { registerWorker } from '@agentos/sdk'
import { type System, startCutProxy, startEngine } from '@agentos/testing'
import { afterAll, beforeAll, expect, it } from 'vitest'

const CUTS = 100
let system: System

beforeAll(async () => {
  system = await startEngine()
})
afterAll(() => system?.stop())

it(`${CUTS} cuts, the worker's side first: routes and functions are the same after each`, {
  timeout: 120_000,
}, async () => {
  const proxy = await startCutProxy(system.wsUrl)
  const worker = registerWorker(proxy.url, {})
  worker.registerFunction('cut::echo', async (input) => ({ body: input }))
  worker.registerTrigger({
    type: 'http',
    function_id: 'cut::echo',
    config: { api_path: 'cut/echo', http_method: 'POST' },
  })
  const answers = async () => (await system.api('POST', '/cut/echo', { n: 1 })).status
  await expect.poll(answers).toBe(200)
  for (let cut = 1; cut <= CUTS; cut++) {
    // The worker is back on a new connection while the engine still believes in the old one, whose end comes late.
    proxy.cut('client')
    await expect.poll(() => proxy.connections, { interval: 5, timeout: 20_000 }).toBeGreaterThan(0)
    await expect.poll(answers, { interval: 5, timeout: 20_000 }).toBe(200)
    proxy.release()
    await delay(cut % 10 === 0 ? 50 : 2)
    expect(await answers(), `after cut ${cut}`).toBe(200)
  }
  await worker.shutdown()
  await proxy.close()
})
