import type { JobsQuestion, Produced } from './jobs.ts'
import type { Load } from './load.ts'
import { Peer } from './peer.ts'
import { inTurn, type Plan } from './plan.ts'
import type { Rivals } from './rivals.ts'
import { startRedis } from './server.ts'
import { paired, type Row, single } from './table.ts'

const SLICE_MS = 800
/** Jobs that a worker does at once, on both sides. */
export const QUEUE_CONCURRENCY = 64

/** Jobs put on disk, delivered and done, a second: producers and the worker are processes of their own. */
export async function measureQueue(engineUrl: string, plan: Plan, rivals: Rivals): Promise<Row[]> {
  await using peers = new AsyncDisposableStack()
  const start = async (file: string, ...args: string[]) => {
    const { peer } = await Peer.start(file, args)
    peers.defer(() => peer.stop())
    return peer
  }
  const pair = async (file: string, ...args: string[]): Promise<Lane> => ({
    worker: await start(file, 'worker', ...args),
    producer: await start(file, 'producer', ...args),
  })
  const ours = await pair('queue-peer.ts', engineUrl)
  const redis = rivals.installed ? peers.use((await startRedis()) ?? null) : null
  const theirs = redis && (await pair('../rivals/src/bullmq.mjs', String(redis.port), String(QUEUE_CONCURRENCY)))
  if (theirs) rivals.note(`BullMQ ${rivals.version('bullmq')}; both workers do ${QUEUE_CONCURRENCY} jobs at once.`)
  else if (rivals.installed) rivals.note('BullMQ is left out: there is no redis-server on this machine.')
  const rows: Row[] = []
  for (const producers of [1, 64]) {
    const load: Load = { inFlight: producers, ms: SLICE_MS * plan.scale }
    const rates = { ours: [] as number[], theirs: [] as number[] }
    for (const lane of [ours, theirs]) if (lane) await rateOf(lane, load)
    await inTurn(plan.rounds, [
      async () => void rates.ours.push(await rateOf(ours, load)),
      ...(theirs ? [async () => void rates.theirs.push(await rateOf(theirs, load))] : []),
    ])
    const work = `durable queue, ${producers === 1 ? 'one producer' : `${producers} producers`}: jobs done`
    const other = 'BullMQ, Redis `appendfsync always`'
    rows.push(
      theirs ? paired(work, rates.ours, rates.theirs, { unit: 'jobs/s', other }) : single(work, rates.ours, 'jobs/s'),
    )
  }
  return rows
}

interface Lane {
  worker: Peer
  producer: Peer
}

/** From the first job that was put in to the last that was done. */
async function rateOf({ worker, producer }: Lane, load: Load): Promise<number> {
  const { count, began } = await producer.ask<Produced>(load)
  const question: JobsQuestion = { count }
  return count / (((await worker.ask<number>(question)) - began) / 1_000)
}
