import { spawn } from 'node:child_process'
import { createRequire } from 'node:module'
import { setTimeout as delay } from 'node:timers/promises'
import { freePort, reap, startSystem } from '@agentos/testing'
import type { GatewayQuestion, GatewayTarget } from './gateway-caller.ts'
import type { Measured } from './load.ts'
import { Peer } from './peer.ts'
import { inTurn, type Plan } from './plan.ts'
import { type Rivals, rivalFolder } from './rivals.ts'
import { digits, median } from './statistics.ts'
import { paired, type Row, single } from './table.ts'

const SLICE_MS = 1_000
const CROWD = 32
const START_LIMIT_MS = 15_000
const MODEL = 'fast'
const GATEWAY = '@portkey-ai/gateway'

/** One way to the provider; one figure of each kind a round. */
interface Lane {
  name: string
  target: GatewayTarget
  /** Milliseconds: p50 of whole answers, and p50 to the first byte of those in pieces. */
  whole: number[]
  firstByte: number[]
  /** Requests a second with many in flight. */
  crowd: number[]
}

/**
 * Plain model calls before a provider that answers in a millisecond: what this system adds to them with a budget, traces
 * and its journal of money on, beside what a gateway adds that only passes them on.
 */
export async function measureGateway(plan: Plan, rivals: Rivals): Promise<Row[]> {
  await using stack = new AsyncDisposableStack()
  const provider = await Peer.start<string>('gateway-provider.ts')
  stack.defer(() => provider.peer.stop())
  const { peer: caller } = await Peer.start('gateway-caller.ts')
  stack.defer(() => caller.stop())
  const direct = laneOf('the provider itself', targetOf(provider.said, MODEL))
  const ours = laneOf('AgentOS', await openOurs(stack, provider.said))
  const other = rivals.installed ? laneOf(GATEWAY, await openGateway(stack, provider.said, rivals)) : undefined
  const lanes = [direct, ours, ...(other ? [other] : [])]
  const ask = ({ target }: Lane, inFlight: number, streamed: boolean) => {
    const question: GatewayQuestion = { target, streamed, inFlight, ms: SLICE_MS * plan.scale }
    return caller.ask<Measured>(question)
  }
  for (const lane of lanes) await ask(lane, CROWD, false)
  for (const lane of [direct, ours]) await ask(lane, CROWD, true)
  const measure = (measured: readonly Lane[], take: (lane: Lane) => Promise<void>) =>
    inTurn(
      plan.rounds,
      measured.map((lane) => () => take(lane)),
    )
  await measure(lanes, async (lane) => void lane.whole.push((await ask(lane, 1, false)).p50))
  await measure([direct, ours], async (lane) => void lane.firstByte.push((await ask(lane, 1, true)).p50))
  await measure(lanes, async (lane) => void lane.crowd.push((await ask(lane, CROWD, false)).perSecond))
  rivals.note(
    `Plain model calls: the provider alone takes ${digits(median(direct.whole))} ms whole and ${digits(median(direct.firstByte))} ms ` +
      `to the first byte, and answers ${digits(median(direct.crowd))} requests/s with ${CROWD} in flight; ours with a budget and traces.`,
  )
  return rowsOf(direct, ours, other)
}

function rowsOf(direct: Lane, ours: Lane, other: Lane | undefined): Row[] {
  const added = (lane: Lane, kind: 'whole' | 'firstByte') =>
    lane[kind].map((value, round) => value - direct[kind][round]!)
  const names = {
    whole: 'model call through `/v1/chat/completions`: added p50, whole',
    firstByte: 'model call through `/v1/chat/completions`: added p50, to the first byte',
    crowd: `model call through \`/v1/chat/completions\`, ${CROWD} in flight`,
  }
  const own = paired(names.firstByte, added(ours, 'firstByte'), added(ours, 'whole'), {
    unit: 'ms',
    other: 'AgentOS, whole',
    goal: '≤ 1.3 ×',
  })
  if (!other) {
    return [single(names.whole, added(ours, 'whole'), 'ms'), own, single(names.crowd, ours.crowd, 'requests/s')]
  }
  const text = { unit: 'ms', other: other.name }
  return [
    paired(names.whole, added(ours, 'whole'), added(other, 'whole'), { ...text, goal: '≤ 0.8 ×' }),
    own,
    paired(names.crowd, ours.crowd, other.crowd, { unit: 'requests/s', other: other.name, goal: '≥ 1.5 ×' }),
  ]
}

function laneOf(name: string, target: GatewayTarget): Lane {
  return { name, target, whole: [], firstByte: [], crowd: [] }
}

/** Of an address that ends in `/v1`. */
function targetOf(base: string, model: string, headers: Record<string, string> = {}): GatewayTarget {
  const { origin, pathname } = new URL(base)
  return { origin, path: `${pathname}/chat/completions`, headers, model }
}

/** The built system with a budget over the realm, as its owner calls it. */
async function openOurs(stack: AsyncDisposableStack, provider: string): Promise<GatewayTarget> {
  const system = await startSystem({
    workers: ['ledger', 'llm-router', 'streaming'],
    env: { AGENTOS_LOCAL_MODELS: 'off' },
    config: {
      workers: [
        {
          name: 'llm-router',
          config: {
            providers: { bench: { baseUrl: provider, keyEnv: '' } },
            prices: { [`bench/${MODEL}`]: { input: 1, output: 2 } },
          },
        },
      ],
    },
  })
  stack.defer(() => system.stop())
  const budget = { period: 'day', monthlyCents: 100_000_000 }
  const { status, body } = await system.api('POST', '/v1/budgets', budget, { owner: true })
  if (status !== 200) throw new Error(`No budget could be set: ${JSON.stringify(body)}`)
  const headers = { authorization: `Bearer ${system.ownerToken}` }
  return targetOf(`${system.httpUrl}/v1`, `bench/${MODEL}`, headers)
}

/** The gateway as its package starts it, sent to the provider by its headers. */
async function openGateway(stack: AsyncDisposableStack, provider: string, rivals: Rivals): Promise<GatewayTarget> {
  const port = await freePort()
  const program = createRequire(`${rivalFolder}/package.json`).resolve(`${GATEWAY}/package.json`)
  const child = spawn(process.execPath, ['build/start-server.js', `--port=${port}`, '--headless'], {
    cwd: program.replace(/\/package\.json$/, ''),
    env: { PATH: process.env.PATH, NODE_ENV: 'production' },
    stdio: 'ignore',
  })
  reap(child)
  stack.defer(() => void child.kill('SIGKILL'))
  const origin = `http://127.0.0.1:${port}`
  const end = performance.now() + START_LIMIT_MS
  while (
    !(await fetch(origin).then(
      (answer) => answer.ok,
      () => false,
    ))
  ) {
    if (child.exitCode !== null) throw new Error(`${GATEWAY} ended with code ${child.exitCode}`)
    if (performance.now() > end) throw new Error(`${GATEWAY} did not answer after ${START_LIMIT_MS} ms`)
    await delay(50)
  }
  rivals.note(
    `${GATEWAY} ${rivals.version(GATEWAY)}, sent to the provider by \`x-portkey-custom-host\`; asked for pieces it answers 500 under this Node.`,
  )
  const headers = { authorization: 'Bearer none', 'x-portkey-provider': 'openai', 'x-portkey-custom-host': provider }
  return targetOf(`${origin}/v1`, MODEL, headers)
}
