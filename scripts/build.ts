import { existsSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { readUnbuilt, unbuiltFile } from '../packages/cli/src/supervisor/unbuilt.ts'
import { bundle, bundleErrors } from './build/bundle.ts'
import { buildConsole } from './build/console.ts'
import { loadContracts } from './build/descriptor.ts'
import { keepOnly, place } from './build/files.ts'
import {
  findWorkers,
  type MadeWorker,
  makeWorker,
  placeWorker,
  readDescriptors,
  refusedByEngine,
} from './build/worker.ts'
import { buildStamp, commandLineStamp, ONLY_WORKERS_FAILED } from './setup/built.mjs'

/**
 * Builds everything into dist/, or only the workers named on the command line, or with `--command-line` only that. What
 * fails does not keep the rest from being built; the exit code tells.
 */

const root = join(import.meta.dirname, '..')
const dist = join(root, 'dist')

/** Programs of the system: what the launcher runs, and the thread that the engine starts itself. */
const programs = [
  { name: 'engine', entry: 'packages/engine/src/main.ts', service: 'true' },
  { name: 'agentos', entry: 'packages/cli/src/main.ts', service: "process.argv[2] === 'up'" },
]
const storeThread = 'packages/engine/src/store/thread.ts'

const buildLauncher = (): Promise<string[]> =>
  bundle({ entry: 'scripts/build/launch.mjs', out: join(dist, 'launch.mjs'), node: 18 }, root)

async function buildProgram({ name, entry, service }: (typeof programs)[number]): Promise<string[]> {
  const launcher = join(dist, `${name}.mjs`)
  const files = await bundle({ entry, out: join(dist, `${name}-main.mjs`), main: true }, root)
  await place(
    launcher,
    `#!/usr/bin/env node\nimport { launch } from './launch.mjs'\nawait launch(import.meta.url, './${name}-main.mjs', ${service})\n`,
  )
  return [launcher, ...files]
}

/** Which worker serves which id, of every contract there is: what is not installed can then be named. */
async function describeContracts(): Promise<string[]> {
  const folder = join(root, 'packages/contracts/src')
  const names = (await readdir(folder)).filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts')).sort()
  const entries = await Promise.all(
    names.map(async (name) => {
      const contracts = await loadContracts(join(folder, name))
      return contracts.map(({ id }) => [id, basename(name, '.ts')] as const)
    }),
  )
  const file = join(dist, 'contracts.json')
  await place(file, `${JSON.stringify(Object.fromEntries(entries.flat()), null, 1)}\n`)
  return [file]
}

/** What did not build: parts of the system, and workers. */
const failures = new Map<string, string>()
const unbuilt = new Map<string, string>()

async function attempt<T>(what: string, work: () => Promise<T>, into = failures): Promise<T | undefined> {
  try {
    return await work()
  } catch (error) {
    into.set(what, bundleErrors(error, root))
    return undefined
  }
}

/** Builds these workers; one that fails leaves what an earlier build made of it. Returns the files of all that are here. */
async function buildWorkers(names: readonly string[], all: readonly string[]): Promise<string[]> {
  const present = names.filter((name) => all.includes(name))
  const made = (await Promise.all(present.map((name) => attempt(name, () => makeWorker(root, name), unbuilt)))).filter(
    (worker) => worker !== undefined,
  )
  const isMade = (name: string): boolean => made.some(({ descriptor }) => descriptor.name === name)
  const before = await readDescriptors(root, all)
  const others = before.filter(({ name }) => !isMade(name))
  // Where two collide it is who is new or has changed that does not build.
  const isAsBefore = ({ descriptor }: MadeWorker): boolean =>
    before.some((other) => JSON.stringify(other) === JSON.stringify(descriptor))
  const ordered = [...made.filter(isAsBefore), ...made.filter((worker) => !isAsBefore(worker))]
  const refused =
    made.length === 0
      ? []
      : await attempt('the check of triggers and routes', () => refusedByEngine(root, ordered, others))
  for (const [name, text] of refused ?? []) unbuilt.set(name, text)
  const files = made
    .filter(({ descriptor }) => !unbuilt.has(descriptor.name))
    .map((worker) => attempt(worker.descriptor.name, () => placeWorker(root, worker), unbuilt))
  const left = [...unbuilt.keys()].map((name) => filesOf(name))
  return [...(await Promise.all(files)), ...(await Promise.all(left))].flatMap((list) => list ?? [])
}

/** What an earlier build made of a worker. */
async function filesOf(worker: string): Promise<string[]> {
  const ours = (file: string) => file.startsWith(`${worker}.`) || file.startsWith(`${worker}-`)
  const folders = ['workers', 'bundles'].map((name) => join(dist, name))
  const lists = folders.map(async (folder) => (await readdir(folder).catch(() => [])).map((name) => join(folder, name)))
  return (await Promise.all(lists)).flat().filter((file) => ours(basename(file)))
}

const tellUnbuilt = (workers: ReadonlyMap<string, string>): Promise<void> =>
  place(unbuiltFile(dist), `${JSON.stringify(Object.fromEntries(workers), null, 1)}\n`)

async function buildAll(): Promise<void> {
  // Taken first: what changes while we build is not in this build.
  const prints = [buildStamp, commandLineStamp].map((stamp) => [stamp.file(root), stamp.print(root)] as const)
  const workers = await findWorkers(root)
  const present = programs.filter(({ entry }) => existsSync(join(root, entry)))
  const made = await Promise.all([
    attempt('the page', async () => ((await buildConsole(root)) ? [join(dist, 'console')] : [])),
    attempt('the launcher', buildLauncher),
    existsSync(join(root, storeThread))
      ? attempt('the store thread', () => bundle({ entry: storeThread, out: join(dist, 'store-thread.mjs') }, root))
      : [],
    attempt('the list of contracts', describeContracts),
    ...present.map((program) => attempt(program.name, () => buildProgram(program))),
    buildWorkers(workers, workers),
  ])
  await tellUnbuilt(unbuilt)
  if (failures.size > 0) return
  // What no source stands behind any more goes.
  const files = new Set(made.flatMap((list) => list ?? []))
  const top = ['.cache', 'workers', 'bundles'].map((name) => join(dist, name))
  await keepOnly(dist, new Set([...files, ...top]))
  await keepOnly(join(dist, 'workers'), files)
  await keepOnly(join(dist, 'bundles'), files)
  if (unbuilt.size > 0) return
  for (const [file, print] of prints) await place(file, print)
  console.log(`built ${present.map(({ name }) => name).join(', ')} and ${workers.length} workers`)
}

/** The command line and nothing else: it must work whatever a worker's sources are. */
async function buildCommandLine(): Promise<void> {
  const print = commandLineStamp.print(root)
  await attempt('the launcher', buildLauncher)
  await attempt('agentos', () => buildProgram(programs.find(({ name }) => name === 'agentos')!))
  if (failures.size === 0) await place(commandLineStamp.file(root), print)
}

async function buildSome(names: readonly string[]): Promise<void> {
  const before = readUnbuilt(dist)
  await buildWorkers(names, await findWorkers(root))
  const untouched = Object.entries(before).filter(([name]) => !names.includes(name))
  await tellUnbuilt(new Map([...untouched, ...unbuilt]))
}

const started = performance.now()
const [first, ...rest] = process.argv.slice(2)
if (first === undefined) await buildAll()
else if (first === '--command-line') await buildCommandLine()
else await buildSome([first, ...rest].map((name) => basename(name)))

const parts = [...failures, ...[...unbuilt].map(([name, text]) => [`the worker ${name}`, text] as const)]
if (parts.length > 0) {
  const said = parts.map(([what, text]) => `${what}\n${text.replaceAll(/^/gm, '  ')}`)
  console.error(`These parts do not build:\n\n${said.join('\n\n')}`)
  process.exitCode = failures.size > 0 ? 1 : ONLY_WORKERS_FAILED
} else if (process.stdout.isTTY) {
  console.log(`in ${((performance.now() - started) / 1000).toFixed(1)} s`)
}
