import { EngineError } from '@agentos/protocol'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { Realms } from '../../core/realms.ts'
import { JournalWorld } from './journal.fixture.ts'
import { FINISHED, OPEN } from './partitions.ts'

let world: JournalWorld

afterEach(() => void vi.restoreAllMocks())

beforeEach(() => {
  world = new JournalWorld()
})

const KEY = { idempotency_key: 'once' }
const REFUSAL = { ok: false, error: { code: 'store_unavailable', message: 'EIO' } } as const
const stepResult = (id: string) => world.flow.result(id)
/** Longer than it is waited before the disk is asked again. */
const LATER_MS = 60_000

/** Nothing can be read while this runs, and it can again after it. */
function unreadable<T>(during: () => T): T {
  world.disk.unreadable = 'EIO'
  try {
    return during()
  } finally {
    world.disk.unreadable = undefined
  }
}

function later(): void {
  world.time.advance(LATER_MS)
}

/** The process of the handler dies, and another takes the run up. */
function anotherProcess(): void {
  world.flow.close()
  world.flow = world.flowProcess()
  world.settle()
}

describe('a run whose recorded result cannot be read', () => {
  it('is told nothing, and goes on with the result when the disk answers', async () => {
    const call = world.begin(KEY)
    const { runId } = world
    world.does('1', 'tool::send', 'sent')
    anotherProcess()
    const ask = unreadable(() => {
      const id = world.ask('1', 'tool::send')
      later()
      expect(stepResult(id), 'a disk that does not answer decides nothing').toBeUndefined()
      expect(world.caller.result(call)).toBeUndefined()
      return id
    })
    later()
    expect(stepResult(ask)?.result).toBe('sent')
    world.finish('end')
    expect(world.caller.result(call)?.result).toBe('end')
    expect(await world.query('engine::runs::get', { runId })).toMatchObject({ status: 'done', steps: 1 })
    expect(world.calls('tool::send')).toBe(1)
  })

  it('is told what is recorded after a restart too', () => {
    world.begin(KEY)
    world.does('1', 'tool::send', 'sent')
    anotherProcess()
    unreadable(() => world.ask('1', 'tool::send'))
    world.restart()
    world.connect()
    expect(stepResult(world.ask('1', 'tool::send'))?.result).toBe('sent')
  })

  it('lets go of a process that is to unwind meanwhile', async () => {
    world.begin()
    const { runId } = world
    world.does('1.0.1', 'tool::send', 'sent')
    anotherProcess()
    unreadable(() => {
      const recorded = world.ask('1.0.1', 'tool::send')
      world.ask('1.1.1', 'engine::journal::wait', { name: 'go' })
      expect(world.flow.code(recorded)).toBeUndefined()
    })
    later()
    world.unwind()
    expect(await world.query('engine::runs::get', { runId })).toMatchObject({ status: 'waiting' })
  })

  it('says so once, however often it is tried', () => {
    world.begin(KEY)
    world.does('1', 'tool::send', 'sent')
    anotherProcess()
    unreadable(() => {
      world.ask('1', 'tool::send')
      for (let n = 0; n < 20; n += 1) later()
    })
    expect(world.warnings.filter((warning) => warning.includes('until its journal can be read'))).toHaveLength(1)
  })

  it('fails where the record is damaged: the handler is told nothing that it could take for an outcome', async () => {
    const call = world.begin(KEY)
    const { runId } = world
    world.does('1', 'tool::send', 'sent')
    anotherProcess()
    const rows = world.disk.partitions.get(`journal/realm-default/${runId}`)!
    const [key] = [...rows].find(([, { value }]) => value?.includes('"result"'))!
    rows.delete(key)
    const ask = world.ask('1', 'tool::send')
    world.settle()
    expect(world.flow.code(ask)).toBe('run_suspended')
    expect(world.flow.cancelled(world.given(world.flow))).toBe(true)
    expect(world.caller.code(call)).toBe('corrupt_record')
    expect(await world.query('engine::runs::get', { runId })).toMatchObject({ status: 'failed' })
  })

  it('of a replay waits, and the report is the same', () => {
    world.begin()
    const { runId } = world
    world.does('1', 'tool::send', 'sent')
    world.finish('end')
    const replay = world.caller.call('engine::runs::replay', { data: { runId } })
    world.settle()
    const ask = unreadable(() => world.ask('1', 'tool::send'))
    expect(stepResult(ask)).toBeUndefined()
    later()
    expect(stepResult(ask)?.result).toBe('sent')
    world.finish('end')
    expect(world.caller.result(replay)?.result).toMatchObject({ ok: true, divergences: [] })
  })
})

