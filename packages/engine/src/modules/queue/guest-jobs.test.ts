import { beforeEach, describe, expect, it } from 'vitest'
import { type CallAs, TestHost } from '../../../test/host.ts'
import { GUEST_REALM } from '../../core/context.ts'
import type { BuiltinCall, CallResult } from '../../core/module.ts'
import { MemoryDisk } from '../../store/memory-store.ts'
import { createQueueModule } from './module.ts'
import { namedQueues, QueueFile } from './settings.ts'

const GUEST = { kind: 'guest', realm: GUEST_REALM } as const
const OWNER = { kind: 'owner', realm: GUEST_REALM } as const
const LIMIT = 5_000
const DATA = 'x'.repeat(1_000)
const FULL = {
  ok: false,
  error: { code: 'overloaded', message: expect.stringContaining('agentos.guests.limits.queued_bytes') },
}

let disk: MemoryDisk
let host: TestHost

beforeEach(() => {
  disk = new MemoryDisk()
  boot()
})

function boot(): void {
  const queues = namedQueues(QueueFile.parse({ queue_configs: { once: { max_retries: 0 } } }))
  const wall = host?.time.now()
  const module = createQueueModule({ queues })
  host = new TestHost([module], { disk, guestLimits: { queued_bytes: LIMIT }, ...(wall ? { wall } : {}) })
  host.time.advance(0)
}

function enqueue(as: CallAs, queue = 'default'): CallResult | undefined {
  const results: CallResult[] = []
  host.core.enqueue({
    queue,
    functionId: 'app::work',
    payload: { value: DATA },
    context: host.context(as),
    caller: {},
    onResult: (result) => results.push(result),
  })
  host.time.advance(0)
  return results[0]
}

const held = (): number => host.core.guestShare.heldOf('queued_bytes')
/** How many are taken before one is refused. */
function fill(as: CallAs = GUEST): number {
  for (let n = 0; n < 100; n += 1) if (!enqueue(as)?.ok) return n
  return 100
}

describe('the jobs of guests', () => {
  it('have so many bytes, which ends with them; the owner has others, in their realm too', () => {
    const taken = fill()
    expect(taken).toBeGreaterThan(1)
    expect(taken).toBeLessThan(5)
    expect(held()).toBeLessThanOrEqual(LIMIT)
    expect(enqueue(GUEST)).toMatchObject(FULL)
    expect(enqueue({ kind: 'owner' })).toMatchObject({ ok: true })
    const before = held()
    expect(enqueue(OWNER)).toMatchObject({ ok: true })
    expect(held()).toBeGreaterThan(before)
    host.handler('app::work', (call: BuiltinCall) => call.reply())
    host.time.advance(60_000)
    expect(held()).toBe(0)
    expect(enqueue(GUEST)).toMatchObject({ ok: true })
  })

  it('count dead letters, until they are taken away or expire', () => {
    host.handler('app::work', (call: BuiltinCall) => call.fail('boom', 'e'.repeat(LIMIT)))
    expect(enqueue(GUEST, 'once')).toMatchObject({ ok: true })
    host.time.advance(10_000)
    expect(held()).toBeGreaterThan(LIMIT)
    expect(enqueue(GUEST)).toMatchObject(FULL)
    host.value('iii::queue::redrive', { queue: 'once' }, OWNER)
    host.time.advance(10_000)
    expect(held()).toBeGreaterThan(LIMIT)
    host.time.advance(366 * 24 * 3_600_000)
    expect(enqueue(GUEST)).toMatchObject({ ok: true })
    expect(held()).toBeLessThan(LIMIT)
  })

  it('are counted again at a start', () => {
    fill()
    host.handler('app::work', (call: BuiltinCall) => call.fail('boom', 'no'))
    const before = held()
    expect(before).toBeGreaterThan(1_000)
    boot()
    expect(held()).toBe(before)
    expect(enqueue(GUEST)).toMatchObject(FULL)
  })

  it('are refused whole where a message is for several', () => {
    for (const n of [1, 2, 3, 4, 5, 6]) {
      const grant = { principal: { kind: 'guest' as const, id: 'guest' }, realm: GUEST_REALM }
      host.bind('durable:subscriber', `app::f${n}`, { topic: 't' }, { grant })
    }
    expect(host.call('iii::durable::publish', { topic: 't', data: DATA }, GUEST)).toMatchObject(FULL)
    expect(held()).toBe(0)
  })
})
