import { statfsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { startEngine } from '@agentos/testing'
import type { LoadDone, MixedQuestion } from './mixed-peer.ts'
import { Peer } from './peer.ts'
import { inTurn, type Plan } from './plan.ts'
import type { Rivals } from './rivals.ts'
import { digits, median } from './statistics.ts'
import { paired, type Row } from './table.ts'

const RECORD_BYTES = 250_000
/** A slow disk gives a smaller store, and the row says so. */
const FILL_LIMIT_MS = 180_000
const PROBES_PER_SECOND = 200
const PROBE_MS = 4_000
/** Of load before the time is taken. */
const WARM_MS = 1_000

/** p99 of a small call on a large store, with much else going on and without it. */
export async function measureMixed(plan: Plan, rivals: Rivals): Promise<Row[]> {
  const { bavail, bsize } = statfsSync(tmpdir())
  // The store, its log, and room for both to grow.
  if (bavail * bsize < 2.5 * plan.storeBytes) {
    rivals.note(
      `The mixed load is left out: it fills a store of ${gigabytes(plan.storeBytes)} GB, and the disk has no room.`,
    )
    return []
  }
  await using system = await startEngine()
  await using peers = new AsyncDisposableStack()
  const start = async (file: string, ...args: string[]) => {
    const { peer } = await Peer.start(file, args)
    peers.defer(() => peer.stop())
    return peer
  }
  await start('echo-worker.ts', 'engine', system.wsUrl)
  const loader = await start('mixed-peer.ts', system.wsUrl)
  const prober = await start('mixed-peer.ts', system.wsUrl)
  const ask = <T>(peer: Peer, question: MixedQuestion) => peer.ask<T>(question)
  const records = Math.ceil(plan.storeBytes / RECORD_BYTES)
  const filled = await ask<number>(loader, { fill: { records, bytes: RECORD_BYTES, limitMs: FILL_LIMIT_MS } })
  const probe = () => ask<number>(prober, { probe: { perSecond: PROBES_PER_SECOND, ms: PROBE_MS * plan.scale } })
  const times = { loaded: [] as number[], idle: [] as number[] }
  const done: LoadDone[] = []
  await inTurn(Math.ceil(plan.rounds / 2), [
    async () => void times.idle.push(await probe()),
    async () => {
      await ask(loader, { load: 'on' })
      await new Promise((resolve) => setTimeout(resolve, WARM_MS))
      times.loaded.push(await probe())
      done.push(await ask<LoadDone>(loader, { load: 'off' }))
    },
  ])
  const of = (key: keyof LoadDone) => digits(median(done.map((each) => each[key])))
  rivals.note(
    `Mixed load: asked for 3,200 durable writes, 5 calls of 1 MB and 4,000 stream chunks a second; ` +
      `done ${of('writes')}, ${of('megabytes')} and ${of('chunks')}.`,
  )
  const work = `bus call, 100 B, under mixed load, store of ${gigabytes(filled * RECORD_BYTES)} GB: p99`
  return [paired(work, times.loaded, times.idle, { unit: 'ms', other: 'the same without the load', goal: '≤ 10 ms' })]
}

const gigabytes = (bytes: number) => (bytes / 1e9).toFixed(1).replace(/\.0$/, '')
