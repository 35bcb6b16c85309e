import { beforeEach, describe, expect, it } from 'vitest'
import { TestHost } from '../../../test/host.ts'
import { startCore } from '../../../test/peers.ts'
import { MemoryDisk } from '../../store/memory-store.ts'
import { createStateModule } from './module.ts'

const workers = [
  { name: 'w', owns: { scopes: ['mine'], streams: [], topics: [] } },
  { name: 'other', owns: { scopes: ['theirs'], streams: [], topics: [] } },
]
const set = (key: string, value: unknown, more: object = {}) => ({ scope: 'mine', key, value, ...more })

describe('several writes in one call', () => {
  let host: TestHost
  const as = { worker: 'w' }
  const stored = (key: string) => host.value('state::get', { scope: 'mine', key }, as)
  beforeEach(() => {
    host = new TestHost([createStateModule()], { workers })
  })

  it('are made in order, and answered with the versions of those that expected one', () => {
    const count = { type: 'update', scope: 'mine', key: 'n', ops: [{ type: 'increment', path: 'n', by: 2 }] }
    const writes = [set('a', 1, { expectedVersion: 0 }), count, set('a', 2, { expectedVersion: 1 }), count]
    expect(host.value('engine::state::write', { writes }, as)).toEqual({ versions: [1, null, 2, null] })
    expect([stored('a'), stored('n')]).toEqual([2, { n: 4 }])
  })

  it('end at the first that is refused, which says how many were made', () => {
    const writes = [set('a', 1), set('b', 1, { expectedVersion: 7 }), set('c', 1)]
    expect(host.error('engine::state::write', { writes }, as)).toMatchObject({
      code: 'version_conflict',
      details: { written: 1, expectedVersion: 7 },
    })
    expect([stored('a'), stored('b'), stored('c')]).toEqual([1, undefined, undefined])
  })

  it('are none where one of them is to a scope of another worker, or the caller is no worker', () => {
    const writes = [set('a', 1), { scope: 'theirs', key: 'b', value: 1 }]
    expect(host.error('engine::state::write', { writes }, as).code).toBe('forbidden')
    expect(stored('a')).toBeUndefined()
    expect(host.error('engine::state::write', { writes: [{ scope: 'x', key: 'a', value: 1 }] }).code).toBe('forbidden')
    const many = Array.from({ length: 101 }, (_, n) => set(`${n}`, n))
    expect(host.error('engine::state::write', { writes: many }, as).code).toBe('deserialization_error')
  })
})

describe('several writes that are atomic', () => {
  let host: TestHost
  const as = { worker: 'w' }
  const stored = (key: string) => host.value('state::get', { scope: 'mine', key }, as)
  beforeEach(() => {
    host = new TestHost([createStateModule()], { workers })
  })
  const write = (...writes: object[]) => ({ writes, atomic: true })

  it('are made together, and answered as those in order', () => {
    const writes = write(set('a', 1, { expectedVersion: 0 }), set('b', 2))
    expect(host.value('engine::state::write', writes, as)).toEqual({ versions: [1, null] })
    expect([stored('a'), stored('b')]).toEqual([1, 2])
    expect(host.value('engine::state::write', write(), as)).toEqual({ versions: [] })
  })

  it('are none where one of them is refused', () => {
    const { code } = host.error(
      'engine::state::write',
      write(set('a', 1), set('b', 1, { expectedVersion: 7 }), set('c', 1)),
      as,
    )
    expect(code).toBe('version_conflict')
    expect([stored('a'), stored('b'), stored('c')]).toEqual([undefined, undefined, undefined])
  })

  it('are refused where they are to two scopes, with a key twice, or no plain values', () => {
    const update = { type: 'update', scope: 'mine', key: 'n', ops: [{ type: 'increment', path: 'n', by: 2 }] }
    const elsewhere = { scope: 'open', key: 'b', value: 1 }
    for (const writes of [
      [set('a', 1), elsewhere],
      [set('a', 1), set('a', 2)],
      [set('a', 1), update],
    ]) {
      expect(host.error('engine::state::write', write(...writes), as).code).toBe('deserialization_error')
    }
    expect(stored('a')).toBeUndefined()
  })
})

it('several atomic writes under an idempotency key are made once, also over a kill', () => {
  const disk = new MemoryDisk()
  const writes = ['a', 'b'].map((key) => ({ scope: 'users', key, value: 1, expectedVersion: 0 }))
  for (let time = 0; time < 2; time += 1) {
    const engine = startCore({ disk, modules: [createStateModule()] })
    const caller = engine.owner()
    const sent = caller.call('engine::state::write', { data: { writes, atomic: true }, idempotency_key: 'k' })
    engine.time.advance(0)
    expect(caller.result(sent)?.result).toEqual({ versions: [1, 1] })
    engine.time.reset()
  }
})

describe('several writes under an idempotency key', () => {
  it('are each made once, however far the engine came with them before it was killed', () => {
    const ops = [{ type: 'increment', path: 'n', by: 1 }]
    const writes = ['a', 'b', 'c'].map((key) => ({ type: 'update', scope: 'users', key, ops }))
    for (let made = 0; made <= 3; made += 1) {
      const disk = new MemoryDisk()
      const send = (part: object[]) => {
        const engine = startCore({ disk, modules: [createStateModule()] })
        const caller = engine.owner()
        const sent = caller.call('engine::state::write', { data: { writes: part }, idempotency_key: 'k' })
        engine.time.advance(0)
        expect(caller.result(sent)?.error).toBeUndefined()
        engine.time.reset()
      }
      // Each write is on disk, with what is known of its key, before the next begins.
      send(writes.slice(0, made))
      send(writes)
      const rows = ['a', 'b', 'c'].map((key) => disk.row('state/realm-default/users', key)?.value)
      expect(rows).toEqual(['{"n":1}', '{"n":1}', '{"n":1}'])
    }
  })
})
