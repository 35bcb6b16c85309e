import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import type { DeclaredProblem } from '../../packages/engine/src/core/declared-triggers.ts'
import type { WorkerDescriptor } from '../../packages/protocol/src/index.ts'
import { ManifestError, type ManifestFile, openManifest } from '../manifest.ts'
import { makeBundle } from './bundle.ts'
import { contractsFile, describeWorker, loadContracts } from './descriptor.ts'
import { place } from './files.ts'

/** A worker that was built and is not written yet. */
export interface MadeWorker {
  descriptor: WorkerDescriptor
  manifest: ManifestFile
  contracts: string | undefined
  bundle: { path: string; contents: Uint8Array }[]
}

/** Every folder with a manifest; one that was deleted is simply no longer there. */
export async function findWorkers(root: string): Promise<string[]> {
  const names = await readdir(join(root, 'workers')).catch(() => [])
  return names.filter((name) => existsSync(join(root, 'workers', name, 'iii.worker.yaml'))).sort()
}

export async function makeWorker(root: string, name: string): Promise<MadeWorker> {
  const file = `workers/${name}/iii.worker.yaml`
  const manifest = openManifest(await readFile(join(root, file), 'utf8'), file)
  const { name: called, runtime } = manifest.manifest
  if (called !== name) throw new ManifestError(`${manifest.placeOf(['name'])}: it calls itself ${called}`)
  // First: where the sources cannot be read at all, this says best where.
  const entry = `workers/${name}/${runtime.entry}`
  const bundle = await makeBundle({ entry, out: join(root, 'dist/bundles', `${name}.mjs`) }, root)
  const contracts = contractsFile(root, name)
  const descriptor = await describeWorker(manifest.manifest, contracts ? await loadContracts(contracts) : [])
  return { descriptor, manifest, contracts, bundle }
}

/** Writes a worker; returns its files. */
export async function placeWorker(root: string, { descriptor, bundle }: MadeWorker): Promise<string[]> {
  const { name } = descriptor
  const launcher = join(root, 'dist/workers', `${name}.mjs`)
  const described = join(root, 'dist/workers', `${name}.json`)
  for (const file of bundle) await place(file.path, file.contents)
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
  return [launcher, described, ...bundle.map(({ path }) => path)]
}

/** Descriptors of an earlier build, of workers that are still there. */
export async function readDescriptors(root: string, names: readonly string[]): Promise<WorkerDescriptor[]> {
  const read = names.map(async (name) => {
    const text = await readFile(join(root, 'dist/workers', `${name}.json`), 'utf8').catch(() => undefined)
    return text === undefined ? [] : [JSON.parse(text) as WorkerDescriptor]
  })
  return (await Promise.all(read)).flat()
}

/** What the engine would refuse of these workers, beside the `others`: by worker, each mistake with its place. */
export async function refusedByEngine(
  root: string,
  made: readonly MadeWorker[],
  others: readonly WorkerDescriptor[],
): Promise<Map<string, string>> {
  const { rehearse } = await import('../../packages/engine/src/rehearsal.ts')
  const refused = new Map<string, string>()
  for (const problem of rehearse([...others, ...made.map(({ descriptor }) => descriptor)])) {
    const worker = made.find(({ descriptor }) => descriptor.name === problem.worker)
    if (!worker) continue
    const said = `${await placeOf(root, worker, problem)}: ${problem.message}`
    refused.set(problem.worker, [refused.get(problem.worker), said].filter(Boolean).join('\n'))
  }
  return refused
}

async function placeOf(root: string, worker: MadeWorker, { path, route }: DeclaredProblem): Promise<string> {
  const { manifest, contracts } = worker
  if (route === undefined || contracts === undefined) return manifest.placeOf(path)
  const lines = (await readFile(contracts, 'utf8')).split('\n')
  const index = lines.findIndex((line) => line.includes(route))
  const file = relative(root, contracts)
  return index < 0 ? file : `${file}:${index + 1}:${lines[index]!.indexOf(route) + 1}`
}
