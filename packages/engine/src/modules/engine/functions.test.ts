import { describe, expect, it } from 'vitest'
import { installed, Peer, startCore } from '../../../test/peers.ts'

interface Listed {
  version?: string
  unchanged?: true
  functions?: { function_id: string; worker_name: string }[]
}

function start() {
  const engine = startCore({})
  const list = (by: Peer, data: object = {}): Listed => {
    const sent = by.call('engine::functions::list', { data })
    engine.time.advance(0)
    return by.result(sent)!.result as Listed
  }
  return { engine, list }
}

describe('engine::workers-available', () => {
  it('tells of connections of the own realm and of installed workers, and of no others', () => {
    const engine = startCore({ workers: [installed('notes', [{ id: 'notes::get' }])] })
    const guest = engine.guest()
    guest.register('watch')
    guest.tell({
      type: 'registertrigger',
      id: 't',
      trigger_type: 'engine::workers-available',
      function_id: 'watch',
      config: {},
    })
    engine.owner()
    const another = engine.guest()
    const worker = new Peer(engine.core, { kind: 'system', id: 'notes' }, 'notes')
    engine.time.advance(0)
    expect(guest.served.map(({ data }) => (data as { worker_id: string }).worker_id)).toEqual([
      another.connection.id,
      worker.connection.id,
    ])
  })
})

describe('the list of workers', () => {
  it('tells guests no process of an installed worker', () => {
    const engine = startCore({ workers: [installed('notes', [{ id: 'notes::get' }])] })
    const worker = new Peer(engine.core, { kind: 'system', id: 'notes' }, 'notes')
    worker.call('engine::workers::register', { data: { name: 'notes', pid: 4711 } })
    engine.time.advance(0)
    const pids = (by: Peer) => {
      const sent = by.call('engine::workers::list')
      engine.time.advance(0)
      return (by.result(sent)!.result as { workers: { pid: number | null }[] }).workers.map(({ pid }) => pid)
    }
    expect(pids(engine.owner())).toEqual([4711])
    expect(pids(engine.guest())).toEqual([null])
  })
})

describe('the list of functions', () => {
  it('has a version for who asks for one, and is not sent again while that stands', () => {
    const { engine, list } = start()
    const plain = engine.owner()
    const owner = engine.owner()
    plain.register('shop::buy')
    const first = list(owner, { since: '' })
    expect(first.functions?.map(({ function_id }) => function_id)).toContain('shop::buy')
    expect(list(owner, { since: first.version })).toEqual({ version: first.version, unchanged: true })

    plain.register('shop::sell')
    const second = list(owner, { since: first.version })
    expect(second.functions?.map(({ function_id }) => function_id)).toContain('shop::sell')
    plain.tell({ type: 'unregisterfunction', id: 'shop::sell' })
    expect(list(owner, { since: second.version }).unchanged).toBeUndefined()
    const named = list(owner, { since: '' })
    plain.call('engine::workers::register', { data: { name: 'shop', pid: 1 } })
    engine.time.advance(0)
    const renamed = list(owner, { since: named.version })
    expect(renamed.functions).toContainEqual(expect.objectContaining({ function_id: 'shop::buy', worker_name: 'shop' }))
    plain.close()
    expect(list(owner, { since: renamed.version }).functions).toEqual([])
  })

  it('of another realm has another version', () => {
    const { engine, list } = start()
    const { version } = list(engine.owner(), { since: '' })
    expect(
      list(new Peer(engine.core, { kind: 'owner', id: 'owner' }, undefined, 'realm-2'), { since: version }),
    ).toHaveProperty('functions')
  })

  it('is what the protocol says for who asks for nothing more', () => {
    const { engine, list } = start()
    expect(Object.keys(list(engine.owner()))).toEqual(['functions'])
  })

  it('says which functions the installation describes, whatever others say of themselves', () => {
    const engine = startCore({ workers: [installed('bank', [{ id: 'bank::pay' }])] })
    const guest = engine.guest()
    guest.call('engine::workers::register', { data: { name: 'bank', pid: 1 } })
    guest.register('shop::buy', { metadata: { installed: true } })
    const sent = guest.call('engine::functions::list', { data: { include_internal: true } })
    engine.time.advance(0)
    const { functions } = guest.result(sent)!.result as { functions: { function_id: string; installed: boolean }[] }
    const marks = new Map(functions.map((row) => [row.function_id, row.installed]))
    expect(['bank::pay', 'engine::functions::list', 'shop::buy'].map((id) => marks.get(id))).toEqual([
      true,
      true,
      false,
    ])
  })

  it('of another engine has another version, whatever happened in either', () => {
    const [one, two] = [start(), start()]
    expect(one.list(one.engine.owner(), { since: '' }).version).not.toBe(
      two.list(two.engine.owner(), { since: '' }).version,
    )
  })
})

describe('a list of what is registered that is too large for an answer', () => {
  const engine = startCore({ maxAnswerBytes: 6_000 })
  const app = engine.guest()
  const text = 'x'.repeat(900)
  for (let n = 0; n < 8; n += 1) {
    app.register(`app::f${n}`, { description: text })
    app.tell({ type: 'registertriggertype', id: `type-${n}`, description: text })
    const trigger = { trigger_type: 'type-0', function_id: `app::f${n}`, config: { text } }
    app.tell({ type: 'registertrigger', id: `trigger-${n}`, ...trigger })
  }
  const ask = (id: string, data: object) => {
    const sent = app.call(id, { data })
    engine.time.advance(0)
    return app.result(sent)!
  }

  it.each([
    ['engine::functions::list', '{prefix, worker, search}', { prefix: 'app::f1' }, 'functions'],
    ['engine::trigger-types::list', '{prefix}', { prefix: 'type-1' }, 'trigger_types'],
    [
      'engine::registered-triggers::list',
      '{trigger_type, function_id}',
      { function_id: 'app::f1' },
      'registered_triggers',
    ],
  ])('is refused with the fields that ask for a part: %s', (id, fields, part, list) => {
    expect(ask(id, {}).error).toMatchObject({
      code: 'payload_too_large',
      message: expect.stringContaining(`${id} ${fields}`),
    })
    expect((ask(id, part).result as Record<string, unknown[]>)[list]).toHaveLength(1)
  })

  it('is refused with the lists of its parts where it has no filter', () => {
    expect(ask('engine::triggers::list', {}).error).toMatchObject({
      code: 'payload_too_large',
      message: expect.stringContaining('engine::registered-triggers::list {trigger_type, function_id}'),
    })
  })
})
