import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Checkout } from '../../e2e/support/checkout.ts'
import { Installation } from './installation.ts'
import { memoryOf } from './memory.ts'
import type { Plan } from './plan.ts'
import { digits, quantile } from './statistics.ts'
import { paired, type Row, single } from './table.ts'

const WORKERS = 65
/** Garbage of the start is collected and caches are written by then. */
const SETTLE_MS = 5_000
const IDLE_MS = 300

/** What sixty-five workers cost, as processes and on demand, and how soon one that sleeps answers. */
export async function measureManyWorkers(root: string, plan: Plan): Promise<Row[]> {
  const checkout = await checkoutWith(WORKERS)
  try {
    return [
      ...(await asProcesses(checkout, plan)),
      ...(await onDemand(checkout, plan)),
      ...(await coldCalls(root, 'fn::calculate', { expression: '17*23' }, 'toolbox', plan)),
    ]
  } finally {
    await checkout.destroy()
  }
}

/** A built checkout whose workers are copies of the one that `agentos new worker` writes. */
async function checkoutWith(count: number): Promise<Checkout> {
  const checkout = await Checkout.create()
  await build(checkout)
  const [first, ...others] = names(count)
  await checkout.agentos('new', 'worker', first!)
  const folder = join(checkout.root, 'workers')
  for (const name of others) {
    cpSync(join(folder, first!), join(folder, name), { recursive: true, verbatimSymlinks: true })
    rename(join(folder, name), first!, name)
  }
  await build(checkout)
  return checkout
}

const names = (count: number): string[] =>
  Array.from({ length: count }, (_, index) => `copy-${String(index + 1).padStart(2, '0')}`)

async function build(checkout: Checkout): Promise<void> {
  const { code, err } = await checkout.node('scripts/build.ts')
  if (code !== 0) throw new Error(`The workers do not build:\n${err}`)
}

/** Replaces the name in every file of a folder, and in their names. */
function rename(folder: string, from: string, to: string): void {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name)
    if (entry.isSymbolicLink() || entry.name === 'node_modules') continue
    if (entry.isDirectory()) rename(path, from, to)
    else writeFileSync(path, readFileSync(path, 'utf8').replaceAll(from, to))
    if (entry.name.includes(from)) renameSync(path, join(folder, entry.name.replace(from, to)))
  }
}

function setStart(checkout: Checkout, start: 'always' | 'on-demand'): void {
  const folder = join(checkout.root, 'dist/workers')
  for (const file of readdirSync(folder).filter((name) => name.endsWith('.json'))) {
    const descriptor = JSON.parse(readFileSync(join(folder, file), 'utf8')) as object
    writeFileSync(join(folder, file), JSON.stringify({ ...descriptor, start }))
  }
}

async function asProcesses(checkout: Checkout, plan: Plan): Promise<Row[]> {
  setStart(checkout, 'always')
  // The first start after a build writes the code cache that later ones read.
  const first = await Installation.start(checkout.root)
  await delay(SETTLE_MS)
  await first.stop()
  const ready: number[] = []
  const pss: number[] = []
  const empty: number[] = []
  const emptyPss: number[] = []
  for (let round = 0; round < startsOf(plan); round += 1) {
    const nodes = await emptyNodes(WORKERS)
    empty.push(nodes.ms)
    emptyPss.push(nodes.pss)
    const system = await Installation.start(checkout.root)
    try {
      ready.push(system.started.all)
      await delay(SETTLE_MS)
      pss.push(pssOf(system.processes().map(({ pid }) => pid)))
    } finally {
      await system.stop()
    }
  }
  const other = `${WORKERS} empty Node processes`
  return [
    paired(`start: ${WORKERS} workers as processes are ready`, ready, empty, { unit: 'ms', other, goal: '≤ 6,000 ms' }),
    paired(`memory: ${WORKERS} workers as processes, idle (PSS)`, pss, emptyPss, { unit: 'MB', other }),
  ]
}

async function onDemand(checkout: Checkout, plan: Plan): Promise<Row[]> {
  setStart(checkout, 'on-demand')
  const ready: number[] = []
  const pss: number[] = []
  const cold: number[] = []
  for (let round = 0; round < startsOf(plan); round += 1) {
    const system = await Installation.start(checkout.root)
    try {
      ready.push(system.started.all)
      await delay(SETTLE_MS)
      pss.push(pssOf(system.processes().map(({ pid }) => pid)))
      for (const name of names(WORKERS)) cold.push(await system.call(`${name}::greet`, { who: 'Ada' }))
    } finally {
      await system.stop()
    }
  }
  return [
    single(`start: ${WORKERS} workers on demand are ready`, ready, 'ms', '≤ 1,000 ms'),
    single(`memory: ${WORKERS} workers on demand, idle (PSS)`, pss, 'MB', '≤ 250 MB'),
    coldRow(`first call to a sleeping worker (a small one)`, cold),
  ]
}

/** The same for a worker of ours, which is let go in between. */
async function coldCalls(
  root: string,
  functionId: string,
  payload: unknown,
  worker: string,
  plan: Plan,
): Promise<Row[]> {
  const system = await Installation.start(root, IDLE_MS)
  try {
    // What the very first one compiles, the later ones find in the code cache: it is written 1.5 s after a start.
    await system.call(functionId, payload)
    const cold: number[] = []
    for (let round = 0; round < Math.max(10, Math.round(40 * plan.scale)); round += 1) {
      await system.asleep(worker)
      cold.push(await system.call(functionId, payload))
    }
    return [coldRow(`first call to a sleeping worker (${worker}, beside the others)`, cold)]
  } finally {
    await system.stop()
  }
}

function coldRow(work: string, times: readonly number[]): Row {
  const [p50, p95, most] = [quantile(times, 0.5), quantile(times, 0.95), Math.max(...times)]
  return {
    ...single(work, [p95], 'ms', 'p95 ≤ 400 ms'),
    ours: `p95 ${digits(p95)} (p50 ${digits(p50)}, most ${digits(most)}) ms`,
    other: `${times.length} calls, one after the other`,
  }
}

const startsOf = (plan: Plan): number => (plan.scale < 1 ? 1 : 3)

const pssOf = (pids: readonly number[]): number =>
  pids.reduce((sum, pid) => sum + (memoryOf(pid)?.pss ?? Number.NaN), 0)

/** Processes of Node with nothing in them: the time until all have said something, and their memory. */
async function emptyNodes(count: number): Promise<{ ms: number; pss: number }> {
  const source = 'process.stdout.write("up"); process.stdin.resume().on("end", () => process.exit())'
  const begin = performance.now()
  const children: ChildProcess[] = []
  try {
    const said: Promise<unknown>[] = []
    for (let index = 0; index < count; index += 1) {
      const child = spawn(process.execPath, ['-e', source], { stdio: ['pipe', 'pipe', 'inherit'] })
      children.push(child)
      said.push(once(child.stdout!, 'data'))
    }
    await Promise.all(said)
    const ms = performance.now() - begin
    return { ms, pss: pssOf(children.map((child) => child.pid!)) }
  } finally {
    const gone = children.map((child) => once(child, 'exit'))
    for (const child of children) child.kill()
    await Promise.all(gone)
  }
}
