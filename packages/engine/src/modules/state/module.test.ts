import { beforeEach, describe, expect, it } from 'vitest'
import { TestHost } from '../../../test/host.ts'
import { createStateModule } from './module.ts'

const workers = [
  { name: 'security', owns: { scopes: ['caps', 'audit*'], streams: [], topics: [] }, systemScopes: ['audit*'] },
]

let host: TestHost

beforeEach(() => {
  host = new TestHost([createStateModule({ maxValueBytes: 2_000, maxListed: 1_500 })], { workers })
})

const users = (key: string, more: object = {}) => ({ scope: 'users', key, ...more })

describe('state values', () => {
  it('are written, read, listed and deleted in the shapes of the protocol', () => {
    expect(host.value('state::set', users('1', { value: { n: 1 } }))).toEqual({
      old_value: null,
      new_value: { n: 1 },
    })
    expect(host.value('state::set', users('1', { data: { n: 2 } }))).toEqual({
      old_value: { n: 1 },
      new_value: { n: 2 },
    })
    expect(host.value('state::get', users('1'))).toEqual({ n: 2 })
    host.value('state::set', users('0', { value: null }))
    expect(host.value('state::list', { scope: 'users' })).toEqual([null, { n: 2 }])
    expect(host.value('state::list', { scope: 'nobody' })).toEqual([])
    expect(host.value('state::list_groups', {})).toEqual({ groups: ['users'] })
    expect(host.value('state::delete', users('1'))).toEqual({ n: 2 })
    expect(host.value('state::delete', users('1'))).toBeUndefined()
  })

  it('have no result at all where they are missing, and null where that is the value', () => {
    expect(host.call('state::get', users('1'))).toEqual({ ok: true, payload: undefined })
    host.value('state::set', users('1', { value: null }))
    expect(host.call('state::get', users('1'))).toEqual({ ok: true, payload: { value: null } })
  })

  it('are answered only when they are durable', () => {
    const results = host.start('state::set', users('1', { value: 1 }))
    expect(results).toEqual([])
    expect(host.store.get('state/realm-default/users', '1')).toBeUndefined()
    host.time.advance(0)
    expect(results).toHaveLength(1)
  })

  it('refuse input that does not fit, in the words of the protocol', () => {
    expect(host.error('state::set', { key: 'a', value: 1 })).toEqual({
      code: 'deserialization_error',
      message: 'Failed to deserialize input for state::set: missing field `scope`',
    })
    expect(host.error('state::get', { scope: 5, key: 'a' }).message).toContain('invalid type: integer `5`')
    expect(host.error('state::set', users('a')).message).toContain('missing field `value`')
    expect(host.error('state::list', []).code).toBe('deserialization_error')
    expect(host.error('state::list', { scope: null }).message).toContain('invalid type: null')
  })

  it('are bounded in size', () => {
    const error = host.error('state::set', users('a', { value: 'x'.repeat(2_000) }))
    expect(error).toMatchObject({ code: 'VALUE_TOO_LARGE', details: { bytes: 2_002, maxValueBytes: 2_000 } })
    host.value('state::set', users('a', { value: { s: 'x'.repeat(1_500) } }))
    const ops = [{ type: 'append', path: 's', value: 'x'.repeat(600) }]
    expect(host.error('state::update', users('a', { ops })).code).toBe('VALUE_TOO_LARGE')
  })

  it('are nested no deeper by an update than a JSON text may be', () => {
    const deep = (levels: number): unknown => JSON.parse('['.repeat(levels) + ']'.repeat(levels))
    const append = (levels: number) => ({
      ops: [{ type: 'append', path: Array.from({ length: 31 }, (_, n) => `p${n}`), value: deep(levels) }],
    })
    // 31 objects and the list that begins with it are around what is appended.
    expect(host.value('state::update', users('a', append(480)))).not.toHaveProperty('errors')
    expect(host.error('state::update', users('b', append(481)))).toMatchObject({
      code: 'invalid_input',
      message: expect.stringContaining('nested over 512 levels'),
    })
    expect(host.value('state::get', users('b'))).toBeUndefined()
  })

  it('compare versions where asked, and name the current one', () => {
    host.value('state::set', users('a', { value: 1, expectedVersion: 0 }))
    const error = host.error('state::set', users('a', { value: 2, expectedVersion: 0 }))
    expect(error).toMatchObject({ code: 'version_conflict', details: { currentVersion: 1 } })
    expect(error.message).toContain('its version is 1')
    expect(host.value('state::set', users('a', { value: 2, expectedVersion: 1 }))).toMatchObject({ version: 2 })
    expect(host.error('state::delete', users('a', { expectedVersion: 1 })).code).toBe('version_conflict')
    const ops = [{ type: 'set', path: '', value: 3 }]
    expect(host.error('state::update', users('a', { ops, expectedVersion: 1 })).code).toBe('version_conflict')
  })

  it('compare versions and end in time where that is said in snake case', () => {
    host.value('state::set', users('a', { value: 1, ttl_ms: 1_000 }))
    expect(host.error('state::set', users('a', { value: 2, expected_version: 7 })).code).toBe('version_conflict')
    expect(host.error('state::delete', users('a', { expected_version: 7 })).code).toBe('version_conflict')
    expect(host.value('state::set', users('b', { value: 1, expected_version: 0 }))).toMatchObject({ version: 1 })
    host.time.advance(1_000)
    expect(host.value('state::get', users('a'))).toBeUndefined()
  })

  it('are gone after their time', () => {
    host.value('state::set', users('a', { value: 1, ttlMs: 1_000 }))
    const ops = [{ type: 'increment', path: '', by: 1 }]
    expect(host.value('state::update', users('a', { ops }))).toMatchObject({ new_value: 2 })
    host.time.advance(999)
    expect(host.value('state::get', users('a'))).toBe(2)
    host.time.advance(1)
    expect(host.value('state::get', users('a'))).toBeUndefined()
    expect(host.value('state::list_groups', {})).toEqual({ groups: [] })
  })

  it('count 1,000 concurrent increments to 1,000', () => {
    const ops = [{ type: 'increment', path: 'n', by: 1 }]
    const results = Array.from({ length: 1_000 }, () => host.start('state::update', users('n', { ops })))
    host.time.advance(0)
    expect(results.every(([result]) => result?.ok)).toBe(true)
    expect(host.value('state::get', users('n'))).toEqual({ n: 1_000 })
  })

  it('report operations that were skipped', () => {
    const ops = [
      { type: 'set', path: 'a', value: 1 },
      { type: 'remove', path: 'a' },
      { type: 'increment', path: 'constructor', by: 1 },
    ]
    const result = host.value('state::update', users('a', { ops }))
    expect(result).toMatchObject({ old_value: null, new_value: {}, errors: [{ op_index: 2 }] })
    expect(host.value('state::update', users('a', { ops: [] }))).not.toHaveProperty('errors')
  })

  it('are paged by key, with a prefix', () => {
    for (const key of ['a1', 'a2', 'b1']) host.value('state::set', users(key, { value: key }))
    const first = host.value('state::entries', { scope: 'users', prefix: 'a', limit: 1 })
    expect(first).toEqual({ entries: [{ key: 'a1', value: 'a1', version: 1 }], next: 'a1' })
    const second = host.value('state::entries', { scope: 'users', prefix: 'a', after: 'a1', limit: 1 })
    expect(second).toEqual({ entries: [{ key: 'a2', value: 'a2', version: 1 }] })
    expect(host.error('state::entries', { scope: 'users', limit: 0 }).code).toBe('deserialization_error')
  })

  describe('that are many bytes', () => {
    const MAX = 10_000
    const text = 'x'.repeat(1_500)
    const keysOf = (page: unknown): string[] => (page as { entries: { key: string }[] }).entries.map(({ key }) => key)

    beforeEach(() => {
      host = new TestHost([createStateModule({ maxAnswerBytes: MAX })], { workers })
      for (let n = 0; n < 6; n += 1) host.value('state::set', users(`k${n}`, { value: text }))
    })

    it('are listed up to the bound, and past it refused with the name of what pages', () => {
      expect(host.value('state::list', { scope: 'users' })).toHaveLength(6)
      host.value('state::set', users('k6', { value: text }))
      expect(host.error('state::list', { scope: 'users' })).toMatchObject({
        code: 'payload_too_large',
        message: expect.stringMatching(/over 10000 bytes; page through it with state::entries \{scope, after, limit\}/),
        details: { maxBytes: MAX },
      })
    })

    it('end a page of entries early, and one that is larger than a page comes alone', () => {
      host.value('state::set', users('k2', { value: 'x'.repeat(3 * MAX) }))
      const pages: string[][] = []
      let after: string | undefined
      do {
        const page = host.value('state::entries', { scope: 'users', limit: 100, after }) as { next?: string }
        pages.push(keysOf(page))
        after = page.next
      } while (after !== undefined)
      expect(pages).toEqual([['k0', 'k1'], ['k2'], ['k3', 'k4', 'k5']])
    })

    it('end a page of changes early; only an empty one is the end', () => {
      for (let n = 6; n < 10; n += 1) host.value('state::set', users(`k${n}`, { value: text }))
      const seen: number[] = []
      let after = 0
      for (;;) {
        const page = host.value('state::changes', { after }) as { changes: object[]; next: number }
        if (page.changes.length === 0) break
        seen.push(page.changes.length)
        after = page.next
      }
      expect(seen).toEqual([6, 4])
    })

    it('name their scopes up to the bound', () => {
      for (let n = 0; n < 9; n += 1) host.value('state::set', { scope: `${n}`.repeat(1_000), key: 'a', value: 1 })
      expect(host.value('state::list_groups', {})).toMatchObject({ groups: { length: 10 } })
      host.value('state::set', { scope: 'z'.repeat(1_000), key: 'a', value: 1 })
      expect(host.error('state::list_groups', {})).toMatchObject({
        code: 'payload_too_large',
        message: expect.stringContaining('state::changes {scopes_prefix, after, limit}'),
      })
    })
  })

  it('are not listed all at once where there are too many', () => {
    for (let n = 0; n < 1_501; n += 1) host.start('state::set', users(`k${n}`, { value: n }))
    host.time.advance(0)
    expect(host.error('state::list', { scope: 'users' })).toMatchObject({
      code: 'payload_too_large',
      message: expect.stringContaining('state::entries'),
    })
    for (let n = 0; n < 101; n += 1) host.start('state::delete', users(`k${n}`))
    host.time.advance(0)
    expect(host.value('state::list', { scope: 'users' })).toHaveLength(1_400)
  })
})

