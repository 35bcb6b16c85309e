import type { ToSupervisor } from '@agentos/protocol'
import { describe, expect, it } from 'vitest'
import { installed, startCore } from '../../test/peers.ts'
import { DEFAULT_REALM } from './context.ts'
import { IdleWatch } from './idle-watch.ts'

const IDLE_MS = 1_000

/** An on-demand worker `w` with one process, and what the engine tells its supervisor. */
function supervised() {
  const started = startCore({ workers: [installed('w', [{ id: 'w::f' }], { start: 'on-demand' })] })
  const told: ToSupervisor[] = []
  const tell = (message: ToSupervisor): void => void told.push(message)
  started.core.supervision.update({ w: 'up' }, tell)
  new IdleWatch(started.core, IDLE_MS).start()
  const process = started.worker('w')
  process.register('w::f')
  return { ...started, told, tell, process }
}

describe('an on-demand worker', () => {
  it('is let go when nothing happens, and what comes then waits and asks for it', () => {
    const { time, told, guest, process, worker } = supervised()
    time.advance(3 * IDLE_MS)
    expect(told).toEqual([{ type: 'idle', worker: 'w' }])
    const caller = guest()
    const call = caller.call('w::f')
    expect(process.served).toEqual([])
    expect(told.at(-1)).toEqual({ type: 'needed', worker: 'w' })
    const next = worker('w')
    next.register('w::f')
    next.answer(next.served[0]!, 'woken')
    expect(caller.result(call)).toMatchObject({ result: 'woken' })
  })

  it('is kept while it serves a call', () => {
    const { time, told, guest, process } = supervised()
    guest().call('w::f')
    time.advance(10 * IDLE_MS)
    expect(told).toEqual([])
    process.answer(process.served[0]!)
    time.advance(3 * IDLE_MS)
    expect(told).toEqual([{ type: 'idle', worker: 'w' }])
  })

  it('is kept while a call of its own is under way', () => {
    const { core, time, told, worker, process } = supervised()
    const other = worker('other')
    other.register('other::slow')
    process.call('other::slow')
    time.advance(10 * IDLE_MS)
    expect(told).toEqual([])
    expect(core.supervision.stateOf('w')).toBe('up')
    other.answer(other.served[0]!)
    time.advance(3 * IDLE_MS)
    expect(told).toEqual([{ type: 'idle', worker: 'w' }])
  })

  it('is kept while work goes on after an answer', () => {
    const { time, told, guest, process } = supervised()
    guest().call('w::f')
    const [call] = process.served
    const detach = { invocation_id: call!.invocation_id, deadline_ms: 5 * IDLE_MS }
    process.call('engine::calls::detach', { data: detach, parent: call!.invocation_id })
    process.answer(call!)
    time.advance(4 * IDLE_MS)
    expect(told).toEqual([])
    time.advance(5 * IDLE_MS)
    expect(told).toEqual([{ type: 'idle', worker: 'w' }])
  })

  it('is kept while it does something of its own now and then', () => {
    const { time, told, process } = supervised()
    for (let n = 0; n < 20; n += 1) {
      time.advance(IDLE_MS / 2)
      process.call('engine::functions::list')
    }
    expect(told).toEqual([])
  })

  it('is never let go without a supervisor, and serves again where that goes away in between', () => {
    const { core, time, told, process } = supervised()
    time.advance(3 * IDLE_MS)
    expect(told).toHaveLength(1)
    core.supervisorLost()
    expect(process.connection.open).toBe(false)
    const {
      core: alone,
      time: clock,
      worker,
    } = startCore({
      workers: [installed('w', [{ id: 'w::f' }], { start: 'on-demand' })],
    })
    new IdleWatch(alone, IDLE_MS).start()
    worker('w').register('w::f')
    clock.advance(10 * IDLE_MS)
    expect(alone.registry.registrations('w::f', DEFAULT_REALM)).toHaveLength(1)
  })
})

describe('a call that waits', () => {
  it('asks once for its worker, and again where that fell asleep meanwhile', () => {
    const { core, time, told, tell, guest } = supervised()
    time.advance(3 * IDLE_MS)
    const caller = guest()
    for (let n = 0; n < 5; n += 1) caller.call('w::f')
    expect(told.filter(({ type }) => type === 'needed')).toHaveLength(1)
    // Said before it heard of the call: the end of the process that was let go.
    core.supervision.update({ w: 'up' }, tell)
    core.supervision.update({ w: 'asleep' }, tell)
    expect(told.filter(({ type }) => type === 'needed')).toHaveLength(2)
  })

  it('asks as soon as there is a supervisor', () => {
    const { core, guest } = startCore({ workers: [installed('w', [{ id: 'w::f' }], { start: 'on-demand' })] })
    guest().call('w::f')
    const told: ToSupervisor[] = []
    core.supervision.update({ w: 'asleep' }, (message) => void told.push(message))
    expect(told).toEqual([{ type: 'needed', worker: 'w' }])
  })

  it('is refused at once where its worker is held', () => {
    const { core, guest } = startCore({ workers: [installed('w', [{ id: 'w::f' }])] })
    core.supervision.update({ w: 'held' }, () => {})
    const caller = guest()
    const call = caller.call('w::f')
    expect(caller.result(call)?.error).toMatchObject({
      code: 'worker_unavailable',
      message: expect.stringContaining('npm run agentos -- restart w'),
      details: { worker: 'w', state: 'held' },
    })
  })
})

