import { setTimeout as delay } from 'node:timers/promises'
import { ChannelReader } from '@agentos/sdk'
import { type Simulator, type System, startOpenAiSimulator } from '@agentos/testing'
import type { Findings } from '../harness/findings.ts'
import { memoryMb, metric, p99Of } from '../harness/observe.ts'
import type { Row, RowEnv } from '../harness/row.ts'
import { SlowProxy } from '../harness/slow-proxy.ts'
import { until } from '../harness/waits.ts'
import { WirePeer } from '../harness/wire.ts'

const BYTES_PER_SECOND = 1_000
const MEMORY_MB = 50
const LIMIT_MS = 60_000
/** One piece, and how many are sent: far more than what may wait. */
const PIECE = 'x'.repeat(100_000)
const PIECES = 1_500
const CALLS = 200
const IN_FLIGHT = 200

/** p99 of what others call, measured before each reader too: a machine that is busy with other things is not the fault. */
type Others = () => Promise<number>

/**
 * Readers that take 1 kB a second: of a channel, whose writer is held back; of results, whose client is let go with a
 * typed close; in the whole form also of a stream over HTTP, which is ended with a typed error. What waits for them is
 * bounded, and others notice nothing.
 */
export const row: Row = {
  row: 9,
  title: 'slow reader of a stream',
  rounds: { full: 3, short: 1 },

  async run(env, findings) {
    const provider = await startOpenAiSimulator({ text: 'word '.repeat(400_000) })
    env.cleanUp(() => provider.close())
    const system = await start(env, provider)
    const client = system.client()
    // The least of several: others use the machine too.
    const others: Others = async () => {
      const some: number[] = []
      for (let n = 0; n < 4; n += 1) some.push(await p99Of(CALLS, () => client.state.get('slow', 'k')))
      return Math.min(...some)
    }
    await others()
    for (let round = 0; round < env.rounds; round += 1) {
      await slowChannel(env, system, others, findings)
      if (!env.short) await slowStream(env, system, others, findings)
      await slowClient(env, system, others, findings)
    }
  },
}

function start(env: RowEnv, provider: Simulator): Promise<System> {
  if (env.short) return env.engine()
  return env.system({
    workers: ['agent-core', 'llm-router', 'memory', 'security'],
    env: { AGENTOS_LOCAL_MODELS: 'off' },
    workerEnv: { 'llm-router': { OPENAI_API_KEY: provider.key } },
    config: {
      workers: [
        {
          name: 'llm-router',
          config: { providers: { sim: { baseUrl: provider.url, format: 'openai-chat', keyEnv: 'OPENAI_API_KEY' } } },
        },
      ],
    },
  })
}

async function slowChannel(env: RowEnv, system: System, others: Others, findings: Findings): Promise<void> {
  const before = await others()
  const proxy = await SlowProxy.start(system.wsUrl, BYTES_PER_SECOND)
  env.cleanUp(() => proxy.close())
  const writer = system.client()
  const { writer: out, readerRef } = await writer.createChannel()
  const reader = new ChannelReader(proxy.url, { ...readerRef, direction: 'read' })
  let read = 0
  reader.onMessage(() => {
    read += 1
  })
  const memory = watchMemory(system)
  let written = 0
  const writing = (async () => {
    for (; written < PIECES; written += 1) await out.sendMessage(PIECE)
  })().catch(() => undefined)
  await until(() => written > 0, LIMIT_MS)
  await quiet(() => written)
  compare(findings, 'a slow channel', before, await others())
  findings.figure('memory with a slow channel', memory.stop(), 'MB', { goal: MEMORY_MB, gate: MEMORY_MB })
  findings.expect(written < PIECES, 'the writer of a slow channel is not held back')
  const held = written
  proxy.speedUp()
  if (!(await until(() => written === PIECES && read === PIECES, LIMIT_MS, 20))) {
    findings.hung(`a channel whose reader is fast again: ${read} of ${PIECES} pieces came`)
  }
  findings.note(
    `a slow channel holds its writer back after ${((held * PIECE.length) / 2 ** 20).toFixed(0)} MiB, most of it in the kernel`,
  )
  findings.acknowledge(read)
  await writing
  await out.close()
  await proxy.close()
}

/** Resolves when a count has not changed for a while. */
async function quiet(count: () => number): Promise<void> {
  for (let last = -1; last !== count(); ) {
    last = count()
    await delay(400)
  }
}

