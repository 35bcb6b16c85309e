import { EventEmitter } from 'node:events'
import { KnownSecrets, type ToEngine, type ToSupervisor } from '@agentos/protocol'
import { describe, expect, it } from 'vitest'
import { installed, type Peer, startCore } from '../test/peers.ts'
import { type ChannelEnd, SupervisorChannel } from './supervisor-channel.ts'

/** An engine's core, and the supervisor's end of the channel to it. */
function supervised() {
  const { core, worker } = startCore({ workers: [installed('w', [{ id: 'w::f' }])] })
  const told: ToSupervisor[] = []
  const end = Object.assign(new EventEmitter(), {
    connected: true,
    send: (message: ToSupervisor) => told.push(message) > 0,
  })
  const channel = new SupervisorChannel(new KnownSecrets(), end as unknown as ChannelEnd)
  const say = (message: ToEngine): void => void end.emit('message', message)
  return { core, worker, told, say, up: () => channel.up(core, FACTS) }
}

const workersUp: ToEngine = { type: 'workers', states: { w: 'up' } }
const FACTS = { workerPort: 1, http: undefined, settings: {} }
const UP = { type: 'up', ...FACTS }
const CONNECTED = { type: 'connected', pid: 7 }

const introduce = (peer: Peer): void => void peer.call('engine::workers::register', { data: { pid: 7 } })

describe('what a supervisor says before the engine is up', () => {
  it('is heard: whoever connects after that is told of', () => {
    const { core, worker, told, say, up } = supervised()
    say({ type: 'workers', states: { w: 'starting' } })
    say(workersUp)
    up()
    expect(core.supervision.stateOf('w')).toBe('up')
    introduce(worker('w'))
    expect(told).toEqual([UP, CONNECTED])
  })

  it('is heard: whoever connected before that is told of, behind the word that the engine is up', () => {
    const { worker, told, say, up } = supervised()
    say(workersUp)
    introduce(worker('w'))
    up()
    expect(told).toEqual([UP, CONNECTED])
  })
})

describe('a heartbeat', () => {
  it('is answered before the engine is up and after', () => {
    const { told, say, up } = supervised()
    say({ type: 'ping' })
    expect(told).toEqual([{ type: 'pong' }])
    up()
    say({ type: 'ping' })
    expect(told).toEqual([{ type: 'pong' }, UP, { type: 'pong' }])
  })
})

describe('a process that loses its connection', () => {
  it('is told of, unless it is back already', () => {
    const { worker, told, say, up } = supervised()
    up()
    say(workersUp)
    const [first, second] = [worker('w'), worker('w')]
    introduce(first)
    introduce(second)
    first.close()
    expect(told).toEqual([UP, CONNECTED, CONNECTED])
    second.close()
    expect(told.at(-1)).toEqual({ type: 'gone', pid: 7 })
  })
})

describe('a supervisor that speaks only after the engine is up', () => {
  it('is told of those that have connected, once', () => {
    const { worker, told, say, up } = supervised()
    up()
    introduce(worker('w'))
    expect(told).toEqual([UP])
    say(workersUp)
    say(workersUp)
    expect(told).toEqual([UP, CONNECTED])
  })
})