describe('state and authority', () => {
  it('keeps realms apart', () => {
    host.value('state::set', users('1', { value: 'a' }), { realm: 'realm-a' })
    expect(host.value('state::get', users('1'), { realm: 'realm-b' })).toBeUndefined()
    expect(host.value('state::list', { scope: 'users' }, { realm: 'realm-b' })).toEqual([])
    expect(host.value('state::list_groups', {}, { realm: 'realm-b' })).toEqual({ groups: [] })
    expect(host.value('state::changes', {}, { realm: 'realm-b' })).toEqual({ changes: [], next: 0 })
    host.value('state::set', users('1', { value: 'b' }), { realm: 'realm-b' })
    expect(host.value('state::get', users('1'), { realm: 'realm-a' })).toBe('a')
  })

  it('lets only its owner touch an owned scope, by any function', () => {
    const security = { worker: 'security' }
    host.value('state::set', { scope: 'caps', key: 'a', value: 1 }, security)
    const input = { scope: 'caps', key: 'a', value: 2, ops: [] }
    for (const id of ['set', 'get', 'delete', 'update', 'list', 'entries']) {
      for (const as of [{}, { worker: 'memory' }, { kind: 'owner' as const }]) {
        expect(host.error(`state::${id}`, input, as).code, `${id} as ${JSON.stringify(as)}`).toBe('forbidden')
      }
    }
    expect(host.value('state::list_groups', {})).toEqual({ groups: [] })
    expect(host.value('state::list_groups', {}, security)).toEqual({ groups: ['caps'] })
    expect(host.value('state::changes', {})).toMatchObject({ changes: [] })
    expect(host.value('state::changes', {}, security)).toMatchObject({ changes: [{ scope: 'caps' }] })
  })

  it('keeps scopes of the installation once for all realms', () => {
    host.value('state::set', { scope: 'audit-log', key: 'a', value: 1 }, { worker: 'security', realm: 'realm-a' })
    const other = { worker: 'security', realm: 'realm-b' }
    expect(host.value('state::get', { scope: 'audit-log', key: 'a' }, other)).toBe(1)
    expect(host.value('state::list_groups', {}, other)).toEqual({ groups: ['audit-log'] })
    expect(host.value('state::changes', { scopes_prefix: 'audit-log' }, other)).toMatchObject({
      changes: [{ scope: 'audit-log', key: 'a', value: 1 }],
    })
    expect(host.value('state::list_groups', {}, { realm: 'realm-b' })).toEqual({ groups: [] })
  })
})

