import { randomUUID } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import {
  evict,
  kgAdd,
  kgQuery,
  type Memory,
  type MemoryHit,
  recall,
  type SessionInfo,
  sessionAppend,
  sessionGet,
  store,
} from '@agentos/contracts/memory'
import type { IIIClient } from '@agentos/sdk'
import { type System, startSystem } from '@agentos/testing'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

let system: System
let guest: IIIClient
beforeAll(async () => {
  system = await startSystem({ workers: ['realm', 'memory'] })
  guest = system.client()
})
afterAll(() => system.stop())

interface Problem {
  code: string
}

describe('memory over the bus', () => {
  it('stores, recalls, counts the use, and evicts', async () => {
    const agentId = randomUUID()
    const stored = await guest.call(store, { agentId, content: 'remember that my dog is called Rex' })
    expect(stored).toMatchObject({ stored: true, id: expect.stringMatching(/^mem-/) })
    expect(await guest.call(store, { agentId, content: 'Remember that  my dog is called Rex' })).toEqual({
      deduplicated: true,
      id: stored.id,
    })
    const hits = await guest.call(recall, { agentId, query: 'what do you know about my dog?' })
    expect(hits).toMatchObject([{ id: stored.id, role: 'user', content: 'remember that my dog is called Rex' }])
    await expect
      .poll(
        async () => (await system.api<Memory>('GET', `/v1/memory/${stored.id}?agentId=${agentId}`)).body.accessCount,
      )
      .toBe(2)
    const plan = await guest.call(evict, { agentId, cap: 0, dryRun: true })
    expect(plan).toMatchObject({ evicted: 0, plan: [{ agentId, id: stored.id, reason: 'over_cap' }] })
    expect(await guest.call(evict, { agentId, cap: 0 })).toMatchObject({ evicted: 1 })
    expect(await guest.call(recall, { agentId, query: 'dog' })).toEqual([])
  })

  it('keeps its state to itself', async () => {
    for (const scope of ['memory:default', 'sessions:default', 'transcript:default:x', 'kg:default']) {
      await expect(guest.trigger({ function_id: 'state::list', payload: { scope } })).rejects.toMatchObject({
        code: 'forbidden',
      })
    }
  })

  it('walks the knowledge graph', async () => {
    await guest.call(kgAdd, { entity: { id: 'alice', relations: [{ target: 'acme', type: 'works_at' }] } })
    await guest.call(kgAdd, { entity: { id: 'acme', city: 'Berlin' } })
    expect(await guest.call(kgQuery, { entityId: 'acme' })).toEqual([
      { id: 'acme', city: 'Berlin', relations: [{ target: 'alice', type: 'inverse:works_at' }] },
      { id: 'alice', relations: [{ target: 'acme', type: 'works_at' }] },
    ])
  })

  it('purges an agent for the owner only', async () => {
    const purge = (client: IIIClient) =>
      client.trigger({ function_id: 'memory::purge_agent', payload: { agentId: 'p' } })
    await guest.call(store, { agentId: 'p', content: 'something of p' })
    await expect(purge(guest)).rejects.toMatchObject({ code: 'forbidden' })
    expect(await purge(system.client({ owner: true, headers: { 'X-AgentOS-Realm': 'guest' } }))).toMatchObject({
      memories: 1,
    })
  })
})

