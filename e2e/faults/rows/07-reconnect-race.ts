import { setTimeout as delay } from 'node:timers/promises'
import { registerWorker } from '@agentos/sdk'
import { startCutProxy } from '@agentos/testing'
import { listed } from '../harness/observe.ts'
import type { Row } from '../harness/row.ts'
import { until } from '../harness/waits.ts'
import { WirePeer } from '../harness/wire.ts'

const GOAL_MS = 1_000
const LIMIT_MS = 10_000

/**
 * A worker's connection breaks on its own side; it is back on a new one while the engine still believes in the old one,
 * whose end comes 0.9 to 1.05 s later. One worker tells the engine that it is the same, as our SDK does; the other says
 * nothing, as clients of the protocol may. After each cut, functions and routes are what they were.
 */
export const row: Row = {
  row: 7,
  title: 'reconnect race',
  rounds: { full: 100, short: 5 },
  unit: 'cuts',

  async run(env, findings) {
    const system = await env.engine()
    const proxy = await startCutProxy(system.wsUrl)
    env.cleanUp(() => proxy.close())
    const sdk = registerWorker(proxy.url, {})
    env.cleanUp(() => sdk.shutdown())
    for (const name of ['one', 'two']) {
      sdk.registerFunction(`race::${name}`, async () => ({ body: name }))
      const config = { api_path: `race/${name}`, http_method: 'GET' }
      sdk.registerTrigger({ type: 'http', function_id: `race::${name}`, config })
    }
    let plain = await openPlain(proxy.url)
    env.cleanUp(() => plain.terminate())
    const observer = system.client()
    const expected = ['race::one', 'race::plain', 'race::two']
    const whole = async (): Promise<boolean> => {
      for (const path of ['one', 'two', 'plain']) {
        if ((await system.api('GET', `/race/${path}`)).text !== `"${path}"`) return false
      }
      return (await listed(observer, 'race::')).join() === expected.join()
    }
    if (!(await until(whole, LIMIT_MS))) return findings.hung('the routes before the first cut')
    for (let cut = 1; cut <= env.rounds; cut += 1) {
      proxy.cut('client')
      const cutAt = performance.now()
      plain = await openPlain(proxy.url)
      if (!(await until(whole, LIMIT_MS, 2))) findings.hung(`functions and routes after cut ${cut}`)
      findings.time('functions and routes back after a cut', performance.now() - cutAt, GOAL_MS)
      await delay(Math.max(0, env.between(900, 1_050) - (performance.now() - cutAt)))
      proxy.release()
      // The engine hears of the old connections now, or a little later.
      for (const wait of [0, 20, 50]) {
        await delay(wait)
        findings.expect(await whole(), `functions or routes are gone after the late end of cut ${cut}`)
      }
      findings.acknowledge(expected.length)
    }
  },
}

async function openPlain(url: string): Promise<WirePeer> {
  const peer = await WirePeer.open(url)
  peer.serve('race::plain', (frame) => peer.answer(frame, { body: 'plain' }))
  const config = { api_path: 'race/plain', http_method: 'GET' }
  peer.send({ type: 'registertrigger', id: TRIGGER, trigger_type: 'http', function_id: 'race::plain', config })
  await peer.flushed()
  return peer
}

/** Chosen by the client, and the same after each reconnect. */
const TRIGGER = '5f0c1f2e-4c11-4a7e-9d0e-0d9c1f6f7a01'