describe('state::changes', () => {
  it('tells what an index has to catch up with, deletions too, page by page', () => {
    for (const key of ['a', 'b', 'c']) host.value('state::set', users(key, { value: key }))
    host.value('state::delete', users('b'))
    const first = host.value('state::changes', { scopes_prefix: 'us', limit: 2 }) as { changes: object[]; next: number }
    expect(first.changes).toMatchObject([
      { scope: 'users', key: 'a', value: 'a', deleted: false, version: 1 },
      { scope: 'users', key: 'c', value: 'c' },
    ])
    const second = host.value('state::changes', { after: first.next }) as { changes: object[]; next: number }
    expect(second.changes).toMatchObject([{ key: 'b', deleted: true, version: 2 }])
    expect(second.changes[0]).not.toHaveProperty('value')
    expect(host.value('state::changes', { after: second.next })).toEqual({ changes: [], next: second.next })
  })

  it('skips what the caller may not see without stopping there', () => {
    for (const key of ['a', 'b', 'c'])
      host.value('state::set', { scope: 'caps', key, value: 1 }, { worker: 'security' })
    host.value('state::set', users('z', { value: 1 }))
    expect(host.value('state::changes', { limit: 1 })).toMatchObject({ changes: [{ scope: 'users', key: 'z' }] })
  })
})

