import { existsSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { bundle, bundleErrors } from './build/bundle.ts'
import { buildConsole } from './build/console.ts'
import { contractsFile, describeWorker, loadContracts } from './build/descriptor.ts'
import { keepOnly, place } from './build/files.ts'
import { readManifest } from './manifest.ts'
import { buildPrint, buildStamp } from './setup/built.mjs'

/**
 * Builds everything into dist/, or only the workers named on the command line. What fails does not keep the rest
 * from being built; the exit code tells.
 */

const root = join(import.meta.dirname, '..')
const dist = join(root, 'dist')

/** Programs of the system: what the launcher runs, and the thread that the engine starts itself. */
const programs = [
  { name: 'engine', entry: 'packages/engine/src/main.ts', service: 'true' },
  { name: 'agentos', entry: 'packages/cli/src/main.ts', service: "process.argv[2] === 'up'" },
]
const storeThread = 'packages/engine/src/store/thread.ts'

async function buildProgram({ name, entry, service }: (typeof programs)[number]): Promise<string[]> {
  const launcher = join(dist, `${name}.mjs`)
  const files = await bundle({ entry, out: join(dist, `${name}-main.mjs`), main: true }, root)
  await place(
    launcher,
    `#!/usr/bin/env node\nimport { launch } from './launch.mjs'\nawait launch(import.meta.url, './${name}-main.mjs', ${service})\n`,
  )
  return [launcher, ...files]
}

async function buildWorker(name: string): Promise<string[]> {
  const folder = join(root, 'workers', name)
  const manifest = await readManifest(join(folder, 'iii.worker.yaml'))
  if (manifest.name !== name) throw new Error(`workers/${name}/iii.worker.yaml calls itself ${manifest.name}`)
  const contracts = contractsFile(root, name)
  const descriptor = await describeWorker(manifest, contracts ? await loadContracts(contracts) : [])
  const entry = `workers/${name}/${manifest.runtime.entry}`
  const bundled = await bundle({ entry, out: join(dist, 'bundles', `${name}.mjs`) }, root)
  const launcher = join(dist, 'workers', `${name}.mjs`)
  const described = join(dist, 'workers', `${name}.json`)
  await place(described, `${JSON.stringify(descriptor, null, 1)}\n`)
  await place(
    launcher,
    [
      "import { fileURLToPath } from 'node:url'",
      "import { launch } from '../launch.mjs'",
      `const program = await launch(import.meta.url, './bundles/${name}.mjs', true)`,
      `await program?.worker.run({ descriptor: fileURLToPath(new URL('./${name}.json', import.meta.url)) })`,
      '',
    ].join('\n'),
  )
  return [launcher, described, ...bundled]
}

/** Every folder with a manifest; one that was deleted is simply no longer there. */
async function findWorkers(): Promise<string[]> {
  const names = await readdir(join(root, 'workers')).catch(() => [])
  return names.filter((name) => existsSync(join(root, 'workers', name, 'iii.worker.yaml'))).sort()
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

const failures: string[] = []

async function attempt(what: string, work: () => Promise<string[]>): Promise<string[]> {
  try {
    return await work()
  } catch (error) {
    failures.push(`${what}\n${bundleErrors(error, root).replaceAll(/^/gm, '  ')}`)
    return []
  }
}

async function buildAll(): Promise<void> {
  // Taken first: what changes while we build is not in this build.
  const print = buildPrint(root)
  const workers = await findWorkers()
  const present = programs.filter(({ entry }) => existsSync(join(root, entry)))
  const [page, ...made] = await Promise.all([
    attempt('the page', async () => ((await buildConsole(root)) ? [join(dist, 'console')] : [])),
    attempt('the launcher', () =>
      bundle({ entry: 'scripts/build/launch.mjs', out: join(dist, 'launch.mjs'), node: 18 }, root),
    ),
    existsSync(join(root, storeThread))
      ? attempt('the store thread', () => bundle({ entry: storeThread, out: join(dist, 'store-thread.mjs') }, root))
      : [],
    attempt('the list of contracts', describeContracts),
    ...present.map((program) => attempt(program.name, () => buildProgram(program))),
    ...workers.map((name) => attempt(`the worker ${name}`, () => buildWorker(name))),
  ])
  const files = new Set([...page, ...made.flat()])
  if (failures.length > 0) return
  // What no source stands behind any more goes; after a failure it stays, the last good state still runs.
  const top = ['.cache', 'workers', 'bundles'].map((name) => join(dist, name))
  await keepOnly(dist, new Set([...files, ...top]))
  await keepOnly(join(dist, 'workers'), files)
  await keepOnly(join(dist, 'bundles'), files)
  await place(buildStamp(root), print)
  console.log(`built ${present.map(({ name }) => name).join(', ')} and ${workers.length} workers`)
}

const started = performance.now()
const only = process.argv.slice(2)
if (only.length > 0) {
  await Promise.all(only.map((name) => attempt(`the worker ${name}`, () => buildWorker(basename(name)))))
} else {
  await buildAll()
}
if (failures.length > 0) {
  console.error(`These parts do not build:\n\n${failures.join('\n\n')}`)
  process.exitCode = 1
} else if (process.stdout.isTTY) {
  console.log(`in ${((performance.now() - started) / 1000).toFixed(1)} s`)
}
