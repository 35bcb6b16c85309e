import { closeSync, fdatasyncSync, openSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import type { CallerQuestion } from './caller.ts'
import type { Measured } from './load.ts'
import { Peer } from './peer.ts'
import { inTurn, type Plan } from './plan.ts'
import type { Rivals } from './rivals.ts'
import { startRedis } from './server.ts'
import { median, quantile } from './statistics.ts'
import { paired, type Row, single } from './table.ts'

const SLICE_MS = 700

/**
 * `state::set`, which answers after its write is on disk, beside what one sync of the same disk takes, and beside a SET
 * on Redis that syncs as often.
 */
export async function measureDurable(
  engine: { url: string; dataDir: string },
  plan: Plan,
  rivals: Rivals,
): Promise<Row[]> {
  await using stack = new AsyncDisposableStack()
  const start = async <T>(file: string, ...args: string[]) => {
    const { peer, said } = await Peer.start<T>(file, args)
    stack.defer(() => peer.stop())
    return { peer, said }
  }
  const { peer: caller } = await start('caller.ts', 'engine', engine.url)
  const server = rivals.installed ? stack.use((await startRedis()) ?? null) : null
  const redis = server && (await start<string>('../rivals/src/redis.mjs', String(server.port)))
  if (redis) rivals.note(`Redis ${redis.said} with \`appendfsync always\`, ioredis ${rivals.version('ioredis')}.`)
  else if (rivals.installed) rivals.note('Redis is left out: there is no redis-server on this machine.')
  const ms = SLICE_MS * plan.scale
  const question = (inFlight: number): CallerQuestion => ({ durable: true, inFlight, ms })
  const calls: number[] = []
  const syncs: number[] = []
  const ours = { one: [] as number[], crowd: [] as number[] }
  const theirs = { one: [] as number[], crowd: [] as number[] }
  for (const peer of [caller, redis?.peer]) await peer?.ask(question(64))
  await inTurn(plan.rounds, [
    async () => void syncs.push(syncTime(engine.dataDir, ms)),
    async () => void ours.one.push((await caller.ask<Measured>(question(1))).p50),
    async () => void (redis && theirs.one.push((await redis.peer.ask<Measured>(question(1))).p50)),
    async () => void calls.push((await caller.ask<Measured>({ bytes: 100, inFlight: 1, ms })).p50),
    async () => void ours.crowd.push((await caller.ask<Measured>(question(64))).perSecond),
    async () => void (redis && theirs.crowd.push((await redis.peer.ask<Measured>(question(64))).perSecond)),
  ])
  const bound = median(calls) + 1.5 * median(syncs)
  const other = 'SET on Redis, `appendfsync always`'
  const [one, crowd] = ['durable write, one writer: p50', 'durable write, 64 writers']
  return [
    paired(one, ours.one, syncs, {
      unit: 'ms',
      other: 'raw write of 4 kB and fdatasync',
      goal: `≤ ${bound.toFixed(2)} ms (a call and 1.5 syncs)`,
    }),
    ...(redis ? [paired(one, ours.one, theirs.one, { unit: 'ms', other })] : []),
    redis
      ? paired(crowd, ours.crowd, theirs.crowd, { unit: 'writes/s', other, goal: '≥ 20,000/s' })
      : single(crowd, ours.crowd, 'writes/s', '≥ 20,000/s'),
  ]
}

/** Median time of writing a page anew and syncing it in this folder, in milliseconds: a log's file does not grow either. */
function syncTime(folder: string, ms: number): number {
  const path = join(folder, 'bench.sync')
  const file = openSync(path, 'w')
  const page = Buffer.alloc(4_096, 1)
  const times: number[] = []
  try {
    for (const end = performance.now() + ms; performance.now() < end; ) {
      const at = performance.now()
      writeSync(file, page, 0, page.length, 0)
      fdatasyncSync(file)
      times.push(performance.now() - at)
    }
  } finally {
    closeSync(file)
    rmSync(path)
  }
  return quantile(times, 0.5)
}
