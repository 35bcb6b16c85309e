import { update } from '@agentos/contracts/agent-core'
import type { FunctionContract, HandlerContext } from '@agentos/sdk'
import { InvocationError, openLog } from '@agentos/sdk'
import { StateDouble } from '@agentos/testing'
import { describe, expect, it } from 'vitest'
import { newAgent } from './agent-record.ts'
import { createAgent, createDefaultIfMissing, deleteAgent, listAgents, makeDrafted, updateAgent } from './agents.ts'

const log = await openLog('test', 'silent')

/** A realm whose agents are kept by one or more processes, and the grants that its security worker holds. */
function world({ maxAgents = null as number | null } = {}) {
  const state = new StateDouble({ scopes: ['agents'] })
  const inForce = new Map<string, unknown>()
  const faults: (() => Promise<void> | void)[] = []
  const call = async ({ id }: FunctionContract, input: { agentId: string; capabilities?: unknown }) => {
    if (id === 'realm::get') return { maxAgents, defaultModel: null }
    if (id === 'security::get_capabilities') return inForce.get(input.agentId) ?? null
    if (id === 'security::set_capabilities') {
      await faults.shift()?.()
      inForce.set(input.agentId, input.capabilities)
    }
    return {}
  }
  const caller = { state: state.client, call, trigger: async () => ({}), log }
  const ctx = { ...caller, realm: 'realm-default', principal: { kind: 'owner', id: 'owner' } }
  return { state, inForce, faults, ctx: ctx as unknown as HandlerContext }
}

const down = () => {
  throw new InvocationError({ code: 'worker_unavailable', message: 'security is away' })
}
const agent = (id: string, functions: string[]) => ({ id, name: id, capabilities: { functions } })
const change = (deny: string[], more: object = {}) => ({
  agentId: 'clerk',
  capabilities: { functions: ['memory::*'], deny },
  ...more,
})
/** What a first chat does: true where it made the agent. */
const firstChat = async (ctx: HandlerContext, agentId: string): Promise<boolean> => {
  const { agent: drafted, missing } = await createDefaultIfMissing(ctx, agentId)
  return missing === true && (await makeDrafted(ctx, drafted))
}
const tools = (...names: string[]) => expect.objectContaining({ tools: names })