describe('a run that cannot be handed over because its realm cannot be read', () => {
  it('waits for the disk, new as it is', () => {
    const call = world.caller.call('flow::run', { data: { n: 1 }, ...KEY })
    const invoke = vi.spyOn(Realms.prototype, 'assertUsable')
    // The caller was let in, and the run is on its way to the disk.
    invoke.mockImplementation(() => {
      throw new EngineError('store_unavailable', 'EIO')
    })
    later()
    expect(world.caller.result(call)).toBeUndefined()
    expect(world.flow.served).toEqual([])
    invoke.mockRestore()
    later()
    world.finish('end')
    expect(world.caller.result(call)?.result).toBe('end')
  })
})

describe('a step whose call the disk keeps from being made', () => {
  it.each([
    ['state::set', { scope: 's', key: 'k', value: 1 }, { new_value: 1 }],
    ['state::get', { scope: 's', key: 'k' }, undefined],
  ])('of %s waits for it, and has no outcome before', (id, data, result) => {
    world.begin(KEY)
    world.disk.refusal = 'EIO'
    const ask = unreadable(() => {
      const step = world.ask('1', id, data)
      for (let n = 0; n < 20; n += 1) later()
      return step
    })
    world.disk.refusal = undefined
    expect(stepResult(ask)).toBeUndefined()
    later()
    expect(stepResult(ask)?.error).toBeUndefined()
    if (result) expect(stepResult(ask)?.result).toMatchObject(result)
    else expect(stepResult(ask)).toBeDefined()
  })

  it('ends at its own deadline', () => {
    world.begin(KEY)
    const invocation = world.given(world.flow)
    const ask = unreadable(() => {
      const step = world.flow.call('state::get', {
        parent: invocation.invocation_id,
        step: '1',
        data: { scope: 's', key: 'k' },
        deadline_ms: 10_000,
      })
      later()
      return step
    })
    later()
    expect(world.flow.code(ask)).toBe('deadline_exceeded')
  })

  it('leaves what its function said itself to the handler', () => {
    world.begin(KEY)
    const ask = world.ask('1', 'tool::send')
    world.tool.fail(world.given(world.tool, 'tool::send'), 'store_unavailable')
    world.settle()
    expect(world.flow.code(ask)).toBe('store_unavailable')
  })
})

describe('a run in doubt while nothing can be read', () => {
  it('asks its question with the input all the same, and no process ends by it', async () => {
    world.begin(KEY)
    world.ask('1', 'tool::send', { to: 'ada' })
    // The step is in doubt by the end of a connection: nobody catches what is thrown there.
    unreadable(() => world.tool.close())
    later()
    expect(await world.query('engine::runs::list')).toMatchObject({
      runs: [{ status: 'parked', question: { step: '1', function: 'tool::send', input: { to: 'ada' } } }],
    })
  })

  it('has its question after a restart', async () => {
    world.begin(KEY)
    world.ask('1', 'tool::send', { to: 'ada' })
    world.restart()
    world.connect()
    expect(await world.query('engine::runs::list')).toMatchObject({
      runs: [{ status: 'parked', question: { step: '1', input: { to: 'ada' } } }],
    })
  })

  it('has its question after it was opened again', async () => {
    world.begin(KEY)
    world.ask('1', 'tool::send', { to: 'ada' })
    world.tool.fail(world.given(world.tool, 'tool::send'), 'upstream_timeout')
    world.settle()
    world.fail('upstream_timeout')
    world.begin(KEY)
    world.ask('1', 'tool::send', { to: 'ada' })
    expect(await world.query('engine::runs::list')).toMatchObject({
      runs: [{ status: 'parked', question: { step: '1', input: { to: 'ada' } } }],
    })
  })
})

