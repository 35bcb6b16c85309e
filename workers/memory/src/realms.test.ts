import { store } from '@agentos/contracts/memory'
import { list, type Realm } from '@agentos/contracts/realm'
import { type HandlerContext, InvocationError, type Principal } from '@agentos/sdk'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { FakeEngine } from './fake-engine.ts'
import { forEachAgent } from './realms.ts'
import { storeMemory } from './store.ts'

let engine: FakeEngine
beforeEach(async () => {
  engine = new FakeEngine()
  for (const [realm, agentId] of [
    ['realm-default', 'a'],
    ['realm-default', 'b'],
    ['realm-2', 'c'],
  ] as const) {
    const input = store.input().parse({ agentId, content: `a note of ${agentId}` })
    await engine.use(agentId, (space) => storeMemory(input, space, { run: undefined, session: undefined }), realm)
  }
})
afterEach(() => engine.stop())

function context(principal: Principal, realm: string): HandlerContext {
  return { ...engine.caller(realm), realm, principal, inRealm: (id: string) => engine.caller(id) } as HandlerContext
}
const visited = async (principal: Principal, realm: string, agentId?: string) =>
  forEachAgent(engine.spaces, context(principal, realm), agentId, async (space) => `${space.realm}/${space.agentId}`)
const schedule = { kind: 'system', id: 'memory' } as const

test('a caller reaches the agents of its own realm', async () => {
  const guest = { kind: 'guest', id: 'guest' } as const
  expect(await visited(guest, 'realm-default')).toEqual(['realm-default/a', 'realm-default/b'])
  expect(await visited(guest, 'realm-2')).toEqual(['realm-2/c'])
  expect(await visited(guest, 'realm-default', 'b')).toEqual(['realm-default/b'])
})

test('an agent reaches itself alone', async () => {
  const agent = { kind: 'agent', id: 'a' } as const
  expect(await visited(agent, 'realm-default')).toEqual(['realm-default/a'])
  await expect(visited(agent, 'realm-default', 'b')).rejects.toMatchObject({ code: 'forbidden' })
})

test('the schedule goes through all realms, and through the default realm where they cannot be listed', async () => {
  engine.answer(list, () => [{ id: 'realm-default' }, { id: 'realm-2' }] as Realm[])
  expect(await visited(schedule, 'system')).toEqual(['realm-default/a', 'realm-default/b', 'realm-2/c'])
  engine.answer(list, () => new InvocationError({ code: 'worker_unavailable', message: 'realm is away' }))
  expect(await visited(schedule, 'system')).toEqual(['realm-default/a', 'realm-default/b'])
})