describe('state triggers', () => {
  it('tell of created, updated and deleted values, after the write', () => {
    const calls = host.handler('app::on_user')
    host.bind('state', 'app::on_user', { scope: 'users' }, { metadata: { tag: 1 } })
    host.value('state::set', users('1', { value: { n: 1 } }))
    host.value('state::set', users('1', { value: { n: 1 } }))
    host.value('state::set', { scope: 'other', key: '1', value: 1 })
    host.value('state::delete', users('1'))
    host.value('state::delete', users('1'))
    expect(calls.map((call) => call.input)).toEqual([
      { type: 'state', event_type: 'state:created', scope: 'users', key: '1', old_value: null, new_value: { n: 1 } },
      {
        type: 'state',
        event_type: 'state:updated',
        scope: 'users',
        key: '1',
        old_value: { n: 1 },
        new_value: { n: 1 },
      },
      { type: 'state', event_type: 'state:deleted', scope: 'users', key: '1', old_value: { n: 1 }, new_value: null },
      { type: 'state', event_type: 'state:deleted', scope: 'users', key: '1', old_value: null, new_value: null },
    ])
  })

  it('are kept from running only by the literal false, or by a condition that fails', () => {
    const calls = host.handler('app::handler')
    const answers: unknown[] = [false, 0, null, undefined, 'false', true]
    host.handler('app::condition', (call) => (call.input ? call.reply(answers.shift()) : call.reply()))
    host.handler('app::broken', (call) => call.fail('invocation_failed', 'no'))
    host.bind('state', 'app::handler', { key: '1', condition_function_id: 'app::condition' })
    host.bind('state', 'app::handler', { key: '2', condition_function_id: 'app::broken' })
    for (let n = 0; n < 6; n += 1) host.value('state::set', users('1', { value: n }))
    expect(calls.map((call) => (call.input as { new_value: number }).new_value)).toEqual([1, 2, 3, 4, 5])
    host.value('state::set', users('2', { value: 1 }))
    expect(calls).toHaveLength(5)
  })

  it('run one after another for one event', () => {
    const first = host.handler('app::first', () => {})
    const second = host.handler('app::second')
    host.bind('state', 'app::first', {})
    host.bind('state', 'app::second', {})
    host.value('state::set', users('1', { value: 1 }))
    expect([first.length, second.length]).toEqual([1, 0])
    first[0]!.reply()
    expect(second).toHaveLength(1)
  })

  it('fire in the realm of the write, with the authority of who bound them, in its trace', () => {
    const calls = host.handler('app::handler')
    host.bind('state', 'app::handler', {}, { worker: 'memory' })
    host.value('state::set', users('1', { value: 1 }), { realm: 'realm-a', traceId: 'ab'.repeat(16) })
    expect(calls[0]!.context).toMatchObject({
      realm: 'realm-a',
      principal: { kind: 'system', id: 'memory' },
      traceId: 'ab'.repeat(16),
    })
  })

  it('do not tell a guest of another realm, nor anybody of scopes that are not theirs', () => {
    const calls = host.handler('app::handler')
    host.bind('state', 'app::handler', {})
    host.bind('state', 'app::handler', {}, { worker: 'memory' })
    host.value('state::set', users('1', { value: 1 }), { realm: 'realm-a' })
    expect(calls.map((call) => call.context.principal.kind)).toEqual(['system'])
    host.value('state::set', { scope: 'caps', key: 'a', value: 1 }, { worker: 'security' })
    expect(calls).toHaveLength(1)
    expect(host.bind('state', 'app::handler', { scope: 'caps' })).toMatch(/belongs to the worker security/)
    expect(host.bind('state', 'app::handler', { scope: 7 })).toMatch(/expected a string/)
  })

  it('fire once for an installed worker that bound them twice', () => {
    const calls = host.handler('app::handler')
    host.bind('state', 'app::handler', { scope: 'users' }, { worker: 'memory', id: 'declared' })
    host.bind('state', 'app::handler', { scope: 'users' }, { worker: 'memory', id: 'by-process' })
    host.value('state::set', users('1', { value: 1 }))
    host.unbind('declared')
    host.value('state::set', users('1', { value: 2 }))
    expect(calls).toHaveLength(2)
  })

  it('stop when they are removed', () => {
    const calls = host.handler('app::handler')
    host.bind('state', 'app::handler', {}, { id: 't1' })
    host.unbind('t1')
    host.value('state::set', users('1', { value: 1 }))
    expect(calls).toEqual([])
  })
})
