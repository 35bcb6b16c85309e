import { readdir } from 'node:fs/promises'
import { type System, startSystem } from '@agentos/testing'
import { afterAll, beforeAll, expect, it } from 'vitest'

let system: System

beforeAll(async () => {
  // An empty variable counts as none: the worker then reads its credential from its file, as when started by hand.
  system = await startSystem({ workers: ['realm'], workerEnv: { realm: { AGENTOS_CREDENTIAL: '' } } })
})

afterAll(() => system?.stop())

const list = () => system.client().trigger({ function_id: 'realm::list', payload: {} })

it('a worker that was started by hand serves with the credential of its file', async () => {
  expect(await list()).toEqual(expect.any(Array))
})

it('a worker ends by itself on SIGTERM, with code 0, and is itself again when started anew', async () => {
  const { realm } = system.workers
  await realm!.kill('SIGTERM')
  expect(realm!.exit).toEqual({ code: 0, signal: null })
  await realm!.start()
  expect(await list()).toEqual(expect.any(Array))
})

it('a call to a worker that was killed waits for its restart', async () => {
  const { realm } = system.workers
  await realm!.kill('SIGKILL')
  const waiting = list()
  await realm!.start()
  expect(await waiting).toEqual(expect.any(Array))
})

it('a worker outlives the engine and serves the next one', async () => {
  const { pid } = system.workers.realm!
  await system.engine.restart()
  await system.ready()
  expect(await list()).toEqual(expect.any(Array))
  expect(system.workers.realm!.pid).toBe(pid)
})

it('a worker that no engine answers stops at once when it is told to', async () => {
  await system.engine.kill()
  await system.workers.realm!.kill('SIGTERM')
  expect(system.workers.realm!.exit).toEqual({ code: 0, signal: null })
})

it('engine and worker find a data folder that is named as one of the home folder', async () => {
  const home = await startSystem({
    workers: ['realm'],
    env: { AGENTOS_DATA: '~/data' },
    workerEnv: { realm: { AGENTOS_CREDENTIAL: '' } },
  })
  try {
    expect(home.dataDir).toMatch(/\/data$/)
    expect(await readdir(home.dataDir)).toContain('store.sqlite')
    expect(await home.client().trigger({ function_id: 'realm::list', payload: {} })).toEqual(expect.any(Array))
  } finally {
    await home.stop()
  }
})
