import { type IIIClient, registerWorker } from '@agentos/sdk'
import { startCutProxy } from '@agentos/testing'
import { listed, metric } from '../harness/observe.ts'
import type { Row } from '../harness/row.ts'
import { endingOf, isTyped, until } from '../harness/waits.ts'

const HUNG_MS = 40_000
const BACK_MS = 5_000

/**
 * A connection that looks whole and carries nothing any more, with calls under way in both directions. Each side finds
 * out by itself: the worker's calls fail, the engine's too, its functions are gone; when the network is back, the worker
 * is, over one new connection.
 */
export const row: Row = {
  row: 8,
  title: 'half-open socket',
  rounds: { full: 20, short: 1 },

  async run(env, findings) {
    const heartbeatMs = env.short ? 1_000 : 2_500
    const goalMs = 2 * heartbeatMs
    const system = await env.engine({ config: { agentos: { heartbeat_ms: heartbeatMs } } })
    const proxy = await startCutProxy(system.wsUrl)
    env.cleanUp(() => proxy.close())
    const near = system.client()
    const far = registerWorker(proxy.url, { workerName: 'far' })
    env.cleanUp(() => far.shutdown())
    near.registerFunction('near::never', () => new Promise(() => {}))
    far.registerFunction('far::never', () => new Promise(() => {}))
    far.registerFunction('far::here', async () => 'here')
    const whole = async () =>
      (await call(near, 'far::here')) === 'here' && (await call(far, 'near::never', 1)) === 'late'
    for (let round = 0; round < env.rounds; round += 1) {
      if (!(await until(whole, HUNG_MS))) return findings.hung(`the worker, before round ${round}`)
      const inFlight = await metric(system, 'agentos_calls_in_flight')
      const calls = [
        { side: 'the worker', ending: endingOf(forever(far, 'near::never'), HUNG_MS) },
        { side: 'the engine', ending: endingOf(forever(near, 'far::never'), HUNG_MS) },
      ]
      await until(async () => (await metric(system, 'agentos_calls_in_flight')) >= inFlight + 2, HUNG_MS)
      proxy.hold()
      const heldAt = performance.now()
      const judging = calls.map(async ({ side, ending: waiting }) => {
        const ending = await waiting
        if ('hung' in ending) return findings.hung(`a call at ${side} over a half-open socket`)
        if ('value' in ending) return findings.wrong('a call that nobody answered has a result')
        findings.time(`found by ${side}`, performance.now() - heldAt, goalMs)
        findings.expect(isTyped(ending.code), `a call at ${side} ended with ${String(ending.error)}`)
        findings.acknowledge()
      })
      const gone = until(async () => (await listed(near, 'far::')).length === 0, HUNG_MS)
      if (await gone) findings.time('its functions are gone', performance.now() - heldAt, goalMs)
      else findings.hung('the functions of a worker that is not there')
      await Promise.all(judging)
      proxy.resume()
      const resumedAt = performance.now()
      if (!(await until(whole, HUNG_MS))) return findings.hung('the worker after the network came back')
      findings.time('back', performance.now() - resumedAt, BACK_MS)
      const connections = await connectionsOf(near)
      findings.expect(connections === 1, `the worker has ${connections} connections`)
    }
    await until(async () => (await metric(system, 'agentos_calls_in_flight')) === 0, HUNG_MS)
    const left = await metric(system, 'agentos_calls_in_flight')
    findings.expect(left === 0, `${left} calls are still in flight`)
  },
}

/** `late` where it is not answered within the time. */
async function call(client: IIIClient, function_id: string, deadlineMs = 2_000): Promise<unknown> {
  const ending = await endingOf(client.trigger({ function_id, payload: {}, deadlineMs } as never), HUNG_MS)
  if ('value' in ending) return ending.value
  return 'code' in ending && ending.code === 'deadline_exceeded' ? 'late' : 'away'
}

function forever(client: IIIClient, function_id: string): Promise<unknown> {
  return client.trigger({ function_id, payload: {}, timeoutMs: HUNG_MS })
}

async function connectionsOf(client: IIIClient): Promise<number> {
  const { workers } = await client.trigger<{ workers: { name: string }[] }>({
    function_id: 'engine::workers::list',
    payload: {},
  })
  return workers.filter(({ name }) => name === 'far').length
}
