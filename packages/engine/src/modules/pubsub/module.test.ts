import { beforeEach, describe, expect, it } from 'vitest'
import { TestHost } from '../../../test/host.ts'
import { createPubsubModule } from './module.ts'

let host: TestHost

beforeEach(() => {
  const workers = [{ name: 'security', owns: { scopes: [], streams: [], topics: ['alarms'] } }]
  host = new TestHost([createPubsubModule()], { workers })
})

describe('publish and subscribe', () => {
  it('hand each message to each subscriber of its topic, as it is', () => {
    const a = host.handler('app::a')
    const b = host.handler('app::b')
    host.bind('subscribe', 'app::a', { topic: 'news' })
    host.bind('subscribe', 'app::b', { topic: 'news' })
    host.bind('subscribe', 'app::b', { topic: 'other' })
    expect(host.call('publish', { topic: 'news', data: { n: [1] } })).toEqual({ ok: true, payload: undefined })
    expect([a.map((call) => call.input), b.map((call) => call.input)]).toEqual([[{ n: [1] }], [{ n: [1] }]])
  })

  it('do not wait for a subscriber, and one that fails keeps nobody else', () => {
    host.handler('app::broken', (call) => call.fail('invocation_failed', 'no'))
    host.handler('app::slow', () => {})
    const calls = host.handler('app::fine')
    for (const id of ['app::broken', 'app::slow', 'app::nobody', 'app::fine'])
      host.bind('subscribe', id, { topic: 't' })
    expect(host.call('publish', { topic: 't', data: 1 })?.ok).toBe(true)
    expect(calls).toHaveLength(1)
  })

  it('need a topic', () => {
    expect(host.error('publish', { topic: '', data: 1 }).code).toBe('topic_not_set')
    expect(host.error('publish', { data: 1 }).code).toBe('deserialization_error')
    expect(host.bind('subscribe', 'app::a', {})).toMatch(/missing field `topic`/)
    expect(host.bind('subscribe', 'app::a', { topic: '' })).toMatch(/not set/)
  })

  it('keep realms apart for guests; installed workers hear of each in its realm', () => {
    const guest = host.handler('app::guest')
    const worker = host.handler('app::worker')
    host.bind('subscribe', 'app::guest', { topic: 't' })
    host.bind('subscribe', 'app::worker', { topic: 't' }, { worker: 'memory' })
    host.value('publish', { topic: 't', data: 1 }, { realm: 'realm-a', traceId: 'cd'.repeat(16) })
    expect(guest).toEqual([])
    expect(worker[0]!.context).toMatchObject({
      realm: 'realm-a',
      principal: { kind: 'system', id: 'memory' },
      traceId: 'cd'.repeat(16),
    })
    host.value('publish', { topic: 't', data: 2 })
    expect([guest.length, worker.length]).toEqual([1, 2])
  })

  it('keep an owned topic to its owner', () => {
    expect(host.error('publish', { topic: 'alarms', data: 1 }).code).toBe('forbidden')
    expect(host.bind('subscribe', 'app::a', { topic: 'alarms' })).toMatch(/belongs to the worker security/)
    const calls = host.handler('security::on_alarm')
    host.bind('subscribe', 'security::on_alarm', { topic: 'alarms' }, { worker: 'security' })
    host.value('publish', { topic: 'alarms', data: 1 }, { worker: 'security' })
    expect(calls).toHaveLength(1)
  })

  it('forget one subscriber without the others of its topic', () => {
    const calls = host.handler('app::a')
    host.bind('subscribe', 'app::a', { topic: 't' }, { id: 'one' })
    host.bind('subscribe', 'app::a', { topic: 't' }, { id: 'two' })
    host.unbind('one')
    host.value('publish', { topic: 't', data: 1 })
    expect(calls).toHaveLength(1)
  })
})