/** A bus client is no stream: what waits for it is bounded by `buffered_bytes`, and past it hears 1013 once it reads on. */
async function slowClient(env: RowEnv, system: System, others: Others, findings: Findings): Promise<void> {
  const before = await others()
  const worker = await WirePeer.open(system.wsUrl)
  worker.serve('slow::large', (frame) => worker.answer(frame, PIECE))
  await worker.flushed()
  // What results cost that are read as they come is not the slow reader's.
  const usual = watchMemory(system)
  await readAtOnce(system)
  findings.figure('memory with a client that reads as much', usual.stop(), 'MB')
  const proxy = await SlowProxy.start(system.wsUrl, BYTES_PER_SECOND)
  env.cleanUp(() => proxy.close())
  const reader = await WirePeer.open(proxy.url)
  env.cleanUp(() => [worker, reader].forEach((peer) => void peer.terminate()))
  const connections = () => metric(system, 'agentos_worker_connections')
  const most = await connections()
  const memory = watchMemory(system, usual.most)
  for (let n = 0; n < PIECES; n += 1) void reader.call('slow::large')
  await quiet(() => worker.served.length)
  compare(findings, 'a client that does not read', before, await others())
  const dropped = await until(async () => (await connections()) < most, LIMIT_MS, 50)
  findings.figure('memory with a client that does not read', memory.stop(), 'MB', { goal: MEMORY_MB, gate: MEMORY_MB })
  worker.terminate()
  if (!dropped) return findings.hung('the client that does not read is never let go')
  proxy.speedUp()
  if (!(await until(() => reader.closed !== undefined, LIMIT_MS, 20))) return findings.hung('the end of a slow client')
  const { code, reason } = reader.closed!
  const read = [...reader.answers.values()].flat()
  findings.expect(code === 1013 && /^overloaded: /.test(reason), `a slow client was let go with ${code} ${reason}`)
  findings.expect(
    read.length > 0 && read.length < PIECES && read.every(({ result }) => result === PIECE),
    `a slow client read ${read.length} results, or parts of some`,
  )
  findings.acknowledge(read.length)
  await proxy.close()
}

/** A client with some calls in flight, which takes their results as they come. */
async function readAtOnce(system: System): Promise<void> {
  const reader = await WirePeer.open(system.wsUrl)
  for (let n = 0; n < PIECES; n += IN_FLIGHT) {
    await Promise.all(Array.from({ length: IN_FLIGHT }, () => reader.call('slow::large')))
    reader.answers.clear()
  }
  reader.terminate()
}

async function slowStream(env: RowEnv, system: System, others: Others, findings: Findings): Promise<void> {
  const before = await others()
  const proxy = await SlowProxy.start(system.httpUrl, BYTES_PER_SECOND)
  env.cleanUp(() => proxy.close())
  const memory = watchMemory(system)
  const response = await fetch(`${proxy.url}/v1/chat`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ message: 'speak', model: 'sim/test-model', stream: true }),
  })
  const text = readAll(response)
  const streams = () => metric(system, 'agentos_http_streams')
  if (!(await until(async () => (await streams()) === 1, LIMIT_MS))) return findings.wrong('no stream was opened')
  // What fits between provider and reader has gone through by then.
  await delay(6_000)
  compare(findings, 'a slow stream', before, await others())
  const ended = await until(async () => (await streams()) === 0, LIMIT_MS, 50)
  findings.figure('memory with a slow stream', memory.stop(), 'MB', { goal: MEMORY_MB, gate: MEMORY_MB })
  if (!ended) return findings.hung('the stream that nobody reads is never ended')
  proxy.speedUp()
  const last = (await text).trimEnd().split('\n\n').at(-1) ?? ''
  findings.expect(/^event: error\n.*"overloaded"/.test(last), `the last words of the stream are ${last.slice(0, 200)}`)
  findings.acknowledge()
}

function compare(findings: Findings, what: string, before: number, during: number): void {
  // Below a millisecond the ratio is about the machine.
  const ratio = Math.max(1, during) / Math.max(1, before)
  findings.figure(`p99 of others beside ${what}`, ratio, '×', { goal: 2, gate: 6 })
}

async function readAll(response: Response): Promise<string> {
  let text = ''
  try {
    for await (const part of response.body!) text += Buffer.from(part).toString('utf8')
  } catch {
    // It was cut off.
  }
  return text
}

interface MemoryWatch {
  readonly most: number
  /** By how much the engine's memory has grown at most, in MB. */
  stop(): number
}

function watchMemory(system: System, first = memoryMb(system.engine.pid)): MemoryWatch {
  let most = first
  const timer = setInterval(() => {
    most = Math.max(most, memoryMb(system.engine.pid))
  }, 20)
  return {
    get most() {
      return most
    },
    stop() {
      clearInterval(timer)
      return most - first
    },
  }
}
