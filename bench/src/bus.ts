import type { CallerQuestion } from './caller.ts'
import type { Measured } from './load.ts'
import { Peer } from './peer.ts'
import { inTurn, type Plan } from './plan.ts'
import type { Rivals } from './rivals.ts'
import { startNats } from './server.ts'
import { paired, type Row } from './table.ts'

/**
 * Payload sizes, with the milliseconds of a slice: long enough for some hundred calls. Fewer are in flight at 1 MB, since
 * 64 of them are more than the 32 MiB that may wait for one connection by default.
 */
const SIZES = [
  { name: '100 B', bytes: 100, aloneMs: 500, inFlight: 64, crowdMs: 600, goal: '≥ 0.8 ×' },
  { name: '10 kB', bytes: 10_000, aloneMs: 500, inFlight: 64, crowdMs: 600, goal: '≥ 0.95 ×' },
  { name: '1 MB', bytes: 1_000_000, aloneMs: 700, inFlight: 16, crowdMs: 2_000, goal: '≥ 1.05 ×' },
]

/** A caller, alone and in a crowd; one figure of each a round. */
interface Lane {
  name: string
  caller: Peer
  alone: Measured[]
  crowd: Measured[]
}

/**
 * Calls over the bus, caller and worker each a process, against the same frames through the bare relay, and against
 * request and reply through NATS.
 */
export async function measureBus(engineUrl: string, plan: Plan, rivals: Rivals): Promise<Row[]> {
  await using peers = new AsyncDisposableStack()
  const start = async <T>(file: string, ...args: string[]) => {
    const { peer, said } = await Peer.start<T>(file, args)
    peers.defer(() => peer.stop())
    return { peer, said }
  }
  const lane = async (name: string, file: string, ...args: string[]): Promise<Lane> => {
    const { peer } = await start(file, ...args)
    return { name, caller: peer, alone: [], crowd: [] }
  }
  const { said: relayUrl } = await start<string>('relay.ts')
  await start('echo-worker.ts', 'relay', relayUrl)
  const ours = await lane('AgentOS', 'caller.ts', 'engine', engineUrl)
  const relay = await lane('bare `ws` relay', 'caller.ts', 'relay', relayUrl)
  const others = [relay]
  const server = rivals.installed ? peers.use((await startNats()) ?? null) : null
  if (server) {
    const { said: version } = await start<string>('../rivals/src/nats.mjs', 'echo', String(server.port))
    rivals.note(`NATS: nats-server ${version}, @nats-io/transport-node ${rivals.version('@nats-io/transport-node')}.`)
    others.push(await lane('NATS', '../rivals/src/nats.mjs', 'caller', String(server.port)))
  } else if (rivals.installed) {
    rivals.note('NATS is left out: there is no nats-server on this machine.')
  }
  const rows: Row[] = []
  for (const size of SIZES) rows.push(...(await measureSize(size, ours, others, plan)))
  return rows
}

async function measureSize(size: (typeof SIZES)[number], ours: Lane, others: Lane[], plan: Plan): Promise<Row[]> {
  const { name, bytes, inFlight } = size
  const question = (calls: number, ms: number): CallerQuestion => ({ bytes, inFlight: calls, ms: ms * plan.scale })
  const alone = question(1, size.aloneMs)
  const crowd = question(inFlight, size.crowdMs)
  const lanes = [ours, ...others]
  for (const lane of lanes) {
    lane.alone = []
    lane.crowd = []
    await lane.caller.ask(crowd)
  }
  await inTurn(
    plan.rounds,
    lanes.map((lane) => async () => void lane.alone.push(await lane.caller.ask<Measured>(alone))),
  )
  await inTurn(
    plan.rounds,
    lanes.map((lane) => async () => void lane.crowd.push(await lane.caller.ask<Measured>(crowd))),
  )
  return others.flatMap((other, index) => {
    // The goals are against the relay; NATS has to be passed with calls in flight.
    const goals = index === 0 ? ['≤ 1.5 ×', '≤ 2 ×', size.goal] : ['', '', bytes === 100 ? '> 1 ×' : '']
    const of = (key: keyof Measured) => [ours.alone.map((run) => run[key]), other.alone.map((run) => run[key])] as const
    const text = (goal: number) => ({ other: other.name, goal: goals[goal]! })
    return [
      paired(`bus call, ${name}, one at a time: p50`, ...of('p50'), { unit: 'ms', ...text(0) }),
      paired(`bus call, ${name}, one at a time: p99`, ...of('p99'), { unit: 'ms', ...text(1) }),
      paired(
        `bus call, ${name}, ${inFlight} in flight`,
        ours.crowd.map((run) => run.perSecond),
        other.crowd.map((run) => run.perSecond),
        { unit: 'calls/s', ...text(2) },
      ),
    ]
  })
}
