import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import type { Bundle, Realm } from '@agentos/contracts/realm'
import { type System, startSystem } from '@agentos/testing'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'

let system: System
beforeAll(async () => {
  system = await startSystem({
    workers: ['realm', 'security', 'memory', 'agent-core'],
    config: { agentos: { limits: { worker_wait_ms: 1_500 } } },
  })
})
afterAll(() => system.stop())

const owner = () => ({ owner: true })

async function create(body: object): Promise<Realm> {
  const { status, body: realm } = await system.api<Realm>('POST', '/v1/realms', body, owner())
  expect(status).toBe(200)
  return realm
}

/** A call of the owner in a realm. */
async function call(realm: string, functionId: string, payload: object): Promise<unknown> {
  const reply = await system.api('POST', '/v1/functions/call', { functionId, payload }, { owner: true, realm })
  expect(reply.status).toBe(200)
  return reply.body
}

describe('realms over HTTP', () => {
  it('are created by the owner, who sees them all; built in are the own and that of guests', async () => {
    const realm = await create({ name: 'Prod', description: 'live' })
    expect(realm.id).toMatch(/^realm-[0-9a-f-]{36}$/)
    expect(realm).toMatchObject({ name: 'Prod', description: 'live', owner: 'owner', status: 'active', version: 1 })
    expect(realm).not.toHaveProperty('createdBy')
    expect((await system.api<Realm>('GET', `/v1/realms/${realm.id}`, undefined, owner())).body).toEqual(realm)
    const listed = await system.api<Realm[]>('GET', '/v1/realms', undefined, owner())
    expect(listed.body.map(({ id }) => id).slice(0, 2)).toEqual(['realm-default', 'realm-guest'])
    expect(listed.body).toContainEqual(realm)
    expect((await system.api<Realm[]>('GET', '/v1/realms')).body.map(({ id }) => id)).toEqual(['realm-guest'])
    expect(await system.api('POST', '/v1/realms', { name: 'Of a guest' })).toMatchObject({ status: 403 })
  })

  it('get a slug that is unique per owner, also when they are created at once', async () => {
    const [alice, bob] = [randomUUID(), randomUUID()]
    const realms = await Promise.all(Array.from({ length: 5 }, () => create({ name: 'Same Name', owner: alice })))
    expect(realms.map(({ slug }) => slug).toSorted()).toEqual([
      'same-name',
      'same-name-2',
      'same-name-3',
      'same-name-4',
      'same-name-5',
    ])
    expect((await create({ name: 'Same Name', owner: bob })).slug).toBe('same-name')
    // The short name of a built-in realm is nobody else's.
    expect((await create({ name: 'Guest' })).slug).toBe('guest-2')
    const taken = await system.api('POST', '/v1/realms', { name: 'x', owner: bob, slug: 'same-name' }, owner())
    expect(taken).toMatchObject({ status: 409, body: { code: 'conflict' } })
  })

  it('change by compare-and-set, and only their status while they are suspended', async () => {
    const { id } = await create({ name: 'Changing' })
    const patch = (body: object) => system.api<Realm>('PATCH', `/v1/realms/${id}`, body, owner())
    expect((await patch({ maxAgents: 3, expectedVersion: 1 })).body).toMatchObject({ maxAgents: 3, version: 2 })
    expect(await patch({ maxAgents: 4, expectedVersion: 1 })).toMatchObject({
      status: 409,
      body: { code: 'version_conflict' },
    })
    expect((await patch({ name: null })).body).toMatchObject({ name: 'Changing', version: 2 })
    expect((await patch({ status: 'suspended' })).body.status).toBe('suspended')
    expect(await patch({ name: 'New' })).toMatchObject({ status: 403, body: { code: 'realm_suspended' } })
    expect((await patch({ status: 'active', name: 'New' })).body).toMatchObject({ status: 'active', name: 'New' })
    expect(await patch({ status: 'gone' })).toMatchObject({ status: 400, body: { code: 'invalid_input' } })
    expect(await system.api('PATCH', '/v1/realms/realm-none', { name: 'x' }, owner())).toMatchObject({ status: 404 })
  })

  it('are entered on the bus by the owner, for a whole connection or for one call, and by nobody else', async () => {
    const { id } = await create({ name: 'On the bus' })
    const inside = system.client({ owner: true, headers: { 'X-AgentOS-Realm': id } })
    const outside = system.client({ owner: true })
    const place = { scope: 'on-the-bus', key: 'k' }
    await inside.trigger({ function_id: 'state::set', payload: { ...place, value: 1 } })
    expect(await outside.trigger({ function_id: 'state::get', payload: place })).toBeUndefined()
    expect(await outside.trigger({ function_id: 'state::get', payload: place, realm: id })).toBe(1)
    const guest = system.client()
    await expect(guest.trigger({ function_id: 'state::get', payload: place, realm: id })).rejects.toMatchObject({
      code: 'forbidden',
    })
    const intruder = new WebSocket(system.wsUrl, { headers: { 'X-AgentOS-Realm': id } })
    const [first] = await once(intruder, 'message')
    intruder.terminate()
    expect(JSON.parse(String(first))).toMatchObject({ type: 'error', error: { code: 'AUTH_ERROR' } })
  })

  it('answer null for one that is not there', async () => {
    expect(await system.api('GET', '/v1/realms/realm-none')).toMatchObject({ status: 200, body: null })
  })

  it('are deleted in two phases', async () => {
    const { id } = await create({ name: 'Short-lived' })
    expect(await system.api('DELETE', `/v1/realms/${id}`, undefined, owner())).toMatchObject({
      status: 200,
      body: { deleted: true },
    })
    expect((await system.api('GET', `/v1/realms/${id}`, undefined, owner())).body).toBeNull()
    expect(
      (await system.api<Realm[]>('GET', '/v1/realms?deleted=true', undefined, owner())).body.map((realm) => realm.id),
    ).toContain(id)
    expect((await system.api<Realm>('POST', `/v1/realms/${id}/restore`, {}, owner())).body).toMatchObject({
      id,
      status: 'active',
    })
    expect(await system.api('POST', `/v1/realms/${id}/purge`, {}, owner())).toMatchObject({ status: 409 })

    const inside = { ...owner(), realm: id }
    expect((await system.api('POST', '/v1/agents', { id: 'ops', name: 'Ops' }, inside)).status).toBe(201)
    for (const key of ['a', 'b']) await call(id, 'state::set', { scope: 'notes', key, value: 1 })
    await call('realm-default', 'state::set', { scope: 'notes', key: 'a', value: 1 })
    await system.api('DELETE', `/v1/realms/${id}`, undefined, owner())
    expect(await system.api('POST', `/v1/realms/${id}/purge`, {})).toMatchObject({ status: 403 })
    const others = (await system.api<Realm[]>('GET', '/v1/realms', undefined, owner())).body
    const dry = await system.api('POST', `/v1/realms/${id}/purge`, { dryRun: true }, owner())
    expect(dry.body).toMatchObject({ dryRun: true, agents: 1, scopes: 1, entries: 2 })
    expect((await system.api('POST', `/v1/realms/${id}/purge`, {}, owner())).body).toMatchObject({
      agents: 1,
      warnings: [],
    })
    expect(await system.api('POST', `/v1/realms/${id}/restore`, {}, owner())).toMatchObject({ status: 404 })
    expect((await system.api('DELETE', `/v1/realms/${id}`, undefined, owner())).body).toEqual({ deleted: true })
    const gone = { functionId: 'state::list', payload: { scope: 'notes' } }
    expect(await system.api('POST', '/v1/functions/call', gone, inside)).toMatchObject({ status: 404 })
    expect(await call('realm-default', 'state::list', { scope: 'notes' })).toEqual([1])
    expect((await system.api<Realm[]>('GET', '/v1/realms', undefined, owner())).body).toEqual(others)
  })

  it('keep the built-in ones, and keep guests from the realms of others', async () => {
    for (const name of ['realm-default', 'realm-guest', 'guest']) {
      const path = `/v1/realms/${name}`
      expect(await system.api('DELETE', path, undefined, owner())).toMatchObject({ status: 409 })
      expect(await system.api('PATCH', path, { status: 'suspended' }, owner())).toMatchObject({ status: 409 })
    }
    const { id } = await create({ name: 'Of the owner' })
    expect(await system.api('PATCH', `/v1/realms/${id}`, { name: 'x' })).toMatchObject({ status: 403 })
    expect(await system.api('DELETE', `/v1/realms/${id}`)).toMatchObject({ status: 403 })
    expect(await system.api('POST', `/v1/realms/${id}/export`, {})).toMatchObject({ status: 403 })
  })

  it('have records that nobody else touches, over the state functions', async () => {
    const guest = system.client()
    for (const id of ['state::get', 'state::set', 'state::delete']) {
      const payload = { scope: 'realms', key: 'realm-default', value: {} }
      await expect(guest.trigger({ function_id: id, payload })).rejects.toMatchObject({ code: 'forbidden' })
    }
  })
})

