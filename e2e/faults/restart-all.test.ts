import { readdirSync, readFileSync } from 'node:fs'
import { Supervised } from '@agentos/testing'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { ALL_WORKERS } from '../support/all-workers.ts'

/** Quality asks for 20; a check has time for fewer. */
const ROUNDS = Number(process.env.RESTART_ROUNDS ?? 3)
const WAIT = { timeout: 30_000, interval: 50 }

let system: Supervised

beforeAll(async () => {
  // All of them, whatever their manifests say: what sleeps is not restarted.
  const manifests = { toolbox: { start: 'always' } } as const
  system = await Supervised.start({ workers: ALL_WORKERS, manifests })
})
afterAll(() => system?.stop())

const workers = async () => (await system.processes()).filter(({ name }) => name !== 'engine')

/** Functions that somebody serves. */
async function served(): Promise<string[]> {
  const { body } = await system.api<{ functions: { id: string; up: boolean }[] }>('GET', '/v1/engine/functions')
  return body.functions.filter(({ up }) => up).map(({ id }) => id)
}

const openFiles = (pid: number): number => readdirSync(`/proc/${pid}/fd`).length

/** Processes of this installation, by their command line, beside the supervisor. */
function running(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => commandLine(pid).some((word) => word.startsWith(`${system.root}/dist/`)))
    .map(Number)
    .filter((pid) => pid !== system.pid)
}

function commandLine(pid: string): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
  } catch {
    return []
  }
}

it.skipIf(process.platform !== 'linux')(
  'all workers at once, again and again: all functions are back, no process is left, no descriptor leaks',
  async () => {
    // A start is over before the last function is registered.
    const missing = async () => {
      const { body } = await system.api<{ functions: { id: string; up: boolean }[] }>('GET', '/v1/engine/functions')
      return body.functions.filter(({ up }) => !up).map(({ id }) => id)
    }
    await expect.poll(missing, WAIT).toEqual([])
    const everything = await served()
    const engine = (await system.process('engine'))!.pid!
    // One connection for all of it: those that `fetch` opens beside each other are closed when it likes.
    const owner = system.client({ owner: true })
    let settled: number | undefined
    for (let round = 0; round < ROUNDS; round += 1) {
      const before = new Set((await workers()).map(({ pid }) => pid))
      // By turns: an orderly restart also clears the count of crashes, after five of which a worker is held.
      if (round % 2 === 0) for (const pid of before) process.kill(pid!, 'SIGKILL')
      else {
        const restart = (name: string) => owner.trigger({ function_id: 'engine::workers::restart', payload: { name } })
        await Promise.all(ALL_WORKERS.map(restart))
      }
      await expect.poll(async () => (await workers()).filter(({ pid }) => before.has(pid)).length, WAIT).toBe(0)
      await expect.poll(async () => (await workers()).every(({ state }) => state === 'up'), WAIT).toBe(true)
      await expect.poll(served, WAIT).toEqual(everything)
      const expected = [engine, ...(await workers()).map(({ pid }) => pid!)].sort((a, b) => a - b)
      await expect.poll(() => running().sort((a, b) => a - b), WAIT).toEqual(expected)
      // After the first round every module has opened what it ever opens.
      if (round === 0) settled = openFiles(engine)
      else await expect.poll(() => openFiles(engine), WAIT).toBeLessThanOrEqual(settled!)
    }
  },
  60_000 + ROUNDS * 20_000,
)

it('an orderly restart loses no call', async () => {
  const caller = system.client()
  const failures: unknown[] = []
  let served = 0
  let done = false
  const calling = Array.from({ length: 8 }, async () => {
    while (!done) {
      await caller
        .trigger({ function_id: 'fn::calculate', payload: { expression: '2+2' } })
        .then(() => (served += 1))
        .catch((error) => failures.push(error))
    }
  })
  await expect.poll(() => served, WAIT).toBeGreaterThan(50)
  for (let round = 0; round < 3; round += 1) {
    const before = (await system.process('toolbox'))!.pid
    await system.agentos('restart', 'toolbox')
    await expect.poll(async () => (await system.process('toolbox'))?.pid, WAIT).not.toBe(before)
    const seen = served
    await expect.poll(() => served, WAIT).toBeGreaterThan(seen + 50)
  }
  done = true
  await Promise.all(calling)
  expect(failures).toEqual([])
})
