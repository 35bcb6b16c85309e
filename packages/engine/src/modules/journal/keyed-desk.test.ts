import { beforeEach, describe, expect, it } from 'vitest'
import type { StoredRow } from '../../store/record.ts'
import type { Entry, RunHead } from './entry.ts'
import { JournalWorld } from './journal.fixture.ts'

let world: JournalWorld

beforeEach(() => {
  world = new JournalWorld()
})

/** Sends the owner's call and kills the engine behind the commit of a row; answers what the same call hears after that. */
function killed(functionId: string, data: object, isLast: (row: StoredRow) => boolean) {
  world.caller.call(functionId, { data, idempotency_key: 'k' })
  world.dieAfter(isLast)
  world.connect()
  return again(functionId, data)
}

function again(functionId: string, data: object) {
  const call = world.caller.call(functionId, { data, idempotency_key: 'k' })
  world.settle()
  return world.caller.result(call)
}

const isHead = (status: RunHead['status']) => (row: StoredRow) =>
  row.partition.startsWith('journal/') && row.key === 'head' && JSON.parse(row.value!).status === status

/** The head of a run, which is the last row of a batch, behind an entry of this kind. */
function isBehind(kind: Entry['kind']): (row: StoredRow) => boolean {
  let partition: string | undefined
  return (row) => {
    if (row.partition.startsWith('journal/') && JSON.parse(row.value!).kind === kind) partition = row.partition
    return row.partition === partition && row.key === 'head'
  }
}

describe('under an idempotency key, where the engine is killed behind what it wrote', () => {
  it('a signal has come once, and the same call is answered as the first, after the end of the run too', async () => {
    world.begin()
    const { runId } = world
    world.ask('1', 'engine::journal::wait', { name: 'go' })
    world.unwind()
    const data = { runId, name: 'go', value: 7 }
    const { result } = killed('engine::runs::signal', data, isBehind('signal'))!
    expect(result).toMatchObject({ runId })
    expect(world.flow.result(world.ask('1', 'engine::journal::wait', { name: 'go' }))?.result).toBe(7)
    world.finish('end')
    expect(again('engine::runs::signal', data)?.result).toMatchObject({ runId })
    const call = world.caller.call('engine::runs::signal', { data })
    world.settle()
    expect(world.caller.code(call)).toBe('conflict')
  })

  it('a decision is made once', () => {
    world.begin()
    const { runId } = world
    world.ask('1', 'tool::send')
    world.tool.close()
    world.settle()
    world.unwind()
    const data = { runId, answer: 'done', result: 'by hand' }
    expect(killed('engine::runs::resume', data, isBehind('resumed'))?.result).toMatchObject({ runId })
    expect(world.flow.result(world.ask('1', 'tool::send'))?.result).toBe('by hand')
    expect(again('engine::runs::resume', { ...data, result: 'other' })?.error?.code).toBe('key_reused')
  })

  it('a run is cancelled, and the same call says so', () => {
    world.begin()
    const data = { runId: world.runId }
    expect(killed('engine::runs::cancel', data, isHead('cancelled'))?.result).toMatchObject({ status: 'cancelled' })
  })

  it('a fork is begun once', async () => {
    world.begin()
    const { runId } = world
    world.does('1', 'tool::read', 'one')
    world.does('2', 'tool::read', 'two')
    world.finish('end')
    const data = { runId, from: '2' }
    const first = killed('engine::runs::replay', data, isHead('running'))?.result as { runId: string }
    expect(first).toMatchObject({ forkOf: { run: runId, step: '2' } })
    expect(again('engine::runs::replay', data)?.result).toMatchObject({ runId: first.runId })
    expect(((await world.query('engine::runs::list')).runs as unknown[]).length).toBe(2)
    expect(again('engine::runs::replay', { runId, from: '1' })?.error?.code).toBe('key_reused')
  })

  it('is asked anew where nothing was written', () => {
    world.begin()
    const data = { runId: world.runId, name: 'go' }
    expect(killed('engine::runs::signal', data, ({ partition }) => partition.startsWith('keys/'))?.result).toBeDefined()
  })
})