describe('a caller', () => {
  const end = () => {
    world.begin(KEY)
    world.finish('end')
  }

  it('of a run that is over hears that the disk does not answer, not that its end is gone', () => {
    end()
    // The head can be read, its entries cannot.
    const { range } = world.store
    world.store.range = (_partition, _options, done) => done([], REFUSAL.error)
    const call = world.begin(KEY)
    expect(world.caller.code(call)).toBe('store_unavailable')
    const asked = world.caller.call('engine::runs::result', { data: { runId: world.runId } })
    world.settle()
    expect(world.caller.code(asked)).toBe('store_unavailable')
    world.store.range = range
    expect(world.caller.result(world.begin(KEY))?.result).toBe('end')
  })

  it('hears it of a run that cannot be looked up, and nothing is begun', async () => {
    end()
    const call = unreadable(() => world.begin(KEY))
    expect(world.caller.code(call)).toBe('store_unavailable')
    expect(world.flow.served).toHaveLength(1)
    expect(world.caller.result(world.begin(KEY))?.result).toBe('end')
  })

  it('with a stream has the result though the steps cannot be read', () => {
    const stream = { channel_id: 'c', access_key: 'k', direction: 'write' }
    const withStream = () => {
      const id = world.caller.call('flow::run', { data: { n: 1, stream }, ...KEY })
      world.settle()
      return id
    }
    withStream()
    const attempt = world.given(world.flow)
    world.does('1', 'tool::send', 'sent')
    const joined = withStream()
    const told = world.ask('2', 'tool::read')
    world.ask('2', 'tool::read', {}, { attempt })
    const { get } = world.store
    world.store.get = (partition, key) => {
      if (key.startsWith('e/')) throw new EngineError('store_unavailable', 'EIO')
      return get.call(world.store, partition, key)
    }
    // The result is written down, and the reader is told in the same callback of the disk.
    world.tool.answer(world.given(world.tool, 'tool::read'), 'read')
    expect(() => world.settle()).not.toThrow()
    expect(world.flow.result(told)).toBeUndefined()
    world.store.get = get
    later()
    expect(world.flow.result(told)?.result).toBe('read')
    world.flow.answer(attempt, 'end')
    world.settle()
    world.finish('told')
    expect(world.caller.result(joined)?.result).toBe('end')
  })

  it('who reads events is told that the disk does not answer', () => {
    end()
    const stream = { channel_id: 'c', access_key: 'k', direction: 'write' }
    const read = world.caller.call('engine::runs::events', { data: { runId: world.runId, stream } })
    // The entries are read; whether it was opened again after its end is not.
    const { get } = world.store
    world.store.get = () => {
      throw new EngineError('store_unavailable', 'EIO')
    }
    expect(() => world.settle()).not.toThrow()
    world.store.get = get
    expect(world.caller.result(read)).toBeDefined()
  })
})

describe('after a start', () => {
  const rebootUnreadable = (during: () => void = () => {}): void => {
    world.disk.unreadable = 'EIO'
    world.restart()
    world.connect()
    during()
    world.disk.unreadable = undefined
    later()
  }

  it('runs that cannot be read wait for the disk, and then go on', () => {
    world.begin(KEY)
    world.does('1', 'tool::send', 'sent')
    rebootUnreadable()
    expect(stepResult(world.ask('1', 'tool::send'))?.result).toBe('sent')
    world.finish('end')
    expect(world.caller.result(world.begin(KEY))?.result).toBe('end')
  })

  it('a head that cannot be read ends no process', () => {
    world.begin(KEY)
    const { store } = world
    world.restart({ waitsForClients: false })
    const get = world.store.get.bind(world.store)
    expect(world.store).not.toBe(store)
    let refused = 0
    world.store.get = (partition, key) => {
      if (key !== 'head' || refused > 0) return get(partition, key)
      refused += 1
      throw new EngineError('store_unavailable', 'EIO')
    }
    expect(() => later()).not.toThrow()
    expect(refused).toBe(1)
    world.connect()
    later()
    world.finish('end')
    expect(world.caller.result(world.begin(KEY))?.result).toBe('end')
  })

  it('callers hear that the disk does not answer', () => {
    world.begin(KEY)
    rebootUnreadable(() => {
      const call = world.begin({ idempotency_key: 'another' })
      later()
      expect(world.caller.code(call)).toBe('store_unavailable')
    })
  })
})

