import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import type { System } from '@agentos/testing'
import type { Findings } from '../harness/findings.ts'
import { p99Of } from '../harness/observe.ts'
import type { Row, RowEnv } from '../harness/row.ts'
import { until } from '../harness/waits.ts'

/** A head has to be there after 10 s, a body after 60; the engine looks every few seconds. */
const HEAD_MS = 20_000
const CALLS = 300
/** Sends one more byte of its head so often. */
const DRIP_MS = 1_000

/**
 * Connections to both ports that say nothing, or say it one byte a second. Whoever has real work notices nothing; the
 * whole form waits until all of them were ended by their time-outs.
 */
export const row: Row = {
  row: 16,
  title: 'slowloris, idle connections',
  rounds: { full: 2_000, short: 300 },
  unit: 'connections',

  async run(env, findings) {
    const system = await env.engine({ config: { agentos: { guest_requests_per_minute: 1_000_000 } } })
    const client = system.client()
    await client.state.set('slow', 'k', 1)
    client.registerFunction('slow::echo', async () => ({ body: 'here' }))
    const config = { api_path: 'slow/echo', http_method: 'GET' }
    client.registerTrigger({ type: 'http', function_id: 'slow::echo', config })
    const request = () => system.api('GET', '/slow/echo')
    await until(async () => (await request()).status === 200, HEAD_MS)
    const call = () => client.state.get('slow', 'k')
    await p99Of(CALLS, call)
    await p99Of(CALLS, request)
    const before = { call: await p99Of(CALLS, call), request: await p99Of(CALLS, request) }
    const sockets = await openAll(env, system)
    findings.figure('connections that say nothing or little', sockets.length, '')
    const dripping = setInterval(() => drip(sockets), DRIP_MS)
    env.cleanUp(() => clearInterval(dripping))
    const opened = performance.now()
    await delay(200)
    compare(findings, 'a call', before.call, await p99Of(CALLS, call))
    compare(findings, 'a request', before.request, await p99Of(CALLS, request))
    if (env.short) return findings.acknowledge()
    const open = () => sockets.filter((socket) => !socket.destroyed).length
    if (!(await until(() => open() === 0, 2 * HEAD_MS, 50))) findings.hung(`${open()} idle connections are still open`)
    findings.time('all of them ended', performance.now() - opened, HEAD_MS)
    const { status } = await request()
    if (status === 200) findings.acknowledge()
    else findings.wrong(`a request afterwards is answered ${status}`)
  },
}

async function openAll(env: RowEnv, system: System): Promise<Socket[]> {
  const ports = [system.httpUrl, system.wsUrl].map((url) => Number(new URL(url).port))
  const sockets: Socket[] = []
  env.cleanUp(() => sockets.forEach((socket) => void socket.destroy()))
  for (let n = 0; n < env.rounds; n += 1) {
    const socket = connect(ports[n % 2]!, '127.0.0.1')
    socket.on('error', () => {})
    socket.on('data', () => {})
    sockets.push(socket)
    await once(socket, 'connect')
    // A third says nothing at all.
    if (n % 3 !== 0) socket.write('GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ')
  }
  return sockets
}

function drip(sockets: readonly Socket[]): void {
  for (const [n, socket] of sockets.entries()) if (n % 3 === 1 && socket.writable) socket.write('x')
}

function compare(findings: Findings, what: string, before: number, during: number): void {
  findings.figure(`p99 of ${what} before`, before, 'ms')
  findings.figure(`p99 of ${what} beside them`, during, 'ms')
  // Below a few milliseconds the ratio is about the machine.
  const ratio = Math.max(5, during) / Math.max(5, before)
  findings.figure(`p99 of ${what}, ratio`, ratio, '×', { goal: 2, gate: 6 })
}
