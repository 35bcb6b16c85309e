import { describe, expect, it } from 'vitest'
import { Peer, startCore } from '../../../test/peers.ts'

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

  it('of another engine has another version, whatever happened in either', () => {
    const [one, two] = [start(), start()]
    expect(one.list(one.engine.owner(), { since: '' }).version).not.toBe(
      two.list(two.engine.owner(), { since: '' }).version,
    )
  })
})
