import type { FunctionContract, HandlerContext } from '@agentos/sdk'
import { InvocationError, openLog } from '@agentos/sdk'
import { StateDouble } from '@agentos/testing'
import { beforeEach, describe, expect, it } from 'vitest'
import { tellAllNews } from './lifecycle.ts'
import { purgeRealm } from './purge.ts'
import { createRealm, deleteRealm, restoreRealm, updateRealm } from './realms.ts'

const log = await openLog('test', 'silent')

let state: StateDouble
let audited: string[]
let announced: string[]
/** What the audit chain answers. */
let chain: () => void
let ctx: HandlerContext

beforeEach(() => {
  state = new StateDouble({ scopes: ['realms', 'realm-keys'] })
  audited = []
  announced = []
  chain = () => {}
  const call = async ({ id }: FunctionContract, input: { type: string }) => {
    if (id !== 'security::audit') return []
    chain()
    audited.push(input.type)
    return {}
  }
  const trigger = async ({ payload }: { payload: { data: { type: string } } }) => void announced.push(payload.data.type)
  const principal = { kind: 'owner', id: 'owner' }
  const caller = {
    state: state.client,
    call,
    trigger,
    log,
    realm: 'realm-default',
    principal,
    functionId: 'test::call',
  }
  ctx = { ...caller, inRealm: () => ({ ...caller, state: { groups: async () => [] } }) } as unknown as HandlerContext
})

const away = () => {
  throw new InvocationError({ code: 'engine_lost', message: 'The engine restarts' })
}
const untold = () => [...state.records.values()].filter(({ value }) => 'untold' in (value as object))

describe('what happened to a realm', () => {
  it('is told once, and the realm shows nothing of it', async () => {
    const realm = await createRealm({ name: 'Shop', metadata: null }, ctx)
    expect(realm).not.toHaveProperty('untold')
    expect(await updateRealm({ id: realm.id, status: 'suspended' }, ctx)).toMatchObject({ version: 2 })
    await updateRealm({ id: realm.id, status: 'suspended' }, ctx)
    await deleteRealm({ id: realm.id }, ctx)
    expect(await restoreRealm(realm.id, ctx)).toMatchObject({ status: 'active', version: 4 })
    await tellAllNews(ctx)
    expect(announced).toEqual(['created', 'updated', 'deleted', 'restored'])
    expect(audited).toEqual(['realm_status', 'realm_deleted', 'realm_restored'])
    expect(untold()).toEqual([])
  })

  it('is told after the next start where its process did not come to it', async () => {
    const { id } = await createRealm({ name: 'Shop', metadata: null }, ctx)
    chain = away
    await updateRealm({ id, status: 'suspended' }, ctx)
    await deleteRealm({ id }, ctx)
    expect([announced, audited]).toEqual([['created'], []])
    expect(untold()).toHaveLength(1)
    chain = () => {}
    await tellAllNews(ctx)
    await tellAllNews(ctx)
    expect(announced).toEqual(['created', 'updated', 'deleted'])
    expect(audited).toEqual(['realm_status', 'realm_deleted'])
    expect(untold()).toEqual([])
  })

  it('at its end is told before its record is gone, or it is begun again', async () => {
    const { id } = await createRealm({ name: 'Shop', metadata: null }, ctx)
    await deleteRealm({ id }, ctx)
    chain = away
    await expect(purgeRealm({ id, dryRun: false }, ctx)).rejects.toMatchObject({ code: 'engine_lost' })
    expect(state.keys('realms')).toEqual([id])
    chain = () => {}
    await purgeRealm({ id, dryRun: false }, ctx)
    expect([announced.at(-1), audited.at(-1)]).toEqual(['purged', 'realm_purged'])
    expect(state.keys('realms')).toEqual([])
  })
})
