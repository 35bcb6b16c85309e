import { beforeEach, describe, expect, it } from 'vitest'
import { Peer, startCore } from '../../../test/peers.ts'
import type { EngineModule } from '../../core/module.ts'
import { BESIDE } from '../../core/ports.ts'
import { MemoryDisk } from '../../store/memory-store.ts'
import { createKeysModule } from '../keys/module.ts'
import { createStateModule } from './module.ts'

const HOUR_MS = 3_600_000
const COUNT = { scope: 'users', key: 'n', ops: [{ type: 'increment', path: 'n', by: 1 }] }

let disk: MemoryDisk
let engine: ReturnType<typeof startCore>
let caller: Peer
beforeEach(() => {
  disk = new MemoryDisk()
  engine = startCore({ disk, modules: [createStateModule()] })
  caller = engine.owner()
})

/** The engine is killed with what it had not yet committed, and another starts on its disk. */
function restart(before: EngineModule[] = []): void {
  engine.time.reset()
  engine = startCore({ disk, time: engine.time, modules: [...before, createStateModule()] })
  caller = engine.owner()
}

function call(id: string, data: object, key?: string, by = caller): unknown {
  const sent = by.call(id, { data, ...(key === undefined ? {} : { idempotency_key: key }) })
  engine.time.advance(0)
  const { result, error } = by.result(sent)!
  return error ? error.code : result
}

const count = (key?: string, by?: Peer) => call('state::update', COUNT, key, by)
const stored = (key = 'n') => call('state::get', { scope: 'users', key })

