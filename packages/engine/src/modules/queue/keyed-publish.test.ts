import { beforeEach, describe, expect, it } from 'vitest'
import { type Peer, startCore } from '../../../test/peers.ts'
import { MemoryDisk } from '../../store/memory-store.ts'
import type { StoredRow } from '../../store/record.ts'
import { createKeysModule } from '../keys/module.ts'
import { createQueueModule } from './module.ts'

let disk: MemoryDisk
let engine: ReturnType<typeof startCore>
let caller: Peer
let worker: Peer

beforeEach(() => {
  disk = new MemoryDisk()
  boot()
})

/** Another engine starts on the disk; what the one before had not committed is gone. */
function restart(): void {
  engine.time.reset()
  boot(engine.time)
}

/** From the commit of this row on nothing comes to the disk, as where the engine is killed just then. */
function dieAfter(isLast: (row: StoredRow) => boolean, work: () => void): void {
  const put = disk.put.bind(disk)
  let isDead = false
  disk.put = (row) => {
    if (isDead) return
    put(row)
    isDead = isLast(row)
  }
  work()
  disk.put = put
  expect(isDead).toBe(true)
  restart()
}

function boot(time?: typeof engine.time): void {
  const modules = [createKeysModule({ kept: 100, bytes: 100_000, maxResultBytes: 1_000 }), createQueueModule()]
  engine = startCore({ disk, modules, ...(time ? { time } : {}) })
  engine.time.advance(0)
  caller = engine.owner()
  worker = engine.owner()
  for (const name of ['a', 'b']) {
    worker.register(`news::${name}`)
    const config = { topic: 'news', queue_config: { type: 'fifo', messageGroupField: 'group' } }
    const binding = { id: name, trigger_type: 'durable:subscriber', function_id: `news::${name}`, config }
    worker.tell({ type: 'registertrigger', ...binding })
  }
  engine.time.advance(0)
}

function call(id: string, data: object, key?: string, by = caller): unknown {
  const sent = by.call(id, { data, ...(key === undefined ? {} : { idempotency_key: key }) })
  engine.time.advance(0)
  const frame = by.result(sent)
  return frame?.error ? frame.error.code : frame && 'answered'
}

const MESSAGE = { topic: 'news', data: { group: 'g', n: 1 } }
const publish = (key?: string, message: object = MESSAGE, by?: Peer) => call('iii::durable::publish', message, key, by)

/** What each subscriber was given, by everything that this life of the engine delivers. */
function heard(): unknown[] {
  for (const given of worker.served) worker.answer(given)
  engine.time.advance(0)
  return worker.served.map(({ function_id, data }) => [function_id, (data as { n: number }).n])
}

const ONCE = [
  ['news::a', 1],
  ['news::b', 1],
]

describe('a message that is published under an idempotency key', () => {
  it('is there once for each subscriber where the engine is killed between the job and the answer', () => {
    const isKeyOfJob = ({ partition, key }: StoredRow) => partition.startsWith('queue/') && key.includes('key/')
    dieAfter(isKeyOfJob, () => publish('k'))
    // The same message, written in another order.
    expect(publish('k', { data: { n: 1, group: 'g' }, topic: 'news' })).toBe('answered')
    expect(publish('k')).toBe('answered')
    expect(heard()).toHaveLength(2)
    expect(heard()).toEqual(expect.arrayContaining(ONCE))
  })

  it('is taken at the next call where the engine is killed behind the note of its key', () => {
    dieAfter(
      ({ partition }) => partition.startsWith('keys/'),
      () => publish('k'),
    )
    expect(publish('k')).toBe('answered')
    expect(heard()).toEqual(ONCE)
  })

  it('is refused with other data, and another message under another key', () => {
    expect(publish('k')).toBe('answered')
    expect(publish('k', { ...MESSAGE, data: { group: 'g', n: 2 } })).toBe('key_reused')
    expect(publish('other')).toBe('answered')
    expect(heard()).toHaveLength(4)
  })
})
