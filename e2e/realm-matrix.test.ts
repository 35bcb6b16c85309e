import type { System } from '@agentos/testing'
import { startSystem } from '@agentos/testing'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ALL_WORKERS, type ChatReply, NO_LOCAL_MODELS } from './support/all-workers.ts'

/** Stands in everything that the other realm holds, and nowhere else. */
const SECRET = 'zanzibar'

interface Described {
  id: string
  worker: string
  access: string
  request_format: { properties?: Record<string, Property>; required?: string[] } | null
}
interface Property {
  type?: string
  enum?: unknown[]
  const?: unknown
  anyOf?: Property[]
  default?: unknown
}

let system: System
let functions: Described[]
/** Ids of the other realm, by the names under which functions take them. */
let ids: Record<string, unknown>
let there: { owner: true; realm: string }
let elsewhere: { owner: true; realm: string }

async function start(inDefault: boolean): Promise<void> {
  system = await startSystem({ workers: ALL_WORKERS, env: NO_LOCAL_MODELS })
  const realm = async (name: string): Promise<string> =>
    (await system.api<{ id: string }>('POST', '/v1/realms', { name }, { owner: true })).body.id
  const realmId = inDefault ? 'realm-default' : await realm('the other one')
  there = { owner: true, realm: realmId }
  elsewhere = { owner: true, realm: await realm('neighbour') }

  const agentId = 'secret-agent'
  await system.api('POST', '/v1/agents', { id: agentId, name: SECRET, systemPrompt: SECRET }, there)
  const message = `remember that the harbour is called ${SECRET}`
  const chat = await system.api<ChatReply>('POST', '/v1/chat', { agentId, message }, there)
  expect(chat.body.toolCalls).toMatchObject([{ id: 'memory::store', ok: true }])
  const { body: hits } = await call('memory::search', { agentId, query: 'harbour' }, there)
  const [hit] = hits as { id: string }[]
  expect(JSON.stringify(hits)).toContain(SECRET)
  await call('memory::kg::add', { agentId, entity: { id: 'harbour', name: SECRET, type: 'place' } }, there)
  await call('state::set', { scope: 'hidden', key: 'k', value: SECRET }, there)
  await call('engine::log::info', { message: SECRET }, there)
  const { body: traces } = await system.api<{ spans: { trace_id: string; span_id: string }[] }>(
    'GET',
    '/v1/traces',
    undefined,
    there,
  )
  ids = {
    realmId,
    agentId,
    id: hit!.id,
    memoryId: hit!.id,
    sessionId: chat.body.sessionId,
    session: chat.body.sessionId,
    runId: chat.body.runId,
    scope: 'hidden',
    key: 'k',
    trace_id: traces.spans[0]!.trace_id,
    span_id: traces.spans[0]!.span_id,
    query: 'harbour',
    name: 'harbour',
    entityId: 'harbour',
    text: 'harbour',
  }
  const listed = await system.api<{ functions: Described[] }>('GET', '/v1/engine/functions')
  functions = listed.body.functions
}

function call(
  functionId: string,
  payload: unknown,
  as: object,
): Promise<{ status: number; body: unknown; text: string }> {
  return system.api('POST', '/v1/functions/call', { functionId, payload, timeoutMs: 15_000 }, as)
}

/** Inputs for a function: with every field that may name something, and with those only that have to be there. */
function inputs({ request_format: schema }: Described): object[] {
  const properties = Object.entries(schema?.properties ?? {})
  const required = new Set(schema?.required ?? [])
  const take = (wanted: (name: string) => boolean): object =>
    Object.fromEntries(properties.flatMap(([name, property]) => (wanted(name) ? [[name, sample(name, property)]] : [])))
  return [take((name) => required.has(name)), take((name) => required.has(name) || name in ids)]
}

function sample(name: string, property: Property): unknown {
  if (name in ids) return ids[name]
  const [first] = property.anyOf ?? []
  const chosen = first ?? property
  if (chosen.const !== undefined) return chosen.const
  if (chosen.enum) return chosen.enum[0]
  switch (chosen.type) {
    case 'integer':
    case 'number':
      return 1
    case 'boolean':
      return false
    case 'array':
      return []
    case 'object':
      return {}
    default:
      return 'x'
  }
}

/** Everything of the other realm that can be asked for. */
async function snapshot(): Promise<string> {
  const parts = await Promise.all([
    call('agent::list', {}, there),
    call('memory::list', { agentId: ids.agentId }, there),
    call('memory::session::get', { agentId: ids.agentId, sessionId: ids.sessionId }, there),
    call('state::entries', { scope: ids.scope }, there),
    call('memory::kg::query', { agentId: ids.agentId, entityId: 'harbour' }, there),
    system.api('GET', `/v1/realms/${ids.realmId}`, undefined, { owner: true }),
    call('security::get_capabilities', { agentId: ids.agentId }, there),
  ])
  expect(parts.map(({ status }) => status)).toEqual(parts.map(() => 200))
  return parts.map(({ text }) => text).join('\n')
}

describe.each([
  ['another realm', false],
  ['the realm of the owner', true],
] as const)('every function with the ids of %s', (_whose, inDefault) => {
  beforeAll(() => start(inDefault))
  afterAll(() => system?.stop())

  /** The owner exports a realm from everywhere. */
  const ofTheInstallation = (id: string): boolean => id.startsWith('realm::')

  it.each([
    ['a guest', () => ({}), () => false],
    ['the owner in a third realm', () => elsewhere, ofTheInstallation],
  ] as const)('tells %s nothing of it and changes nothing in it', { timeout: 120_000 }, async (_who, as, skip) => {
    const before = await snapshot()
    expect(before.split(SECRET).length).toBeGreaterThan(4)
    const leaks: string[] = []
    let answered = 0
    for (const fn of functions) {
      if (skip(fn.id) || fn.id === 'engine::traces::watch') continue
      for (const payload of inputs(fn)) {
        const { status, text } = await call(fn.id, payload, as())
        if (status === 200) answered += 1
        if (text.includes(SECRET)) leaks.push(`${fn.id} ${JSON.stringify(payload)}: ${text.slice(0, 300)}`)
      }
    }
    expect(leaks).toEqual([])
    expect(answered).toBeGreaterThan(30)
    expect(await snapshot()).toBe(before)
  })

  it('is refused where a guest names the realm itself', async () => {
    for (const { id, request_format: schema } of functions) {
      if (!schema?.properties?.realmId || id.startsWith('realm::')) continue
      const { status } = await call(id, { realmId: ids.realmId }, {})
      expect([id, status >= 400]).toEqual([id, true])
    }
    for (const id of ['realm::update', 'realm::delete', 'realm::export', 'realm::purge']) {
      const { status } = await call(id, { realmId: ids.realmId, name: 'mine' }, {})
      expect([id, status >= 400]).toEqual([id, true])
    }
  })
})
