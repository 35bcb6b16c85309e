import { setTimeout as delay } from 'node:timers/promises'
import type { System } from '@agentos/testing'
import { Client } from '../../../packages/sdk/src/client.ts'
import { FIFO, Orders } from '../engine-kill/orders.ts'
import { Ticks } from '../engine-kill/ticks.ts'
import { Writers } from '../engine-kill/writers.ts'
import type { Findings } from '../harness/findings.ts'
import type { Row } from '../harness/row.ts'
import { endingOf, until } from '../harness/waits.ts'

const BACK_MS = 2_000
const ROUTES_MS = 1_000
const HUNG_MS = 15_000
/** Each tenth round. */
const MANY = 10_000
const FEW = 1_000

/**
 * One client serves, one calls, one writes and one fills FIFO queues, all at once and over all kills. After each kill:
 * every call has its error, every acknowledged write is there, the routes are back. At the end: every accepted job came,
 * in order, under one id; every firing of a schedule that a kill cut off ran again.
 */
export const row: Row = {
  row: 2,
  title: 'kill -9 of the engine in mid-call and mid-write',
  rounds: { full: 500, short: 4 },

  async run(env, findings) {
    const system = await env.engine({
      config: {
        workers: [{ name: 'iii-queue', config: { queue_configs: { orders: FIFO } } }],
        agentos: {
          guest_requests_per_minute: 1_000_000,
          limits: { in_flight_per_worker: 2 * MANY },
          guests: { limits: { in_flight: 2 * MANY } },
        },
      },
    })
    const open = (): Client => {
      const client = new Client(system.wsUrl, {}, { trouble: () => {} })
      env.cleanUp(() => client.shutdown())
      return client
    }
    const [worker, caller] = [open(), open()]
    const orders = new Orders(env, findings)
    const ticks = new Ticks(findings)
    const writers = new Writers(open(), findings)
    let holding = 0
    worker.serve('faults::hold', {}, () => {
      holding += 1
      return new Promise(() => {})
    })
    worker.registerFunction('faults::echo', async () => ({ body: 'here' }))
    worker.registerTrigger({
      type: 'http',
      function_id: 'faults::echo',
      config: { api_path: 'faults/echo', http_method: 'GET' },
    })
    orders.serve(worker)
    ticks.serve(worker)
    await worker.ready()
    await until(async () => (await system.api('GET', '/faults/echo')).status === 200, HUNG_MS)
    orders.produce(open())
    for (let round = 0; round < env.rounds; round += 1) {
      // A short run has to see a schedule's firing killed too.
      if (round === env.rounds - 1 && env.short) await ticks.started()
      holding = 0
      const count = round % 10 === 0 ? MANY : FEW
      const calls = callMany(caller, count, findings)
      const writing = writers.run()
      await until(() => holding >= count, HUNG_MS, 1)
      findings.expect(holding >= count, `only ${holding} of ${count} calls were in flight in round ${round}`)
      await delay(env.between(0, 40))
      if (round === env.rounds - 1) ticks.lastKill()
      await killAndReturn(system, [worker, caller], orders, findings, count)
      await Promise.all([calls, writing])
      await writers.judge()
      await delay(env.between(0, 100))
      if (round % 50 === 49) env.say(`${round + 1} kills`)
    }
    findings.note(
      `each tenth round with ${MANY.toLocaleString('en')} calls in flight, the others with ${FEW.toLocaleString('en')}`,
    )
    await orders.judge()
    await ticks.judge()
  },
}

async function callMany(caller: Client, count: number, findings: Findings): Promise<void> {
  const call = () => caller.trigger({ function_id: 'faults::hold', payload: {}, timeoutMs: 2 * HUNG_MS })
  await Promise.all(
    Array.from({ length: count }, async () => {
      const ending = await endingOf(call(), HUNG_MS)
      if ('hung' in ending) findings.hung('a call in flight at the kill')
      else if ('value' in ending) findings.wrong('a call that nobody answered has a result')
      else findings.expect(ending.code === 'engine_lost', `a call in flight at the kill ended with ${ending.code}`)
    }),
  )
}

async function killAndReturn(
  system: System,
  clients: Client[],
  orders: Orders,
  findings: Findings,
  count: number,
): Promise<void> {
  const before = Math.max(...clients.map(({ epoch }) => epoch))
  const killedAt = performance.now()
  await system.engine.kill()
  await system.engine.start()
  orders.engineBack()
  findings.time(`back with ${count.toLocaleString('en')} calls in flight`, performance.now() - killedAt, BACK_MS)
  const areBack = (): boolean => clients.every(({ epoch, connected }) => epoch > before && connected)
  if (!(await until(areBack, HUNG_MS, 2))) findings.hung('the clients’ return')
  const connectedAt = performance.now()
  const routed = await until(async () => (await system.api('GET', '/faults/echo')).status === 200, HUNG_MS, 2)
  if (routed) findings.time('routes back after their worker', performance.now() - connectedAt, ROUTES_MS)
  else findings.hung('a route is not back')
}
