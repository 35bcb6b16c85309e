import type { WorkerDescriptor } from '@agentos/protocol'
import { describe, expect, it } from 'vitest'
import { Catalogue } from './catalogue.ts'

const worker = (name: string, more: Partial<WorkerDescriptor>, functions: string[] = []): WorkerDescriptor => ({
  name,
  version: '0.1.0',
  description: name,
  start: 'always',
  instances: 1,
  memoryMb: 128,
  env: {},
  secrets: [],
  owns: { scopes: [], streams: [], topics: [] },
  systemScopes: [],
  entersRealms: false,
  dependencies: [],
  triggers: [],
  ...more,
  functions: functions.map((id) => ({
    id,
    summary: id,
    request_format: null,
    response_format: null,
    effects: 'read',
    idempotent: false,
    tool: false,
    access: 'guest',
    http: [],
  })),
})

describe('what manifests own', () => {
  const catalogue = new Catalogue([
    worker('security', { owns: { scopes: ['audit', 'grants:*'], streams: [], topics: [] } }, ['security::audit']),
    worker('streaming', {}, ['stream::chat']),
    worker('code-agent', {}, ['agent::code_run']),
    worker('agent-core', {}, ['agent::chat']),
  ])

  it.each([
    ['security::audit', 'security', true],
    ['security::audit', undefined, false],
    ['security::audit', 'streaming', false],
    ['security::anything', undefined, false],
    ['security::anything', 'security', true],
    ['agent::anything', 'code-agent', true],
    ['agent::chat', 'code-agent', false],
    ['stream::get(todos)', undefined, true],
    ['stream::get', undefined, false],
    ['securityx::audit', undefined, true],
    ['analyst::summarize', undefined, true],
  ])('%s may be registered by %s: %s', (id, name, expected) => {
    expect(catalogue.mayRegister(id, name)).toBe(expected)
  })

  it.each([
    ['audit', 'security'],
    ['audits', undefined],
    ['grants:', 'security'],
    ['grants:default', 'security'],
    ['grant', undefined],
  ])('the scope %s belongs to %s', (scope, owner) => {
    expect(catalogue.ownerOf('scopes', scope)).toBe(owner)
  })

  it('refuses two workers that declare the same function', () => {
    expect(() => new Catalogue([worker('a', {}, ['x::y']), worker('b', {}, ['x::y'])])).toThrow('x::y')
  })
})
