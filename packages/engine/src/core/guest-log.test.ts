import { describe, expect, it } from 'vitest'
import { TestHost } from '../../test/host.ts'
import { Peer } from '../../test/peers.ts'
import { createTracesModule } from '../modules/traces/module.ts'

const LONG = 'x'.repeat(20_000)
const ALLOWANCE = 64 * 1024

function start() {
  const host = new TestHost([createTracesModule({ version: '0' })])
  const guest = (): Peer => new Peer(host.core, { kind: 'guest', id: 'guest' })
  const owner = new Peer(host.core, { kind: 'owner', id: 'owner' })
  const bytes = (): number => host.logged.reduce((sum, line) => sum + JSON.stringify(line).length, 0)
  return { host, guest, owner, bytes }
}

/** Each leaves a line in the log. */
const FRAMES: Record<string, (n: number) => object> = {
  'triggers of no type': (n) => trigger(`${n}${LONG}`),
  'triggers that are refused': (n) => ({ ...trigger(`${n}${LONG}`), function_id: 'engine::kill', trigger_type: LONG }),
  'functions of others': (n) => ({ type: 'registerfunction', id: `engine::${n}${LONG}` }),
  'malformed frames': (n) => ({ type: `${n}${LONG}` }),
}

const trigger = (id: string): object => ({
  type: 'registertrigger',
  id,
  trigger_type: 'none',
  function_id: 'a::b',
  config: {},
})

describe('what guests send', () => {
  it.each(Object.entries(FRAMES))('fills no log with %s, by however many connections', (_name, frame) => {
    const { host, guest, bytes } = start()
    for (let n = 0; n < 60; n += 1) {
      const peer = guest()
      for (let k = 0; k < 10; k += 1) peer.tell(frame(n * 10 + k))
      peer.close()
    }
    expect(bytes()).toBeLessThan(ALLOWANCE + 4_096)
    for (const line of host.logged) expect(JSON.stringify(line).length).toBeLessThan(2_000)
  })

  it('shares one allowance with their log records; what was left out is told once a minute, and the owner is heard', () => {
    const { host, guest, owner } = start()
    const peer = guest()
    for (let n = 0; n < 1_000; n += 1) peer.tell(trigger(`t${n}`))
    const { length } = host.logged
    expect(length).toBeLessThan(1_000)
    host.value('engine::log::info', { message: 'm'.repeat(2_000) }, { kind: 'guest', realm: 'realm-guest' })
    expect(host.logged).toHaveLength(length)
    owner.tell(trigger('mine'))
    expect(host.logged.at(-1)!.fields).toMatchObject({ trigger: 'mine' })
    host.time.advance(60_000)
    expect(host.logged.slice(length + 1)).toEqual([
      { level: 'warn', message: expect.stringContaining('left out'), fields: { records: 1_001 - length } },
    ])
    host.time.advance(600_000)
    expect(host.logged).toHaveLength(length + 2)
  })

  it('has a part of each text of theirs; of the owner’s too', () => {
    const { host, guest, owner } = start()
    guest().tell(trigger(LONG))
    expect(host.logged).toHaveLength(1)
    owner.tell(trigger(LONG))
    expect(host.logged).toHaveLength(2)
    for (const line of host.logged) expect(JSON.stringify(line).length).toBeLessThan(2_000)
  })
})
