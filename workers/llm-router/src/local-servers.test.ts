import { expect, it } from 'vitest'
import { LocalServers } from './local-servers.ts'

const provider = { name: 'box' } as ConstructorParameters<typeof LocalServers>[0][number]

/** Servers that are asked one after the other, each answer as given. */
function asked(answers: (() => Promise<string[]>)[]) {
  const time = { now: 0 }
  let count = 0
  const list = () => answers[Math.min(count++, answers.length - 1)]!()
  const servers = new LocalServers([provider], { list, now: () => time.now, timeoutMs: 1 })
  return { time, servers, count: () => count }
}

it('believes an answer, or a refused connection, for ten seconds', async () => {
  const { time, servers, count } = asked([() => Promise.reject(new Error('ECONNREFUSED')), async () => ['tiny']])
  expect(await servers.running()).toEqual([])
  time.now = 9_999
  expect(await servers.running()).toEqual([])
  expect(count()).toBe(1)
  time.now = 10_001
  expect(await servers.running()).toEqual([{ provider: 'box', models: ['tiny'] }])
})

it('asks a host again soon that was too busy to answer in time', async () => {
  const late = () => new Promise<string[]>((_, reject) => setTimeout(() => reject(new Error('too late')), 20))
  const { time, servers } = asked([late, async () => ['tiny']])
  expect(await servers.running()).toEqual([])
  time.now = 2_001
  expect(await servers.running()).toEqual([{ provider: 'box', models: ['tiny'] }])
})