describe('a write with an idempotency key', () => {
  it('is made once, and answered with its recorded result', () => {
    const first = count('k')
    expect(first).toEqual({ old_value: null, new_value: { n: 1 } })
    expect(count('other')).toMatchObject({ new_value: { n: 2 } })
    expect(count('k')).toEqual(first)
    expect(stored()).toEqual({ n: 2 })
  })

  it('is there with its result or not at all where the engine is killed, and may be sent again', () => {
    for (let round = 1; round <= 4; round++) {
      caller.call('state::update', { data: COUNT, idempotency_key: `k${round}` })
      // Accepted only, or on disk and the caller has not heard of it.
      if (round % 2 === 0) engine.time.advance(0)
      restart()
      expect(count(`k${round}`)).toEqual({
        old_value: round === 1 ? null : { n: round - 1 },
        new_value: { n: round },
      })
    }
    expect(stored()).toEqual({ n: 4 })
  })

  it('has one result for two that come together', () => {
    const ids = [1, 2].map(() => caller.call('state::update', { data: COUNT, idempotency_key: 'k' }))
    engine.time.advance(0)
    const [first, second] = ids.map((id) => caller.result(id)?.result)
    expect(first).toMatchObject({ new_value: { n: 1 } })
    expect(second).toEqual(first)
  })

  it('is not compared with the version that it made itself', () => {
    call('state::set', { scope: 'users', key: 'a', value: 1 })
    const change = { scope: 'users', key: 'a', value: 2, expectedVersion: 1 }
    const first = call('state::set', change, 'k')
    expect(first).toEqual({ old_value: 1, new_value: 2, version: 2 })
    expect(call('state::set', change, 'k')).toEqual(first)
    expect(call('state::set', change)).toBe('version_conflict')
  })

  it('has the version that it got, after a deletion too, and a deletion has what it deleted', () => {
    const place = { scope: 'users', key: 'a' }
    call('state::set', { ...place, value: 1 })
    expect(call('state::delete', place, 'd')).toBe(1)
    const set = () => call('state::set', { ...place, value: 2, expectedVersion: 0 }, 's')
    expect(set()).toMatchObject({ version: 3 })
    restart()
    expect([set(), call('state::delete', place, 'd'), stored('a')]).toMatchObject([{ version: 3 }, 1, 2])
    expect(call('state::delete', { ...place, key: 'never' }, 'x')).toBeUndefined()
    expect(call('state::delete', { ...place, key: 'never' }, 'x')).toBeUndefined()
  })

  it('is refused with another input; realm, principal and function have keys of their own', () => {
    count('k')
    expect(call('state::update', { ...COUNT, ops: [] }, 'k')).toBe('key_reused')
    expect(call('state::set', { scope: 'users', key: 'n', value: { n: 10 } }, 'k')).toMatchObject({
      old_value: { n: 1 },
    })
    expect(count('k', new Peer(engine.core, { kind: 'guest', id: 'guest' }, undefined, 'realm-default'))).toMatchObject(
      {
        new_value: { n: 11 },
      },
    )
    expect(stored()).toEqual({ n: 11 })
  })

  it('that was refused has changed nothing, and may be made again', () => {
    const change = { scope: 'users', key: 'a', value: 2, expectedVersion: 1 }
    expect(call('state::set', change, 'k')).toBe('version_conflict')
    call('state::set', { scope: 'users', key: 'a', value: 1 })
    expect(call('state::set', change, 'k')).toMatchObject({ version: 2 })
  })

  it('is known for 24 hours', () => {
    count('k')
    engine.time.advance(24 * HOUR_MS - 1_000)
    expect(count('k')).toMatchObject({ new_value: { n: 1 } })
    engine.time.advance(1_000)
    expect(count('k')).toMatchObject({ new_value: { n: 2 } })
    engine.time.advance(24 * HOUR_MS)
    const left = [...disk.partitions.values()].flatMap((rows) => [...rows.values()])
    expect(left.filter(({ key, value }) => key.startsWith(BESIDE) && value !== null)).toEqual([])
  })

  it('leaves nothing that a list, a page, a trigger or the changes show, and nothing that anybody can name', () => {
    const told: unknown[] = []
    engine.core.registerFunction({ id: 'app::hear', summary: '', handle: (heard) => void told.push(heard.input) })
    const binding = { id: 't', trigger_type: 'state', function_id: 'app::hear', config: { scope: 'users' } }
    caller.tell({ type: 'registertrigger', ...binding })
    count('k')
    count('k')
    expect(told).toHaveLength(1)
    expect(call('state::list', { scope: 'users' })).toEqual([{ n: 1 }])
    expect(call('state::entries', { scope: 'users' })).toEqual({ entries: [{ key: 'n', value: { n: 1 }, version: 1 }] })
    expect(call('state::entries', { scope: 'users', prefix: BESIDE })).toEqual({ entries: [] })
    expect(call('state::changes', {})).toMatchObject({ changes: [{ key: 'n' }] })
    call('state::delete', { scope: 'users', key: 'n' }, 'd')
    expect(call('state::list_groups', {})).toEqual({ groups: [] })
    for (const id of ['set', 'get', 'update', 'delete']) {
      expect(call(`state::${id}`, { ...COUNT, value: 1, key: `${BESIDE}key/x` })).toBe('deserialization_error')
    }
  })
})

describe('a write with a key that its client gave', () => {
  const keys = () => createKeysModule({ kept: 100, bytes: 100_000, maxResultBytes: 1_000 })
  beforeEach(() => restart([keys()]))

  it('is answered after a kill between its commit and its answer, and not in doubt', () => {
    const put = disk.put.bind(disk)
    let isDead = false
    disk.put = (row) => {
      if (isDead) return
      put(row)
      isDead = row.key.startsWith(BESIDE)
    }
    count('k')
    disk.put = put
    expect(isDead).toBe(true)
    restart([keys()])
    expect(count('k')).toEqual({ old_value: null, new_value: { n: 1 } })
    expect(stored()).toEqual({ n: 1 })
  })

  it('has one key for all scopes, and its refusal is recorded', () => {
    count('k')
    expect(call('state::update', { ...COUNT, scope: 'others' }, 'k')).toBe('key_reused')
    const change = { scope: 'users', key: 'a', value: 2, expectedVersion: 1 }
    expect(call('state::set', change, 'c')).toBe('version_conflict')
    call('state::set', { scope: 'users', key: 'a', value: 1 })
    expect(call('state::set', change, 'c')).toBe('version_conflict')
  })
})