describe('a new run of which the disk took a part', () => {
  it('does not begin after a start either', async () => {
    const put = world.store.write.bind(world.store)
    world.store.write = (batch, done, options) =>
      batch[0]!.partition.startsWith('journal-key/') ? done(REFUSAL) : put(batch, done, options)
    expect(world.caller.code(world.begin(KEY))).toBe('store_unavailable')
    world.store.write = put
    world.restart()
    world.connect()
    expect(world.flow.served).toEqual([])
    expect([...(world.disk.partitions.get(OPEN)?.values() ?? [])].filter(({ value }) => value !== null)).toEqual([])
    const call = world.begin(KEY)
    world.finish('end')
    expect(world.caller.result(call)?.result).toBe('end')
  })
})

describe('a write of the journal that the disk refuses', () => {
  it('is tried again ever more rarely, and told once', () => {
    world.begin(KEY)
    world.disk.refusal = 'EIO'
    world.ask('1', 'engine::journal::record', { name: 'roll', result: 6 })
    let tries = 0
    const put = world.store.write.bind(world.store)
    world.store.write = (batch, done, options) => {
      if (batch[0]!.partition.startsWith('journal/')) tries += 1
      put(batch, done, options)
    }
    later()
    expect(tries).toBeLessThan(20)
    expect(tries).toBeGreaterThan(5)
    expect(world.warnings.filter((warning) => warning.includes('EIO'))).toHaveLength(1)
    world.disk.refusal = undefined
    later()
    world.finish('end')
    expect(world.caller.result(world.begin(KEY))?.result).toBe('end')
  })
})

describe('the sweep of runs that are over', () => {
  const DAY_MS = 24 * 3_600_000
  const isFinished = (partition: string) => partition === FINISHED
  const left = () => [...(world.disk.partitions.get(FINISHED)?.values() ?? [])].filter(({ value }) => value !== null)

  it('waits longer and longer while removals fail, says so once, and does its work when the disk answers', () => {
    // A sweep takes a whole page of them.
    for (let n = 0; n < 200; n += 1) {
      world.begin()
      world.finish('end')
    }
    const { range } = world.store
    let sweeps = 0
    world.store.range = (partition, options, done) => {
      if (isFinished(partition)) sweeps += 1
      range.call(world.store, partition, options, done)
    }
    world.disk.refusal = 'EIO'
    world.time.advance(7 * DAY_MS)
    sweeps = 0
    world.time.advance(DAY_MS)
    expect(sweeps).toBeGreaterThan(20)
    expect(sweeps).toBeLessThan(60)
    expect(world.warnings.filter((warning) => warning.includes('EIO'))).toHaveLength(1)
    expect(left()).toHaveLength(200)
    world.disk.refusal = undefined
    world.time.advance(2 * 3_600_000)
    expect(left()).toEqual([])
  })

  it('keeps the place of a run in its index until nothing else is left of it', () => {
    world.begin()
    world.finish('end')
    const put = world.store.write.bind(world.store)
    world.store.write = (batch, done, options) =>
      batch[0]!.partition.startsWith('journal-list/') && batch[0]!.op === 'delete'
        ? done(REFUSAL)
        : put(batch, done, options)
    world.time.advance(8 * DAY_MS)
    expect(left()).toHaveLength(1)
    world.store.write = put
    world.time.advance(DAY_MS)
    expect(
      [...world.disk.partitions.values()].flatMap((rows) => [...rows.values()]).filter(({ value }) => value),
    ).toEqual([])
  })
})
