import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Supervised, type SupervisedOptions } from '@agentos/testing'
import { afterEach, describe, expect, it } from 'vitest'

const WAIT = { timeout: 40_000, interval: 20 }
/** Calls between which a worker on demand may fall asleep; a search for a race takes more. */
const ROUNDS = Number(process.env.ON_DEMAND_ROUNDS ?? 20)

let system: Supervised | undefined
let server: Server | undefined

afterEach(async () => {
  server?.closeAllConnections()
  server?.close()
  server = undefined
  await system?.stop()
  system = undefined
})

/** The toolbox, on demand as its manifest says, which may ask a server of this test. */
async function start(options: Partial<SupervisedOptions> = {}): Promise<{ pending: ServerResponse[]; url: string }> {
  const pending: ServerResponse[] = []
  server = createServer((_request, response) => void pending.push(response)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const entries = [{ name: 'toolbox', config: { allow_private: [`127.0.0.1:${port}`] } }]
  system = await Supervised.start({ workers: ['toolbox'], entries, ...options })
  return { pending, url: `http://127.0.0.1:${port}/` }
}

const call = async (functionId: string, payload: unknown) =>
  (
    await system!.api<{ code?: string; detail?: string; value?: string; status?: number }>(
      'POST',
      '/v1/functions/call',
      { functionId, payload },
    )
  ).body
const calculate = () => call('fn::calculate', { expression: '17*23' })
const toolbox = () => system!.process('toolbox')
const asleep = () => expect.poll(async () => (await toolbox())?.state, WAIT).toBe('asleep')

describe('a worker on demand', () => {
  it('has no process until it is called, and none when it has been idle', async () => {
    const { pending, url } = await start({ agentos: { workers: { idle_ms: 300 } } })
    expect(await toolbox()).toMatchObject({ state: 'asleep' })
    expect((await toolbox())?.pid).toBeUndefined()
    expect(system!.output()).toContain('1 asleep until needed')
    const { body } = await system!.api<{ workers: object[] }>('GET', '/v1/engine/workers')
    expect(body.workers).toMatchObject([{ name: 'toolbox', status: 'asleep', pid: null }])
    expect(await calculate()).toMatchObject({ value: '391' })
    // A call that is held keeps it awake for as long as this takes to be seen.
    const held = call('fn::http_request', { url })
    await expect.poll(() => pending.length, WAIT).toBe(1)
    await expect.poll(async () => (await toolbox())?.state, WAIT).toBe('up')
    pending[0]!.end('done')
    expect(await held).toMatchObject({ status: 200 })
    await asleep()
    const { text } = await system!.agentos('status')
    expect(text).toMatch(/toolbox +asleep .*starts at the next call/)
    expect(await calculate()).toMatchObject({ value: '391' })
  })

  it('is not ended while a call is in flight, however long that takes', async () => {
    const { pending, url } = await start({
      workers: ['realm', 'toolbox'],
      manifests: { realm: { start: 'on-demand' } },
      agentos: { workers: { idle_ms: 100 } },
    })
    const answer = call('fn::http_request', { url })
    await expect.poll(() => pending.length, WAIT).toBe(1)
    const { pid } = (await toolbox())!
    // Another one is started, does its work and is idle for long enough.
    expect(await call('realm::list', {})).toEqual(expect.any(Array))
    await expect.poll(async () => (await system!.process('realm'))?.state, WAIT).toBe('asleep')
    expect(await toolbox()).toMatchObject({ state: 'up', pid, restarts: 0 })
    pending[0]!.end('at last')
    expect(await answer).toMatchObject({ status: 200 })
    await asleep()
  })

  it('loses no call that comes while it falls asleep', async () => {
    await start({ agentos: { workers: { idle_ms: 60 } } })
    const pids = new Set<number>()
    const answers: unknown[] = []
    // The pauses sweep over the time after which it is let go.
    for (let round = 0; round < ROUNDS; round += 1) {
      answers.push((await calculate()).value)
      pids.add((await toolbox())?.pid ?? 0)
      await delay(50 + (round % 10) * 8)
    }
    expect(answers).toEqual(Array(ROUNDS).fill('391'))
    expect(pids.size).toBeGreaterThan(2)
  })

  it('is started by a trigger that needs it', async () => {
    const expression = '* * * * * *'
    const triggers = [{ type: 'cron', function_id: 'realm::purge_expired', config: { expression } }]
    await start({ workers: ['realm'], entries: [], manifests: { realm: { start: 'on-demand', triggers } } })
    await expect.poll(async () => (await system!.process('realm'))?.state, WAIT).toBe('up')
  })

  it('is started by a call to an engine that was killed meanwhile', async () => {
    await start()
    const { pid } = (await system!.process('engine'))!
    process.kill(pid!, 'SIGKILL')
    await expect
      .poll(
        async () => ((await system!.process('engine'))?.pid !== pid && (await system!.process('engine'))?.state) || '',
        WAIT,
      )
      .toBe('up')
    expect(await calculate()).toMatchObject({ value: '391' })
  })

  it('that is awake has what config.yaml says of it once the engine is restarted, which a mistake in it forbids', async () => {
    const { pending, url } = await start({ entries: [{ name: 'toolbox', config: { allow_private: [] } }] })
    expect((await call('fn::http_request', { url })).code).toBeDefined()
    const before = (await toolbox())!.pid
    const file = join(system!.root, 'config.yaml')
    const config = await readFile(file, 'utf8')
    await writeFile(file, config.replace('"iii-pubsub"', '"iii-pubsubb"'))
    const refused = await system!.agentos('restart', 'engine')
    expect([refused.code, refused.text]).toEqual([1, expect.stringContaining('lists iii-pubsubb')])
    expect((await call('fn::http_request', { url })).code).toBeDefined()
    await writeFile(file, config.replace('"allow_private":[]', `"allow_private":["${new URL(url).host}"]`))
    expect(await system!.agentos('restart', 'engine')).toMatchObject({ code: 0 })
    await expect.poll(async () => (await toolbox())?.pid !== before && (await toolbox())?.state, WAIT).toBe('up')
    const answer = call('fn::http_request', { url })
    await expect.poll(() => pending.length, WAIT).toBe(1)
    pending[0]!.end('reached')
    expect(await answer).toMatchObject({ status: 200 })
  })

  it('that cannot start is held, refuses at once, and serves when it is repaired and released', async () => {
    await start({ agentos: { limits: { worker_wait_ms: 1_000 } } })
    const script = join(system!.root, 'dist/workers/toolbox.mjs')
    const bundle = "import { worker } from '../bundles/toolbox.mjs'\nawait worker.run()\n"
    await writeFile(script, 'throw new Error("no such table")')
    expect(await calculate()).toMatchObject({ code: 'worker_unavailable' })
    await expect.poll(async () => (await toolbox())?.state, WAIT).toBe('held')
    await expect.poll(async () => (await calculate()).detail, WAIT).toContain('npm run agentos -- restart toolbox')
    const status = await system!.agentos('status')
    expect(status.code).toBe(1)
    expect(status.text).toMatch(/toolbox +held .*no such table; npm run agentos -- restart toolbox starts it again/)
    await writeFile(script, bundle)
    expect(await system!.agentos('restart', 'toolbox')).toMatchObject({ code: 0 })
    await expect.poll(async () => (await toolbox())?.state, WAIT).toBe('up')
    expect(await calculate()).toMatchObject({ value: '391' })
  })
})

describe('instances', () => {
  const twice = { workers: { toolbox: { instances: 2 } } }
  const manifests = { toolbox: { start: 'always', instances: 2 } } as const

  it('are as many as config.yaml says, each serves, has its own log, and stands in for the other', async () => {
    const { pending, url } = await start({ agentos: twice, manifests })
    const both = async () => {
      const { body } = await system!.api<{
        workers: { name: string; pid: number; functions: string[]; inFlight: number }[]
      }>('GET', '/v1/engine/workers')
      return body.workers.filter(({ name, functions, pid }) => name === 'toolbox' && pid && functions.length === 8)
    }
    await expect.poll(both, WAIT).toHaveLength(2)
    const answers = [call('fn::http_request', { url }), call('fn::http_request', { url })]
    await expect.poll(() => pending.length, WAIT).toBe(2)
    expect((await both()).map(({ inFlight }) => inFlight)).toEqual([1, 1])
    for (const response of pending) response.end('done')
    for (const answer of answers) expect(await answer).toMatchObject({ status: 200 })
    for (const name of ['toolbox', 'toolbox.2']) expect((await system!.agentos('logs', name)).text).toContain('serving')
    const { text } = await system!.agentos('status')
    expect(text).toMatch(/toolbox +up +8 /)
    expect(text).toMatch(/toolbox\.2 +up +8 /)

    const second = (await system!.process('toolbox.2'))!
    process.kill(second.pid!, 'SIGKILL')
    // What is sent before the engine hears of it may still go to the dead process.
    await expect.poll(async () => (await both()).map(({ pid }) => pid), WAIT).not.toContain(second.pid)
    expect(await calculate()).toMatchObject({ value: '391' })
    await expect.poll(both, WAIT).toHaveLength(2)
    expect(await system!.process('toolbox.2')).toMatchObject({ restarts: 1, reason: 'ended by SIGKILL' })
  })

  it('beyond what the manifest allows are refused with both numbers', async () => {
    const agentos = { workers: { toolbox: { instances: 3 } } }
    await expect(start({ agentos, manifests })).rejects.toThrow(
      /agentos\.workers\.toolbox\.instances is 3, and its manifest allows 2/,
    )
  })
})
