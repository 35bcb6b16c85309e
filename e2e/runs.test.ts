import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { join } from 'node:path'
import type { IIIClient } from '@agentos/sdk'
import { type System, startEngine } from '@agentos/testing'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'

let system: System
let client: IIIClient
/** What was really done, in order. */
let done: number[]
/** A step that hangs until it is let go. */
let held: { n: number; reached: () => void; release: Promise<void> } | undefined
const processes: ChildProcess[] = []

beforeAll(async () => {
  system = await startEngine()
})
beforeEach(() => {
  done = []
  held = undefined
  client = system.client({ owner: true })
  client.registerFunction(
    'count::act',
    async ({ n }: { n: number }) => {
      done.push(n)
      if (held?.n === n) {
        const { reached, release } = held
        held = undefined
        reached()
        await release
      }
      return { n }
    },
    { metadata: { effects: 'write', idempotent: true } },
  )
})
afterEach(async () => {
  for (const process of processes.splice(0)) process.kill('SIGKILL')
  await client.shutdown()
  // The engine hears of it a little later, and the next test is not to take the dead for the living.
  client = system.client({ owner: true })
  await expect.poll(async () => (await functions()).filter((id) => /^(durable|count)::/.test(id))).toEqual([])
  await client.shutdown()
})
afterAll(() => system?.stop())

/** Holds the step `n` until `release` is called; `reached` resolves when it is under way. */
function hold(n: number): { reached: Promise<void>; release: () => void } {
  const reached = Promise.withResolvers<void>()
  const release = Promise.withResolvers<void>()
  held = { n, reached: reached.resolve, release: release.promise }
  return { reached: reached.promise, release: release.resolve }
}

function startWorker(): ChildProcess {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'support/durable-worker.ts')], {
    env: { III_URL: system.wsUrl, AGENTOS_CREDENTIAL: system.ownerToken },
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  processes.push(child)
  return child
}

async function kill(child: ChildProcess): Promise<void> {
  child.kill('SIGKILL')
  await once(child, 'exit')
}

/** Until every function that a test calls is there. */
async function served(...ids: string[]): Promise<void> {
  await expect.poll(functions, { timeout: 20_000 }).toEqual(expect.arrayContaining(['count::act', ...ids]))
}

/** Until the engine has heard that nobody serves it any more. */
async function gone(id: string): Promise<void> {
  await expect.poll(functions).not.toContain(id)
}

async function functions(): Promise<string[]> {
  const request = { function_id: 'engine::functions::list', payload: {} }
  const list = await client.trigger<{ functions: { function_id: string }[] }>(request)
  return list.functions.map(({ function_id }) => function_id)
}

const get = <T = Record<string, unknown>>(runId: string): Promise<T> =>
  client.trigger<T>({ function_id: 'engine::runs::get', payload: { runId } })

async function newest(): Promise<Record<string, unknown> & { id: string }> {
  const { runs } = await client.trigger<{ runs: (Record<string, unknown> & { id: string })[] }>({
    function_id: 'engine::runs::list',
    payload: { limit: 1 },
  })
  return runs[0]!
}

describe('a durable function of ten steps', () => {
  it('survives kill -9 of its process: nothing is done twice, not even the step under way', async () => {
    const worker = startWorker()
    await served('durable::ten')
    const { reached, release } = hold(4)
    const call = client.trigger<{ sum: number }>({ function_id: 'durable::ten', payload: { from: 1 } })
    await reached
    await kill(worker)
    await gone('durable::ten')
    startWorker()
    await served('durable::ten')
    release()
    await expect(call).resolves.toMatchObject({ sum: 55 })
    expect(done).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
    const run = await newest()
    expect(run).toMatchObject({ status: 'done', attempts: 2, steps: 13 })
  })

  it('survives kill -9 of the engine and of the process: only the step under way is done once more', async () => {
    const worker = startWorker()
    await served('durable::ten')
    const { reached, release } = hold(17)
    const options = { idempotencyKey: randomUUID() }
    const request = { function_id: 'durable::ten', payload: { from: 11 }, ...options }
    const lost = client.trigger(request).catch((error: { code: string }) => error.code)
    await reached
    const before = await newest()
    await system.engine.kill()
    await kill(worker)
    release()
    expect(await lost).toBe('engine_lost')
    startWorker()
    await system.engine.start()
    await served('durable::ten')
    const result = await client.trigger<{ sum: number; id: string; startedAt: number }>(request)
    expect(result.sum).toBe(155)
    expect(done).toEqual([11, 12, 13, 14, 15, 16, 17, 17, 18, 19, 20])
    const run = await get<{ id: string; result: unknown; journal: { step: string; result: unknown }[] }>(before.id)
    expect(run).toMatchObject({ status: 'done', attempts: 2, result })
    expect(run.journal[0]).toMatchObject({ step: '1', name: 'now', result: result.startedAt })
    const state = { function_id: 'state::get', payload: { scope: 'durable-test', key: result.id } }
    expect(await client.trigger(state)).toEqual({ sum: 81 })
  })
})