// What one try stores, the next would list.
describe('memory over HTTP', { retry: 0 }, () => {
  it('has routes to store, search, list, change and forget', async () => {
    const { body: stored } = await system.api<{ id: string }>('POST', '/v1/memory', {
      agentId: 'web',
      content: 'The office is in Berlin',
      tags: ['work'],
    })
    const found = await system.api<MemoryHit[]>('GET', '/v1/memory/search?agentId=web&query=office&limit=5&tags=work')
    expect(found.body).toMatchObject([{ id: stored.id, tags: ['work'] }])
    const changed = await system.api<{ id: string }>('PATCH', `/v1/memory/${stored.id}`, {
      agentId: 'web',
      content: 'The office is in Hamburg',
    })
    const listed = await system.api<{ total: number; memories: Memory[] }>('GET', '/v1/memory?agentId=web')
    expect(listed.body).toMatchObject({ total: 1, memories: [{ id: changed.body.id, supersedes: stored.id }] })
    expect((await system.api('DELETE', `/v1/memory/${changed.body.id}?agentId=web`)).body).toMatchObject({
      forgotten: 2,
    })
    expect(await system.api<Problem>('GET', `/v1/memory/${stored.id}?agentId=web`)).toMatchObject({
      status: 404,
      body: { code: 'not_found' },
    })
  })

  it('lists, reads and deletes sessions', async () => {
    const messages = [{ role: 'user' as const, content: 'Hello there' }]
    await guest.call(sessionAppend, { agentId: 'web', sessionId: 'default:web', messages })
    const list = await system.api<SessionInfo[]>('GET', '/v1/sessions?agentId=web')
    expect(list.body).toMatchObject([{ sessionId: 'default:web', title: 'Hello there', messageCount: 1 }])
    const path = `/v1/sessions/${encodeURIComponent('default:web')}`
    expect((await system.api(`GET`, `${path}?agentId=web`)).body).toMatchObject({
      messages: [{ content: 'Hello there' }],
    })
    expect((await system.api('POST', `${path}/compact`, { agentId: 'web' })).body).toEqual({
      compacted: false,
      reason: 'below_threshold',
    })
    expect((await system.api('POST', `${path}/repair`, { agentId: 'web' })).body).toMatchObject({ totalFixes: 0 })
    expect((await system.api('DELETE', `${path}?agentId=web`)).body).toEqual({ deleted: true, messages: 1 })
  })

  it('keeps realms apart', async () => {
    const { body: realm } = await system.api<{ id: string }>(
      'POST',
      '/v1/realms',
      { name: 'Elsewhere' },
      { owner: true },
    )
    const there = { realm: realm.id, owner: true }
    await system.api('POST', '/v1/memory', { content: 'a secret plan for the lighthouse' }, there)
    const search = '/v1/memory/search?query=lighthouse'
    expect((await system.api<MemoryHit[]>('GET', search, undefined, there)).body).toHaveLength(1)
    expect((await system.api<MemoryHit[]>('GET', search)).body).toEqual([])
  })
})

describe('what was answered survives', () => {
  const agentId = 'survivor'
  const dog = () => guest.call(recall, { agentId, query: 'dog' })
  const kill = async (name: 'memory' | 'engine') => {
    const child = name === 'engine' ? system.engine : system.workers.memory!
    await child.kill()
    await child.start()
    await system.ready()
  }

  it('a kill of the worker, of the engine, and the loss of the index', async () => {
    await guest.call(store, { agentId, content: 'my dog is called Rex' })
    await guest.call(sessionAppend, { agentId, sessionId: 's', messages: [{ role: 'user', content: 'hello' }] })

    await kill('memory')
    expect(await dog()).toHaveLength(1)
    await kill('engine')
    await expect.poll(dog, { timeout: 20_000 }).toHaveLength(1)
    await system.workers.memory!.kill()
    await rm(join(system.dataDir, 'index', 'memory'), { recursive: true })
    await system.workers.memory!.start()
    expect(await dog()).toHaveLength(1)
    expect((await guest.call(sessionGet, { agentId, sessionId: 's' })).messages).toMatchObject([{ content: 'hello' }])
  })

  it('a kill in the middle of appends leaves whole appends in order', async () => {
    const sessionId = 'torn'
    const answered: number[] = []
    let begun = 0
    let over = false
    // Each always has an append under way, so that the kill falls into some of them, however late it is.
    const writers = Array.from({ length: 12 }, async () => {
      while (!over) {
        const i = begun
        begun += 1
        const messages = [`a${i}`, `b${i}`].map((content) => ({ role: 'user' as const, content }))
        const call = guest.call(sessionAppend, { agentId, sessionId, messages })
        if (await call.then(Boolean, () => false)) answered.push(i)
      }
    })
    await expect.poll(() => answered.length).toBeGreaterThan(10)
    await system.workers.memory!.restart()
    over = true
    await Promise.all(writers)
    const { messages } = await guest.call(sessionGet, { agentId, sessionId })
    const contents = messages.map(({ content }) => content as string)
    for (let i = 0; i < contents.length; i += 2) expect(contents[i + 1]).toBe(contents[i]!.replace('a', 'b'))
    for (const i of answered) expect(contents).toContain(`a${i}`)
    expect(answered.length).toBeLessThan(begun)
  })
})
