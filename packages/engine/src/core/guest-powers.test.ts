import { describe, expect, it } from 'vitest'
import { ManualTime } from '../../test/host.ts'
import { installed, Peer, startCore } from '../../test/peers.ts'
import { DEFAULT_REALM, GUEST_REALM } from './context.ts'
import type { GuestPower } from './guest-powers.ts'

const workers = [
  installed('agent-core', [{ id: 'agent::chat' }, { id: 'agent::create' }]),
  installed('llm-router', [{ id: 'llm::complete' }]),
  installed('streaming', [{ id: 'stream::completion' }]),
  installed('memory', [{ id: 'memory::store' }]),
]

function startWithout(...powers: GuestPower[]) {
  const guestsMay = Object.fromEntries(powers.map((power) => [power, false]))
  const started = startCore({ workers, guestsMay, time: new ManualTime(Date.parse('2026-11-22T16:00:00Z')) })
  const agents = started.worker('agent-core')
  const router = started.worker('llm-router')
  const streaming = started.worker('streaming')
  agents.register('agent::chat')
  agents.register('agent::create')
  router.register('llm::complete')
  streaming.register('stream::completion')
  return { ...started, agents, router, streaming, guest: new Peer(started.core, { kind: 'guest', id: 'guest' }) }
}

/** What a call ended with, `served` where it was handed to a worker. */
function outcome(peer: Peer, functionId: string, more: object = {}): string {
  const id = peer.call(functionId, more)
  return peer.code(id) ?? 'served'
}

describe('what config.yaml keeps from guests', () => {
  it.each([
    ['chat', 'agent::chat'],
    ['models', 'llm::complete'],
    ['agents', 'agent::create'],
    ['memory', 'memory::store'],
  ] as const)('%s: %s is refused to them with the name of the setting, and to nobody else', (power, functionId) => {
    const { guest, owner } = startWithout(power)
    const id = guest.call(functionId)
    expect(guest.result(id)?.error).toMatchObject({
      code: 'forbidden',
      message: expect.stringContaining(`guests.allow.${power} to true`),
      details: { setting: `agentos.guests.allow.${power}` },
    })
    expect(outcome(guest, functionId, { agent: 'default' })).toBe('forbidden')
    expect(outcome(owner(), functionId)).toBe('served')
    const other = startWithout()
    expect(outcome(other.guest, functionId)).toBe('served')
  })

  it('chat, models: by way of a worker between, too; what an agent asks of a model is part of its chat', () => {
    const within = (power: GuestPower, functionId: string, by: 'agents' | 'streaming') => {
      const system = startWithout(power)
      system.guest.call(by === 'agents' ? 'agent::chat' : 'stream::completion')
      const [served] = system[by].served
      return outcome(system[by], functionId, { parent: served!.invocation_id })
    }
    expect(within('chat', 'agent::chat', 'streaming')).toBe('forbidden')
    expect(within('models', 'llm::complete', 'streaming')).toBe('forbidden')
    expect(within('models', 'agent::chat', 'streaming')).toBe('served')
    expect(within('models', 'llm::complete', 'agents')).toBe('served')
    expect(within('state', 'memory::store', 'agents')).toBe('served')
  })

  it('register: functions, triggers and trigger types; nothing stands, and they hear why', () => {
    const { guest, core, warnings } = startWithout('register')
    guest.register('shop::price')
    guest.tell({ type: 'registertrigger', id: 't1', trigger_type: 'cron', function_id: 'shop::price', config: {} })
    guest.tell({ type: 'registertriggertype', id: 'mine', description: 'mine' })
    expect(guest.received.filter(({ type }) => type.endsWith('result'))).toMatchObject([
      {
        type: 'functionregistrationresult',
        error: { code: 'forbidden', message: expect.stringContaining('guests.allow.register') },
      },
      {
        type: 'triggerregistrationresult',
        error: { code: 'forbidden', message: expect.stringContaining('guests.allow.register') },
      },
    ])
    expect(guest.received.filter(({ type }) => type === 'error')).toMatchObject([
      { error: { code: 'forbidden', message: expect.stringMatching(/trigger type mine .*guests\.allow\.register/) } },
    ])
    expect(core.registry.registrations('shop::price', GUEST_REALM)).toEqual([])
    expect([...core.triggers.all()]).toEqual([])
    expect(warnings.filter((warning) => warning.includes('guests.allow.register'))).toHaveLength(3)
  })

  it.each([
    ['state', 'state'],
    ['queues', 'subscribe'],
    ['queues', 'durable:subscriber'],
  ] as const)('%s: no trigger of the type %s either', (power, type) => {
    const bind = (peer: Peer) => {
      peer.tell({ type: 'registertrigger', id: 't1', trigger_type: type, function_id: 'shop::price', config: {} })
      return peer.received.filter((frame) => frame.type === 'triggerregistrationresult')
    }
    const { core, guest, owner } = startWithout(power)
    const message = expect.stringContaining(`guests.allow.${power}`)
    expect(bind(guest)).toMatchObject([{ error: { code: 'forbidden', message } }])
    expect([...core.triggers.all()]).toEqual([])
    expect(bind(owner())).toEqual([])
    expect(bind(startWithout().guest)).toEqual([])
  })

  it('queues: nothing is put off', () => {
    const { guest } = startWithout('queues')
    const id = guest.call('shop::price', { action: { type: 'enqueue', queue: 'default' } })
    expect(guest.result(id)?.error).toMatchObject({
      code: 'enqueue_error',
    })
  })
})

describe('a function that a guest registered', () => {
  it('is reached from the guests’ realm alone, and acts there whoever calls it', () => {
    const { core, guest, owner, time } = startCore()
    const shop = guest()
    shop.register('shop::price')
    shop.register('shop::other')
    expect(outcome(owner(), 'shop::price')).toBe('function_not_found')
    const visitor = owner()
    visitor.call('shop::price', { realm: 'guest' })
    const [served] = shop.served
    expect(served?.context).toMatchObject({ realm: GUEST_REALM })
    // What it calls meanwhile, with and without naming its parent, and what it calls after its answer.
    const parent = served!.invocation_id
    shop.call('shop::other', { parent })
    shop.call('shop::other')
    const detached = shop.call('engine::calls::detach', { data: { invocation_id: parent, deadline_ms: 60_000 } })
    time.advance(0)
    expect(shop.result(detached)?.result).toEqual({ detached: true })
    shop.answer(served!)
    shop.call('shop::other', { parent })
    const made = shop.served.filter(({ function_id }) => function_id === 'shop::other')
    expect(made).toHaveLength(3)
    for (const { context } of made) expect(context).toMatchObject({ realm: GUEST_REALM, principal: { kind: 'guest' } })
    for (const under of [{}, { parent }]) {
      const id = shop.call('shop::other', { realm: DEFAULT_REALM, ...under })
      expect(shop.code(id)).toBe('forbidden')
    }
    expect(core.registry.registrations('shop::price', DEFAULT_REALM)).toEqual([])
  })
})