it('branches side by side keep their steps apart over a crash', async () => {
  const worker = startWorker()
  await served('durable::fan')
  const { reached, release } = hold(102)
  const call = client.trigger({ function_id: 'durable::fan', payload: { items: [1, 2, 3] } })
  await reached
  await kill(worker)
  await gone('durable::fan')
  startWorker()
  await served('durable::fan')
  release()
  await expect(call).resolves.toEqual([102, 104, 106])
  expect(done.toSorted((a, b) => a - b)).toEqual([1, 2, 3, 101, 102, 103])
})

describe('a run that waits for a person', () => {
  it('tells its caller, survives a restart of the engine, and goes on when the signal comes over HTTP', async () => {
    startWorker()
    await served('durable::ask')
    const reply = await client.trigger<{ waits: string }>({ function_id: 'durable::ask', payload: {} })
    const { waits: runId } = reply
    await expect.poll(() => get(runId)).toMatchObject({ status: 'waiting', question: { signal: 'answer' } })
    await system.engine.kill()
    await system.engine.start()
    await served('durable::ask')
    const path = `/v1/runs/${runId}`
    const owner = { owner: true }
    const signal = { name: 'answer', value: { yes: true } }
    expect((await system.api('POST', `${path}/signal`, signal)).status).toBe(403)
    const winners = await Promise.all(
      Array.from({ length: 50 }, () => system.api<{ code?: string }>('POST', `${path}/signal`, signal, owner)),
    )
    expect(winners.map(({ status }) => status).sort()).toEqual([200, ...Array.from({ length: 49 }, () => 409)])
    const ended = await system.api('GET', `${path}/result?waitMs=20000`, undefined, owner)
    expect(ended.body).toMatchObject({ status: 'done', result: { answer: { yes: true } } })
    expect(done).toEqual([1, 2])
    const again = await system.api<{ code: string }>('POST', `${path}/cancel`, {}, owner)
    expect(again).toMatchObject({ status: 409, body: { code: 'conflict' } })
  })

  it('gives up when nobody answers in time', async () => {
    startWorker()
    await served('durable::ask')
    const payload = { expiresMs: 300 }
    const { waits: runId } = await client.trigger<{ waits: string }>({ function_id: 'durable::ask', payload })
    const ended = await client.trigger({ function_id: 'engine::runs::result', payload: { runId, waitMs: 20_000 } })
    expect(ended).toMatchObject({ status: 'failed', error: { code: 'approval_expired' } })
  })
})

it('the events of a run are server-sent events that a reader takes up again where it was', async () => {
  startWorker()
  await served('durable::ask')
  const { waits: runId } = await client.trigger<{ waits: string }>({ function_id: 'durable::ask', payload: {} })
  const url = `${system.httpUrl}/v1/runs/${runId}/events`
  const headers = { accept: 'text/event-stream', authorization: `Bearer ${system.ownerToken}` }
  const first = await fetch(url, { headers })
  const seen: { id: number; event: string }[] = []
  for await (const event of eventsOf(first)) {
    seen.push(event)
    if (event.event === 'waiting') break
  }
  expect(seen.map(({ event }) => event)).toEqual(['started', 'attempt', 'intent', 'result', 'waiting'])
  expect(seen.map(({ id }) => id)).toEqual([1, 2, 3, 4, 5])
  const second = await fetch(url, { headers: { ...headers, 'last-event-id': '4' } })
  await client.trigger({ function_id: 'engine::runs::signal', payload: { runId, name: 'answer', value: 1 } })
  const rest: { id: number; event: string }[] = []
  for await (const event of eventsOf(second)) rest.push(event)
  expect(rest.map(({ event }) => event)).toEqual([
    'waiting',
    'signal',
    'result',
    'attempt',
    'intent',
    'result',
    'finished',
    'done',
  ])
  expect(rest.slice(0, -1).map(({ id }) => id)).toEqual([5, 6, 7, 8, 9, 10, 11])
})

/** Events of a stream, as a browser reads them. */
async function* eventsOf(response: Response): AsyncGenerator<{ id: number; event: string }> {
  expect(response.headers.get('content-type')).toContain('text/event-stream')
  let text = ''
  for await (const part of response.body!.pipeThrough(new TextDecoderStream())) {
    text += part
    for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
      const block = text.slice(0, end)
      text = text.slice(end + 2)
      const field = (name: string): string | undefined =>
        block
          .split('\n')
          .find((line) => line.startsWith(`${name}: `))
          ?.slice(name.length + 2)
      const event = field('event')
      if (event !== undefined) yield { id: Number(field('id')), event }
    }
  }
}
