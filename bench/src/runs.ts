import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '@agentos/testing'
import type { HttpQuestion } from './http-caller.ts'
import type { Load, Measured } from './load.ts'
import { Peer } from './peer.ts'
import { inTurn, type Plan } from './plan.ts'
import { createDatabase, postgresVersion } from './postgres.ts'
import { RestateServer } from './restate-server.ts'
import type { Rivals } from './rivals.ts'
import { RUN_STEPS } from './run-steps.ts'
import { paired, type Row, single } from './table.ts'

const ALONE_MS = 800
const CROWD_MS = 1_500
const CROWD = 32

/** Runs of ten steps on one system, alone and in a crowd; one figure of each a round. */
interface Lane {
  name: string
  run: (load: Load) => Promise<Measured>
  alone: number[]
  crowd: number[]
}

/** Durable runs of ten steps that do nothing, so that the journal is what takes the time. */
export async function measureRuns(engineUrl: string, plan: Plan, rivals: Rivals): Promise<Row[]> {
  await using stack = new AsyncDisposableStack()
  const ours = await openOurs(engineUrl, stack)
  const others = rivals.installed ? [await openRestate(stack, rivals), await openDbos(stack, rivals)] : []
  const lanes = [ours, ...others.filter((lane) => lane !== undefined)]
  const alone: Load = { inFlight: 1, ms: ALONE_MS * plan.scale }
  const crowd: Load = { inFlight: CROWD, ms: CROWD_MS * plan.scale }
  for (const lane of lanes) await lane.run(crowd)
  await inTurn(
    plan.rounds,
    lanes.map((lane) => async () => void lane.alone.push((await lane.run(alone)).p50)),
  )
  await inTurn(
    plan.rounds,
    lanes.map((lane) => async () => void lane.crowd.push((await lane.run(crowd)).perSecond)),
  )
  const names = [`durable run of ${RUN_STEPS} steps: p50`, `durable run of ${RUN_STEPS} steps, ${CROWD} in flight`]
  const [p50, rate] = names as [string, string]
  if (lanes.length === 1) return [single(p50, ours.alone, 'ms'), single(rate, ours.crowd, 'runs/s')]
  return lanes
    .slice(1)
    .flatMap((other) => [
      paired(p50, ours.alone, other.alone, { unit: 'ms', other: other.name, goal: '≤ 0.5 ×' }),
      paired(rate, ours.crowd, other.crowd, { unit: 'runs/s', other: other.name, goal: '≥ 2 ×' }),
    ])
}

async function openPeer(stack: AsyncDisposableStack, file: string, ...args: string[]): Promise<Peer> {
  const { peer } = await Peer.start(file, args)
  stack.defer(() => peer.stop())
  return peer
}

async function openOurs(engineUrl: string, stack: AsyncDisposableStack): Promise<Lane> {
  await openPeer(stack, 'run-peer.ts', 'worker', engineUrl)
  const caller = await openPeer(stack, 'run-peer.ts', 'caller', engineUrl)
  return { name: 'AgentOS', run: (load) => caller.ask(load), alone: [], crowd: [] }
}

async function openRestate(stack: AsyncDisposableStack, rivals: Rivals): Promise<Lane | undefined> {
  const folder = mkdtempSync(join(tmpdir(), 'agentos-bench-restate-'))
  stack.defer(() => rmSync(folder, { recursive: true, force: true }))
  const server = await RestateServer.create(folder)
  stack.defer(() => server.kill())
  const port = await freePort()
  await server.start()
  // Its SDK writes a line for each invocation otherwise.
  const quiet = { NODE_ENV: 'production', RESTATE_LOGGING: 'ERROR' }
  const { peer: service } = await Peer.start('../rivals/src/restate-steps.mjs', [String(port)], quiet)
  stack.defer(() => service.stop())
  await server.register(port)
  const caller = await openPeer(stack, 'http-caller.ts')
  const versions = ['@restatedev/restate-server', '@restatedev/restate-sdk'].map((name) => rivals.version(name))
  rivals.note(`Restate: server ${versions[0]}, SDK ${versions[1]}, over HTTP to its ingress.`)
  const run = (load: Load) => {
    const question: HttpQuestion = { ...load, origin: server.ingress, path: '/steps/run' }
    return caller.ask<Measured>(question)
  }
  return { name: 'Restate', run, alone: [], crowd: [] }
}

async function openDbos(stack: AsyncDisposableStack, rivals: Rivals): Promise<Lane | undefined> {
  const version = await postgresVersion()
  if (version === undefined) {
    rivals.note('DBOS is left out: there is no PostgreSQL server on this machine.')
    return undefined
  }
  const database = stack.use(await createDatabase(`agentos_bench_${process.pid}`))
  const caller = await openPeer(stack, '../rivals/src/dbos-steps.mjs', database.url)
  rivals.note(`DBOS: SDK ${rivals.version('@dbos-inc/dbos-sdk')}, PostgreSQL ${version}; called within its process.`)
  return { name: 'DBOS', run: (load) => caller.ask(load), alone: [], crowd: [] }
}
