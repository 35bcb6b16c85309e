import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { kill } from 'node:process'
import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import { Checkout } from './support/checkout.ts'

const WAIT = { timeout: 40_000, interval: 50 }
let checkout: Checkout

beforeAll(async () => {
  checkout = await Checkout.create()
  await checkout.agentosFromSource('new', 'worker', 'weather')
  const worker = join(checkout.root, 'workers/weather/src/worker.ts')
  const loops = `serve(greet, ({ who }) => {
    while (who === 'loop') who.at(0)
    return { text: greetingFor(who) }
  })`
  const hangs = "import { existsSync } from 'node:fs'\nwhile (existsSync('hang')) continue\n"
  writeFileSync(worker, hangs + readFileSync(worker, 'utf8').replace(/serve\(greet.*\)\)/, loops))
  const config = join(checkout.root, 'config.yaml')
  const settings = readFileSync(config, 'utf8')
    .replace('heartbeat_ms: 5000', 'heartbeat_ms: 1000')
    .replace('silent_ms: 30000', 'silent_ms: 6000')
  writeFileSync(config, settings)
  expect((await checkout.node('scripts/build.ts')).err).toBe('')
})
afterAll(() => checkout.destroy())

const greet = async (who: string) => {
  const response = await fetch(`${checkout.httpUrl}/v1/weather/greet?who=${who}`)
  return (await response.json()) as { text?: string; code?: string }
}
interface Process {
  name: string
  state: string
  pid?: number
  reason?: string
}
const process = async () => {
  const { workers } = JSON.parse((await checkout.agentos('status', '--json')).out) as { workers: Process[] }
  return workers.find(({ name }) => name === 'weather')
}
/** As the supervisor tells it: an engine that stands still cannot be asked. */
const engine = () => {
  const text = readFileSync(join(checkout.root, 'data/supervisor.json'), 'utf8')
  return (JSON.parse(text) as { processes: Process[] }).processes.find(({ name }) => name === 'engine')
}

it('a process in an endless loop is shown as silent, ended with that reason, and served by the next one', async () => {
  const running = await checkout.up()
  const before = await process()
  expect(before).toMatchObject({ state: 'up' })
  const lost = greet('loop')
  await vi.waitFor(async () => {
    expect(await process()).toMatchObject({
      state: 'silent',
      pid: before!.pid,
      reason: 'answers no heartbeat; ended after 6 s of it',
    })
  }, WAIT)
  expect(running.output()).toContain('weather answers no heartbeat and gets no calls')
  await vi.waitFor(async () => expect(await greet('Ada')).toEqual({ text: 'Hello Ada, this is weather.' }), WAIT)
  expect(running.output()).toContain(
    'weather ended (answered no heartbeat for 6 s: a handler blocks its event loop, an endless loop for example)',
  )
  const after = await process()
  expect(after).toMatchObject({ state: 'up', reason: expect.stringMatching(/^answered no heartbeat/) })
  expect(after!.pid).not.toBe(before!.pid)
  expect((await lost).code).toBeDefined()
  expect(await running.stop()).toBe(0)
})

it('an engine that answers no heartbeat is shown as silent, ended with that reason, and back', async () => {
  const running = await checkout.up()
  const before = engine()
  kill(before!.pid!, 'SIGSTOP')
  await vi.waitFor(() => expect(engine()).toMatchObject({ state: 'silent', pid: before!.pid }), WAIT)
  await vi.waitFor(async () => expect(await greet('Ada')).toEqual({ text: 'Hello Ada, this is weather.' }), WAIT)
  const after = engine()
  expect(after).toMatchObject({ state: 'up', reason: expect.stringMatching(/^answered no heartbeat for 6 s/) })
  expect(after!.pid).not.toBe(before!.pid)
  expect(running.output()).toContain('engine answers no heartbeat')
  expect(running.output()).toContain('engine ended (answered no heartbeat for 6 s')
  expect(await running.stop()).toBe(0)
})

it('a process that hangs before it connects is ended with that reason, and served by the next one', async () => {
  const running = await checkout.up()
  const flag = join(checkout.root, 'hang')
  writeFileSync(flag, '')
  await checkout.agentos('restart', 'weather')
  await vi.waitFor(() => {
    expect(running.output()).toContain('weather ended (did not connect to the engine for 6 s')
  }, WAIT)
  rmSync(flag)
  await vi.waitFor(async () => expect(await greet('Ada')).toEqual({ text: 'Hello Ada, this is weather.' }), WAIT)
  expect(await process()).toMatchObject({
    state: 'up',
    reason: expect.stringMatching(/^did not connect to the engine/),
  })
  expect(await running.stop()).toBe(0)
})
