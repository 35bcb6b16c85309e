import type { Realm } from '@agentos/contracts/realm'
import { describe, expect, it } from 'vitest'
import { makeBundle, readBundle } from './bundle.ts'

const realm: Realm = {
  id: 'realm-1',
  name: 'Prod',
  slug: 'prod',
  description: null,
  status: 'suspended',
  owner: 'alice',
  defaultModel: 'openai/gpt',
  maxAgents: 5,
  metadata: { region: 'eu', apiKey: 'plain-secret' },
  version: 3,
  createdAt: '2026-01-01T00:00:00.000Z',
  updatedAt: '2026-01-01T00:00:00.000Z',
}
const agent = {
  id: 'ops',
  name: 'Ops',
  description: null,
  systemPrompt: `Use the key sk-ant-${'a1'.repeat(20)} for it`,
  capabilities: { functions: ['memory::*'] },
  tags: ['x'],
  status: 'active',
  version: 2,
  createdAt: 1,
  updatedAt: 2,
}

function refusal(data: Record<string, unknown>): string {
  try {
    readBundle(data)
  } catch (error) {
    expect(error).toMatchObject({ code: 'invalid_input' })
    return (error as Error).message
  }
  throw new Error('was accepted')
}

describe('a bundle', () => {
  it('holds listed fields only and says where secrets were', () => {
    const bundle = makeBundle(realm, [agent], true, [])
    expect(JSON.stringify(bundle)).not.toMatch(/plain-secret|sk-ant|createdAt|slug/)
    expect(bundle.redacted).toEqual(['realm.metadata.apiKey', 'agents[0].systemPrompt'])
    expect(Object.keys(bundle.agents[0]!)).toEqual(['id', 'name', 'systemPrompt', 'capabilities', 'tags'])
    expect(bundle).toMatchObject({ version: '1.0', directives: [], hierarchy: [] })
  })

  it('comes back as it was, secrets included where they were wanted', () => {
    const bundle = JSON.parse(JSON.stringify(makeBundle(realm, [agent], false, [])))
    expect(bundle.redacted).toEqual([])
    const { realm: settings, agents, warnings } = readBundle(bundle)
    expect(settings).toEqual({
      name: 'Prod',
      owner: 'alice',
      description: null,
      defaultModel: 'openai/gpt',
      maxAgents: 5,
      metadata: { region: 'eu', apiKey: 'plain-secret' },
    })
    expect(agents).toMatchObject([{ id: 'ops', name: 'Ops', systemPrompt: agent.systemPrompt }])
    expect(warnings).toEqual([])
  })

  it('may be written by hand, and then needs next to nothing', () => {
    expect(readBundle({})).toMatchObject({ realm: { name: 'Imported realm' }, agents: [] })
  })

  it('says what nobody here can take in', () => {
    expect(readBundle({ directives: [1, 2], hierarchy: [{}] }).warnings).toHaveLength(2)
  })
})

describe('a bundle is refused', () => {
  const bundle = JSON.parse(JSON.stringify(makeBundle(realm, [agent], true, [])))

  it('with another version, which is named', () => {
    expect(refusal({ ...bundle, version: '2.0' })).toContain('"2.0"')
  })

  it('with a changed content under its checksum, in whatever order its keys come', () => {
    expect(refusal({ ...bundle, agents: [] })).toContain('checksum')
    expect(readBundle(Object.fromEntries(Object.entries(bundle).toReversed())).agents).toHaveLength(1)
  })

  it.each([
    ['agents that are no objects', { agents: ['x', 1, []] }, 'agents.0'],
    ['an agent without a name', { agents: [{ id: 'a' }] }, 'agents.0.name'],
    ['two agents of one id', { agents: [agent, agent] }, 'two agents'],
    ['more agents than the realm allows', { realm: { maxAgents: 0 }, agents: [agent] }, 'allows 0'],
    ['a realm of another shape', { realm: { name: 5 } }, 'realm.name'],
  ])('with %s, naming the place', (_, data, text) => {
    expect(refusal(data)).toContain(text)
  })
})
