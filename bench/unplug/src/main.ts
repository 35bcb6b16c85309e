import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { describeMachine } from '../../src/machine.ts'
import { installRivals } from '../../src/rivals.ts'
import { markdown, type Summary, summaryOf } from './summary.ts'
import { SYSTEMS, type System } from './systems.ts'
import { tryOut } from './trial.ts'
import type { Verdict } from './verdict.ts'
import { World } from './world.ts'

/**
 * `--runs 200 --seed 1 --lanes 2 --show --write [system …]`. Whole runs (every system, 200 times) are written to the
 * results; others are only printed, unless `--write` says otherwise.
 */
const { values, positionals } = parseArgs({
  options: {
    runs: { type: 'string', default: '200' },
    seed: { type: 'string', default: '1' },
    lanes: { type: 'string', default: '2' },
    show: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
  },
  allowPositionals: true,
})
const [runs, seed, lanes] = [Number(values.runs), Number(values.seed), Number(values.lanes)]
const root = join(import.meta.dirname, '../../..')
const unknown = positionals.filter((id) => !SYSTEMS.some((system) => system.id === id))
if (unknown.length > 0 || ![runs, seed, lanes].every((number) => Number.isSafeInteger(number) && number > 0)) {
  console.error(`npm run bench:unplug -- [--runs n] [--seed n] [--lanes n] [--show] [--write] [system …]`)
  console.error(`Systems: ${SYSTEMS.map(({ id }) => id).join(', ')}.`)
  process.exit(2)
}
const chosen = SYSTEMS.filter(({ id }) => positionals.length === 0 || positionals.includes(id))

const problem = chosen.some(({ id }) => id !== 'agentos') ? await installRivals() : undefined
const begin = performance.now()
const summaries: Summary[] = []
const irregular: Record<string, Verdict[]> = {}
const leftOut: string[] = []
const waiting = [...chosen]
await Promise.all(Array.from({ length: lanes }, lane))

async function lane(): Promise<void> {
  for (let system = waiting.shift(); system; system = waiting.shift()) {
    try {
      await measure(system)
    } catch (error) {
      leftOut.push(`${system.name}: ${error instanceof Error ? error.message : String(error)}`)
    }
  }
}

async function measure(system: System): Promise<void> {
  if (problem !== undefined && system.id !== 'agentos') throw new Error(problem)
  const found = await system.version()
  if ('missing' in found) throw new Error(found.missing)
  const folder = mkdtempSync(join(tmpdir(), 'agentos-unplug-'))
  await using resources = new AsyncDisposableStack()
  resources.defer(() => rmSync(folder, { recursive: true, force: true }))
  const world = await World.open()
  resources.defer(() => world.close())
  const contestant = await system.open(folder, world.url, resources)
  resources.defer(() => contestant.stop())
  const verdicts: Verdict[] = []
  await tryOut(contestant, world, { runs, seed }, (verdict) => {
    verdicts.push(verdict)
    if (values.show && !isClean(verdict)) show(system.name, verdict)
    if (verdicts.length % 20 === 0) console.log(`${system.name}: ${verdicts.length} runs`)
  })
  summaries.push(summaryOf(system.name, found.version, verdicts))
  irregular[system.name] = verdicts.filter((verdict) => !isClean(verdict))
}

function isClean({ ended, doubled, silentlyWrong, modelRequestsOver }: Verdict): boolean {
  return ended === 'finished' && doubled.charge + doubled.notify === 0 && !silentlyWrong && modelRequestsOver <= 1
}

function show(name: string, { log, task, killed, ...rest }: Verdict): void {
  console.log(`\n${name}, ${task}: killed ${killed}: ${JSON.stringify(rest)}\n${log.join('\n')}\n`)
}

const order = SYSTEMS.map(({ name }) => name)
summaries.sort((a, b) => order.indexOf(a.name) - order.indexOf(b.name))
const minutes = (performance.now() - begin) / 60_000
const text = [
  markdown(summaries),
  '',
  ...summaries.map(({ name, version, runs: count }) => `- ${name}: ${version}; ${count} runs, each cut once.`),
  ...leftOut.map((line) => `- Left out: ${line}`),
  '',
  `${describeMachine(root)} Seed ${seed}, ${lanes} at a time, ${minutes.toFixed(0)} minutes; load average at the end ${loadavg()[0]!.toFixed(1)}.`,
  'What was set up how, and what the columns mean: [README.md](README.md).',
  '',
].join('\n')
console.log(`\n${text}`)
if (values.write || (positionals.length === 0 && runs >= 200)) {
  writeFileSync(join(root, 'bench/unplug/results.md'), text)
  const data = { seed, summaries, leftOut, irregular: mapValues(irregular, (verdicts) => verdicts.slice(0, 5)) }
  writeFileSync(join(root, 'bench/unplug/results.json'), `${JSON.stringify(data, null, 1)}\n`)
}
process.exit(0)

function mapValues<A, B>(of: Record<string, A>, map: (value: A) => B): Record<string, B> {
  return Object.fromEntries(Object.entries(of).map(([key, value]) => [key, map(value)]))
}
