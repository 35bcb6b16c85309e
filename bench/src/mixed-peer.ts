import { setTimeout as delay } from 'node:timers/promises'
import { type IIIClient, registerWorker } from '@agentos/sdk'
import { payloadOf } from './load.ts'
import { serveParent } from './peer.ts'
import { quantile } from './statistics.ts'

/** `mixed-peer.ts <address>`: fills the store, puts load on the engine, and takes the time of small calls. */
const client = registerWorker(process.argv[2]!)
await client.ready()

export type MixedQuestion =
  /** Puts records of this size into the state until it holds so many, or the time is up; answers how many it put. */
  | { fill: { records: number; bytes: number; limitMs: number } }
  /** Begins with the load, or ends it; the end answers with what was really done. */
  | { load: 'on' | 'off' }
  /** Small calls, so many a second, for so long; answers with their p99 in milliseconds. */
  | { probe: { perSecond: number; ms: number } }

/** What was done a second while the load was on. */
export interface LoadDone {
  writes: number
  megabytes: number
  chunks: number
}

const WRITERS = { count: 64, perSecond: 50 }
const PAYLOADS = { perSecond: 5, bytes: 1_000_000 }
const STREAMS = { count: 200, perSecond: 20 }
const FILLERS = 16

let load: Promise<LoadDone> | undefined
let stop = new AbortController()

serveParent('connected', async (question: MixedQuestion) => {
  if ('fill' in question) return fill(question.fill)
  if ('probe' in question) return probe(question.probe)
  if (question.load === 'on') {
    stop = new AbortController()
    load = putLoad(client, stop.signal)
    return undefined
  }
  stop.abort()
  return load
})

interface Fill {
  records: number
  bytes: number
  limitMs: number
}

async function fill({ records, bytes, limitMs }: Fill): Promise<number> {
  const value = payloadOf(bytes)
  const end = performance.now() + limitMs
  let next = 0
  const loop = async () => {
    while (next < records && performance.now() < end) {
      const key = `filler-${next++}`
      await client.trigger({ function_id: 'state::set', payload: { scope: 'bench-filler', key, value } })
    }
  }
  await Promise.all(Array.from({ length: FILLERS }, loop))
  return next
}

/** Each call leaves when it is due, whether or not the one before has come back. */
async function probe({ perSecond, ms }: { perSecond: number; ms: number }): Promise<number> {
  const payload = payloadOf(100)
  const times: number[] = []
  const calls: Promise<unknown>[] = []
  await atPace(perSecond, AbortSignal.timeout(ms), async () => {
    const begin = performance.now()
    const call = client
      .trigger({ function_id: 'bench::echo', payload })
      .then(() => times.push(performance.now() - begin))
    calls.push(call)
  })
  await Promise.all(calls)
  return quantile(times, 0.99)
}

async function putLoad(caller: IIIClient, signal: AbortSignal): Promise<LoadDone> {
  const done = { writes: 0, megabytes: 0, chunks: 0 }
  const begin = performance.now()
  const [small, large] = [payloadOf(100), payloadOf(PAYLOADS.bytes)]
  const writer = (_: unknown, index: number) =>
    atPace(WRITERS.perSecond, signal, async () => {
      const payload = { scope: 'bench-load', key: `key-${index}`, value: small }
      await caller.trigger({ function_id: 'state::set', payload })
      done.writes += 1
    })
  const payloads = atPace(PAYLOADS.perSecond, signal, async () => {
    await caller.trigger({ function_id: 'bench::echo', payload: large })
    done.megabytes += 1
  })
  const stream = async () => {
    const { writer: end, reader } = await caller.createChannel()
    reader.onMessage(() => (done.chunks += 1))
    await atPace(STREAMS.perSecond, signal, () => end.send({ type: 'text', text: 'a few words of an answer ' }))
    await end.close()
  }
  await Promise.all([
    ...Array.from({ length: WRITERS.count }, writer),
    payloads,
    ...Array.from({ length: STREAMS.count }, stream),
  ])
  const seconds = (performance.now() - begin) / 1_000
  return { writes: done.writes / seconds, megabytes: done.megabytes / seconds, chunks: done.chunks / seconds }
}

/** Does it so often a second until it is told to stop; what comes late is not made up for. */
async function atPace(perSecond: number, signal: AbortSignal, work: () => Promise<unknown>): Promise<void> {
  const gap = 1_000 / perSecond
  let due = performance.now() + Math.random() * gap
  while (!signal.aborted) {
    await delay(Math.max(0, due - performance.now()))
    if (signal.aborted) return
    await work()
    due = Math.max(due + gap, performance.now())
  }
}