describe('a realm on its way', () => {
  it('is exported with its agents and without its secrets, and imported elsewhere', async () => {
    const source = await create({ name: 'Source', metadata: { region: 'eu', token: 'abc' }, maxAgents: 2 })
    const agent = {
      id: 'ops',
      name: 'Ops',
      systemPrompt: `key sk-ant-${'a1'.repeat(20)}`,
      capabilities: { functions: ['memory::*'] },
    }
    expect((await system.api('POST', '/v1/agents', agent, { ...owner(), realm: source.id })).status).toBe(201)

    const exported = await system.api<Bundle>('POST', `/v1/realms/${source.id}/export`, {}, owner())
    expect(exported.status).toBe(200)
    const bundle = exported.body
    expect(bundle).toMatchObject({ version: '1.0', realm: { name: 'Source' }, agents: [{ id: 'ops', name: 'Ops' }] })
    expect(JSON.stringify(bundle)).not.toMatch(/sk-ant|abc/)

    expect(await system.api('POST', '/v1/realms/import', { data: bundle })).toMatchObject({ status: 403 })
    const changed = { ...bundle, agents: [] }
    expect(await system.api('POST', '/v1/realms/import', { data: changed }, owner())).toMatchObject({ status: 400 })
    const imported = await system.api<{ realmId: string }>(
      'POST',
      '/v1/realms/import',
      { data: bundle, newOwner: 'eve' },
      owner(),
    )
    expect(imported.body).toMatchObject({ imported: true, counts: { agents: 1 }, warnings: [] })
    const { realmId } = imported.body
    expect(realmId).not.toBe(source.id)
    expect((await system.api<Realm>('GET', `/v1/realms/${realmId}`)).body, 'a guest sees no realm of others').toBeNull()
    expect((await system.api<Realm>('GET', `/v1/realms/${realmId}`, undefined, owner())).body).toMatchObject({
      name: 'Source',
      owner: 'eve',
      maxAgents: 2,
    })
    const agents = await system.api('GET', '/v1/agents', undefined, { ...owner(), realm: realmId })
    expect(agents.body).toMatchObject([{ id: 'ops', capabilities: { functions: ['memory::*'] } }])
  })

  it('leaves nothing behind where a part of the bundle is bad', async () => {
    const count = async () => (await system.api<Realm[]>('GET', '/v1/realms', undefined, owner())).body.length
    const before = await count()
    const data = { realm: { name: 'Bad' }, agents: [{ name: 'Fine' }, { id: 'no name' }] }
    expect(await system.api('POST', '/v1/realms/import', { data }, owner())).toMatchObject({ status: 400 })
    const twice = { realm: { name: 'Bad' }, agents: [{ name: 'Fine' }, 'text'] }
    expect(await system.api('POST', '/v1/realms/import', { data: twice }, owner())).toMatchObject({ status: 400 })
    expect(await count()).toBe(before)
  })

  it('is exported without agents, and says so, where the worker that keeps them is down', async () => {
    await system.workers['agent-core']!.kill()
    const { status, body } = await system.api<Bundle>('POST', '/v1/realms/realm-default/export', {}, owner())
    expect(status).toBe(200)
    expect(body).toMatchObject({ agents: [], warnings: [expect.stringContaining('agents are left out')] })
    const { id } = await create({ name: 'Half' })
    await system.api('DELETE', `/v1/realms/${id}`, undefined, owner())
    expect((await system.api('POST', `/v1/realms/${id}/purge`, {}, owner())).status).toBe(503)
    await system.workers['agent-core']!.start()
    expect((await system.api('POST', `/v1/realms/${id}/purge`, {}, owner())).status).toBe(200)
  })
})