describe('the list of workers', () => {
  it('says why one has no process', () => {
    const names = ['asleep', 'held', 'starting', 'restarting', 'up'] as const
    const { core, owner } = startCore({ workers: names.map((name) => installed(name, [])) })
    const caller = owner()
    const listed = (status?: string): unknown[] => {
      const call = caller.call('engine::workers::list', { data: status === undefined ? {} : { status } })
      const { workers } = caller.result(call)!.result as { workers: { name: string; status: string }[] }
      return workers.map(({ name, status: told }) => [name, told])
    }
    // Nobody supervises: nobody is going to start them.
    expect(listed('down')).toHaveLength(5)
    core.supervision.update(Object.fromEntries(names.map((name) => [name, name])), () => {})
    for (const name of ['asleep', 'held', 'starting', 'restarting']) expect(listed(name)).toEqual([[name, name]])
    expect(listed('down')).toEqual([['up', 'down']])
    expect(listed()).toEqual([])
  })
})

describe('engine::workers::problem', () => {
  it('is what an installed worker says of itself, until it takes it back or is gone', () => {
    const { worker, guest, owner } = startCore({ workers: [installed('w', [])] })
    const one = worker('w')
    one.call('engine::workers::register', { data: { pid: 7 } })
    const say = (peer: ReturnType<typeof owner>, problem: unknown) =>
      peer.code(peer.call('engine::workers::problem', { data: { problem } }))
    const caller = owner()
    const listed = (): unknown => {
      const call = caller.call('engine::workers::list', { data: {} })
      const { workers } = caller.result(call)!.result as { workers: { name: string; problems?: string[] }[] }
      return workers.find(({ name }) => name === 'w')?.problems
    }
    expect(say(guest(), 'I am ill')).toBe('forbidden')
    expect(listed()).toBeUndefined()
    expect(say(one, 'no checkpoint could be written')).toBeUndefined()
    expect(listed()).toEqual(['no checkpoint could be written'])
    expect(say(one, null)).toBeUndefined()
    expect(listed()).toBeUndefined()
  })
})

describe('engine::workers::restart', () => {
  it('is for the owner, names an installed worker, and needs a supervisor', () => {
    const { core, guest, owner } = startCore({ workers: [installed('w', [])] })
    const restart = (peer: ReturnType<typeof owner>, name: unknown) =>
      peer.code(peer.call('engine::workers::restart', { data: { name } }))
    const error = (peer: ReturnType<typeof owner>, name: unknown) =>
      peer.result(peer.call('engine::workers::restart', { data: { name } }))?.error
    expect(restart(guest(), 'w')).toBe('forbidden')
    expect(error(owner(), 'w')).toMatchObject({ code: 'worker_unavailable', details: { supervisor: 'none' } })
    const told: ToSupervisor[] = []
    core.supervision.update({ w: 'held' }, (message) => void told.push(message))
    expect(restart(owner(), 'nobody')).toBe('NOT_FOUND')
    expect(restart(owner(), 7)).toBe('deserialization_error')
    expect(restart(owner(), 'w')).toBeUndefined()
    expect(restart(owner(), 'engine')).toBeUndefined()
    expect(told).toEqual([
      { type: 'restart', worker: 'w' },
      { type: 'restart', worker: 'engine' },
    ])
    core.supervisorLost()
    expect(error(owner(), 'w')).toMatchObject({
      message: expect.stringContaining('is gone'),
      details: { supervisor: 'gone' },
    })
  })
})

describe('engine::workers::kill', () => {
  it('is for the owner, of an installed worker that runs, and needs a supervisor', () => {
    const { core, guest, owner } = startCore({ workers: [installed('w', [])] })
    const kill = (peer: ReturnType<typeof owner>, name: unknown) =>
      peer.code(peer.call('engine::workers::kill', { data: { name } }))
    expect(kill(guest(), 'w')).toBe('forbidden')
    expect(kill(owner(), 'w')).toBe('worker_unavailable')
    const told: ToSupervisor[] = []
    const tell = (message: ToSupervisor): void => void told.push(message)
    core.supervision.update({ w: 'asleep' }, tell)
    expect(kill(owner(), 'nobody')).toBe('NOT_FOUND')
    expect(kill(owner(), 'w')).toBe('conflict')
    expect(told).toEqual([])
    core.supervision.update({ w: 'up' }, tell)
    expect(kill(owner(), 'w')).toBeUndefined()
    expect(told).toEqual([{ type: 'kill', worker: 'w' }])
  })
})
