import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import type { IIIClient } from '@agentos/sdk'
import { type System, startSystem } from '@agentos/testing'
import { afterAll, beforeAll, expect, it, vi } from 'vitest'

const WAIT = { timeout: 60_000, interval: 5 }

let system: System
let client: IIIClient
let worker: ChildProcess
/** Letters that were really posted. */
const posted: string[] = []

beforeAll(async () => {
  system = await startSystem({ workers: ['approval', 'security'] })
  client = system.client({ owner: true })
  client.registerFunction('count::post', async ({ to }: { to: string }) => {
    posted.push(to)
    return { posted: to }
  })
  worker = spawn(process.execPath, [join(import.meta.dirname, 'support/durable-worker.ts')], {
    env: { III_URL: system.wsUrl, AGENTOS_CREDENTIAL: system.ownerToken },
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  await served()
})
afterAll(async () => {
  worker?.kill('SIGKILL')
  await system?.stop()
})

/** Clients come back after a restart of the engine by themselves. */
function served(): Promise<void> {
  const request = { function_id: 'engine::functions::list', payload: {} }
  return vi.waitFor(async () => {
    const { functions } = await client.trigger<{ functions: { function_id: string }[] }>(request)
    const ids = functions.map(({ function_id }) => function_id)
    expect(ids).toEqual(expect.arrayContaining(['durable::tally', 'durable::post', 'count::post']))
  }, WAIT)
}

interface RunView {
  id: string
  status: string
  attempts: number
  reason?: string
}

async function runsOf(functionId: string): Promise<RunView[]> {
  const payload = { function: functionId, limit: 200 }
  return (await client.trigger<{ runs: RunView[] }>({ function_id: 'engine::runs::list', payload })).runs
}

async function killEngine(): Promise<void> {
  await system.engine.kill()
  await system.engine.start()
  await served()
}

it('writes to the state that are under way when the engine is killed are made once, and nobody is asked about them', async () => {
  const RUNS = 20
  const WRITES = 25
  const KILLS = 4
  const names = Array.from({ length: RUNS }, (_, n) => `run-${n}`)
  const begin = (name: string) =>
    client.trigger({ function_id: 'durable::tally', payload: { name, writes: WRITES }, idempotencyKey: name })
  const total = async () => {
    const values = await client.trigger<{ n: number }[]>({ function_id: 'state::list', payload: { scope: 'tally' } })
    return values.reduce((sum, { n }) => sum + n, 0)
  }
  for (const name of names) begin(name).catch(() => {})
  for (let kill = 1; kill <= KILLS; kill++) {
    // Each at another place, while all of them write.
    await expect.poll(total, WAIT).toBeGreaterThanOrEqual((kill * RUNS * WRITES) / (KILLS + 2))
    await killEngine()
  }
  const ended = async () => (await runsOf('durable::tally')).map(({ status, reason }) => reason ?? status)
  await expect.poll(ended, WAIT).toEqual(names.map(() => 'done'))
  expect(await Promise.all(names.map(begin))).toEqual(names.map(() => ({ counted: WRITES })))
  expect(await total()).toBe(RUNS * WRITES)
  const groups = await client.trigger({ function_id: 'state::list_groups', payload: {} })
  expect(groups, 'what each run deleted at its end is gone').toMatchObject({ groups: ['tally'] })
  const runs = await runsOf('durable::tally')
  expect(Math.max(...runs.map(({ attempts }) => attempts)), 'runs were cut off').toBeGreaterThan(1)
})

it('a call that waits for its approval when the engine is killed was not made: it is asked for again, and made once', async () => {
  const run = async () => (await runsOf('durable::post'))[0]!
  const requests = async () =>
    (await system.api<{ id: string; status: string }[]>('GET', '/v1/approvals', undefined, { owner: true })).body
  // The request is on disk before it is audited: as long as that takes, the engine has no answer.
  process.kill(system.workers.security!.pid, 'SIGSTOP')
  const post = () => client.trigger({ function_id: 'durable::post', payload: { to: 'ada' }, idempotencyKey: 'post-1' })
  post().catch(() => {})
  await expect.poll(requests, WAIT).toMatchObject([{ status: 'pending' }])
  await system.engine.kill()
  process.kill(system.workers.security!.pid, 'SIGCONT')
  await system.engine.start()
  await served()
  await expect.poll(async () => (await run()).status, WAIT).not.toBe('running')
  expect(await run()).toMatchObject({ status: 'waiting', reason: 'approval' })
  const [request, ...others] = await requests()
  expect([others, posted]).toEqual([[], []])
  const approved = { requestId: request!.id, decision: 'approve' }
  expect((await system.api('POST', '/v1/approvals/decide', approved, { owner: true })).status).toBe(200)
  await expect.poll(async () => (await run()).status, WAIT).toBe('done')
  expect(await post()).toEqual({ posted: 'ada' })
  expect(posted).toEqual(['ada'])
})