describe('a change of an agent', () => {
  it('that is refused leaves its grants as they are', async () => {
    const { ctx, inForce } = world()
    await createAgent(agent('clerk', ['memory::*']), ctx)
    const updates = ['a::*', 'b::*', 'c::*'].map((deny) => updateAgent(change([deny], { expectedVersion: 1 }), ctx))
    const outcomes = await Promise.allSettled(updates)
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'rejected'])
    expect(inForce.get('clerk')).toMatchObject({ deny: ['a::*'] })
  })

  it('that another process was faster than leaves its grants as they are', async () => {
    const { ctx, inForce, state } = world()
    await createAgent(agent('clerk', ['memory::*']), ctx)
    state.intercept((id) => {
      if (id !== 'state::set') return
      state.intercept(undefined)
      const record = state.records.get('agents\nclerk')!
      record.version += 1
    })
    await expect(updateAgent(change(['memory::*']), ctx)).rejects.toMatchObject({ code: 'version_conflict' })
    expect(inForce.get('clerk')).toEqual({ tools: ['memory::*'] })
  })

  it('is refused as a whole where a grant is none', () => {
    const refused = (capabilities: object) => !update.input().safeParse({ agentId: 'clerk', capabilities }).success
    expect(refused({ functions: ['not a grant'] })).toBe(true)
    expect(refused({ functions: [], deny: ['::'] })).toBe(true)
    expect(refused({ functions: ['*', 'mem', 'mem::', 'a::*', 'a::b::c'], deny: ['x.y-z::f'] })).toBe(false)
  })

  it('is refused as a whole where grants cannot be changed now', async () => {
    const { ctx, state } = world()
    await createAgent(agent('clerk', ['memory::*']), ctx)
    const call = ctx.call.bind(ctx)
    const away = {
      ...ctx,
      call: async (contract: FunctionContract, input: never) => {
        if (contract.id.startsWith('security::')) down()
        return call(contract, input)
      },
    }
    const before = structuredClone(state.records.get('agents\nclerk'))
    await expect(updateAgent(change(['a::*']), away as HandlerContext)).rejects.toMatchObject({
      code: 'worker_unavailable',
    })
    expect(state.records.get('agents\nclerk')).toEqual(before)
  })

  it('whose grants did not come into force any more has them before the agent is used next', async () => {
    const { ctx, inForce, faults } = world()
    await createAgent(agent('clerk', ['memory::*']), ctx)
    faults.push(down)
    await expect(updateAgent(change(['a::*']), ctx)).rejects.toMatchObject({ code: 'worker_unavailable' })
    expect(inForce.get('clerk')).toEqual({ tools: ['memory::*'] })
    const { agent: used } = await createDefaultIfMissing(ctx, 'clerk')
    expect(used.capabilities.deny).toEqual(['a::*'])
    expect(used).not.toHaveProperty('pendingGrants')
    expect(inForce.get('clerk')).toEqual({ tools: ['memory::*'], deny: ['a::*'] })
  })

  it('has the grants of the last one in force, in whatever order they come through', async () => {
    const { ctx, inForce, faults } = world()
    await createAgent(agent('clerk', ['memory::*']), ctx)
    const { promise: held, resolve: free } = Promise.withResolvers<void>()
    faults.push(() => held)
    const first = updateAgent(change(['first::*']), ctx)
    const second = updateAgent(change(['second::*']), ctx)
    free()
    await Promise.all([first, second])
    expect(inForce.get('clerk')).toMatchObject({ deny: ['second::*'] })
    const removed = deleteAgent('clerk', ctx)
    await expect(updateAgent(change(['late::*']), ctx)).rejects.toMatchObject({ code: 'not_found' })
    await removed
    expect(inForce.get('clerk')).toEqual({ tools: [] })
  })
})

describe('a new agent', () => {
  it('that is there already has the grants of the first', async () => {
    const { ctx, inForce } = world()
    const twice = [createAgent(agent('clerk', ['a::*']), ctx), createAgent(agent('clerk', ['b::*']), ctx)]
    const outcomes = await Promise.allSettled(twice)
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected'])
    expect(inForce.get('clerk')).toEqual(tools('a::*'))
  })

  it('does not pass the limit of its realm, made by hand or by its first chat, at once or one by one', async () => {
    const { ctx, state } = world({ maxAgents: 2 })
    const made = await Promise.allSettled(
      ['a', 'b', 'c', 'd'].map((id, n) => (n % 2 ? createAgent(agent(id, []), ctx) : firstChat(ctx, id))),
    )
    expect(made.filter(({ status }) => status === 'fulfilled')).toHaveLength(2)
    expect(state.keys('agents')).toHaveLength(2)
    await expect(firstChat(ctx, 'e')).rejects.toMatchObject({ code: 'quota_exceeded' })
    await expect(createDefaultIfMissing(ctx, 'default')).rejects.toMatchObject({ code: 'quota_exceeded' })
    expect(await firstChat(ctx, state.keys('agents')[0]!)).toBe(false)
  })

  it('counts and is listed where the realm has very many, more than one list of the state may hold', async () => {
    const { ctx, state } = world({ maxAgents: 10_100 })
    const made = newAgent('agent-0', { name: 'Agent' }, 0)
    for (let n = 0; n < 10_099; n++) {
      state.answer('state::set', { scope: 'agents', key: `agent-${n}`, value: { ...made, id: `agent-${n}` } })
    }
    await createAgent(agent('last', []), ctx)
    await expect(createAgent(agent('one too many', []), ctx)).rejects.toMatchObject({ code: 'quota_exceeded' })
    expect(await listAgents(ctx)).toHaveLength(10_100)
  })
})
