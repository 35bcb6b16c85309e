import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { Installation } from './installation.ts'
import { type Memory, memoryOf } from './memory.ts'
import type { Plan } from './plan.ts'
import { digits, quantile, spread } from './statistics.ts'
import { paired, type Row, single } from './table.ts'

/** Garbage of the start is collected and caches are written by then. */
const SETTLE_MS = 3_000

/** Start, first answer and memory of the system as `npm start` runs it. */
export async function measureWholeSystem(root: string, plan: Plan): Promise<Row[]> {
  // The first start after a build writes the code cache that later ones read.
  await (await Installation.start(root)).stop()
  const engine: number[] = []
  const all: number[] = []
  for (let round = 1; ; round += 1) {
    const system = await Installation.start(root)
    try {
      engine.push(system.started.engine)
      all.push(system.started.all)
      if (round < plan.starts) continue
      const workers = system.processes().length - 2
      const chats = await measureChats(system.url, plan.chats)
      await delay(plan.scale < 1 ? SETTLE_MS / 3 : SETTLE_MS)
      return [
        single('start: the engine answers', engine, 'ms'),
        single(`start: engine and ${workers} workers are ready`, all, 'ms', '≤ 3,000 ms'),
        ...chats,
        ...(await measureMemory(system)),
      ]
    } finally {
      await system.stop()
    }
  }
}

/** `POST /v1/chat` answered by the rules demo: everything but a model is in it. */
async function measureChats(url: string, count: number): Promise<Row[]> {
  const times: number[] = []
  for (let index = 0; index < count; index += 1) {
    const begin = performance.now()
    const answer = await fetch(`${url}/v1/chat`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ message: `What is ${index + 2} times 23?` }),
    })
    const reply = (await answer.json()) as { model?: string; content?: string }
    times.push(performance.now() - begin)
    if (reply.model !== 'demo/rules') throw new Error(`The chat was not answered by the demo: ${JSON.stringify(reply)}`)
  }
  const [first, ...rest] = times
  return [
    single('chat answered by the rules demo: the very first', [first!], 'ms'),
    {
      ...single(`chat answered by the rules demo: p50 of ${rest.length}`, [quantile(rest, 0.5)], 'ms'),
      ours: `${digits(quantile(rest, 0.5))} (p5–p95 ${digits(quantile(rest, 0.05))}–${digits(quantile(rest, 0.95))}) ms`,
    },
  ]
}

async function measureMemory(system: Installation): Promise<Row[]> {
  const empty = await emptyNode()
  if (!empty) return []
  const of = system.processes().map(({ name, pid }) => ({ name, memory: memoryOf(pid) ?? { rss: NaN, pss: NaN } }))
  const row = (name: string, { rss, pss }: Memory): Row => ({
    ...paired(`memory of ${name}`, [pss], [empty.pss], { unit: 'MB', other: '' }),
    ours: `${digits(pss)} PSS, ${digits(rss)} RSS MB`,
    other: `empty Node process: ${digits(empty.pss)} PSS, ${digits(empty.rss)} RSS MB`,
  })
  const total = of.reduce((sum, { memory }) => ({ rss: sum.rss + memory.rss, pss: sum.pss + memory.pss }), {
    rss: 0,
    pss: 0,
  })
  return [
    ...of.map(({ name, memory }, index) => row(index < 2 ? name : `worker ${name}`, memory)),
    {
      ...row(`all ${of.length} processes`, total),
      other: `PSS of the workers: ${spread(of.slice(2).map(({ memory }) => memory.pss))} MB`,
    },
  ]
}

async function emptyNode(): Promise<Memory | undefined> {
  const child = spawn(process.execPath, ['-e', 'process.stdin.resume().on("end", () => process.exit())'], {
    stdio: ['pipe', 'ignore', 'inherit'],
  })
  try {
    await delay(500)
    return memoryOf(child.pid!)
  } finally {
    const gone = once(child, 'exit')
    child.kill()
    await gone
  }
}
