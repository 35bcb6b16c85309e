import { writeFileSync } from 'node:fs'
import { loadavg } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { startEngine } from '@agentos/testing'
import { measureBus } from './bus.ts'
import { measureDurable } from './durable.ts'
import { measureGateway } from './gateway.ts'
import { measureHttp } from './http.ts'
import { describeMachine } from './machine.ts'
import { measureManyWorkers } from './many-workers.ts'
import { measureMixed } from './mixed.ts'
import { Peer } from './peer.ts'
import { FULL, type Plan, QUICK } from './plan.ts'
import { measureQueue, QUEUE_CONCURRENCY } from './queue.ts'
import { Rivals } from './rivals.ts'
import { measureRuns } from './runs.ts'
import { markdown, type Row } from './table.ts'
import { measureWholeSystem } from './whole-system.ts'

/** Those that share one engine come first. */
const ON_ONE_ENGINE = ['bus', 'http', 'durable', 'queue', 'runs'] as const
const PARTS = [...ON_ONE_ENGINE, 'gateway', 'mixed', 'system', 'workers'] as const
type Part = (typeof PARTS)[number]
const root = join(import.meta.dirname, '../..')

const { values: options, positionals } = parseArgs({
  options: { quick: { type: 'boolean', default: false }, alone: { type: 'boolean', default: false } },
  allowPositionals: true,
})
const unknown = positionals.filter((name) => !(PARTS as readonly string[]).includes(name))
if (unknown.length > 0) {
  console.error(`There is no part ${unknown.join(', ')}. There are: ${PARTS.join(', ')}.`)
  process.exit(2)
}
const wants = (part: Part) => positionals.length === 0 || positionals.includes(part)

const plan = options.quick ? QUICK : FULL
const begin = performance.now()
const loadBefore = loadavg()[0]!
const rivals = options.alone ? new Rivals(false) : await Rivals.install()
const rows: Row[] = []

/** A part that fails is said below the table, and does not take the others with it. */
async function measure(part: Part, work: () => Promise<Row[]>): Promise<void> {
  if (!wants(part)) return
  try {
    rows.push(...(await work()))
  } catch (error) {
    console.error(error)
    rivals.note(`The part ${part} failed: ${String(error).split('\n', 1)[0]}`)
    process.exitCode = 1
  }
}

/** One engine of the built system in its default configuration serves bus, HTTP, durable writes, queue and runs. */
async function measureEngine(plan: Plan): Promise<void> {
  // A named queue is the application's to configure; its depth must not end a measurement.
  const bench = { type: 'standard', concurrency: QUEUE_CONCURRENCY, max_depth: 1_000_000 }
  await using system = await startEngine({
    config: { workers: [{ name: 'iii-queue', config: { queue_configs: { bench } } }] },
  })
  const { wsUrl: url, httpUrl, ownerToken: token, dataDir } = system
  const { peer: worker } = await Peer.start('echo-worker.ts', ['engine', url])
  try {
    await measure('bus', () => measureBus(url, plan, rivals))
    await measure('http', () => measureHttp({ url: httpUrl, token }, plan))
    await measure('durable', () => measureDurable({ url, dataDir }, plan, rivals))
    await measure('queue', () => measureQueue(url, plan, rivals))
    await measure('runs', () => measureRuns(url, plan, rivals))
  } finally {
    await worker.stop()
  }
}

if (ON_ONE_ENGINE.some(wants)) await measureEngine(plan)
await measure('gateway', () => measureGateway(plan, rivals))
await measure('mixed', () => measureMixed(plan, rivals))
await measure('system', () => measureWholeSystem(root, plan))
await measure('workers', () => measureManyWorkers(root, plan))

const minutes = ((performance.now() - begin) / 60_000).toFixed(1)
const text = [
  markdown(rows),
  '',
  ...rivals.notes.map((note) => `- ${note}`),
  '',
  `${describeMachine(root)}${options.quick ? ' Quick run.' : ''} ${minutes} minutes; load average before and after ${loadBefore.toFixed(1)} and ${loadavg()[0]!.toFixed(1)}.`,
  'Each figure is the median of its rounds (least–greatest); a ratio is the median of the ratios of each round.',
  '',
].join('\n')
console.log(text)
// A part of the table, or a quick one, does not replace the whole.
const whole = !options.quick && !options.alone && positionals.length === 0
if (whole) writeFileSync(join(root, 'bench', 'results.md'), text)
process.exit()
