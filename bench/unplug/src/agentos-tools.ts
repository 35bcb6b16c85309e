import { cp, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { describeWorker, loadContracts } from '../../../scripts/build/descriptor.ts'
import { readManifest } from '../../../scripts/manifest.ts'

const TOOLS = join(import.meta.dirname, '../tools')

/** A copy of the built system in which the tools are an installed worker too, as a user's own would be. Returns its folder. */
export async function withTools(dist: string, folder: string): Promise<string> {
  const place = join(folder, 'dist')
  await cp(dist, place, { recursive: true, preserveTimestamps: true, filter: (path) => !path.endsWith('.map') })
  const manifest = await readManifest(join(TOOLS, 'iii.worker.yaml'))
  const descriptor = await describeWorker(manifest, await loadContracts(join(TOOLS, 'contracts.ts')))
  const { name } = manifest
  const described = JSON.stringify(join(place, 'workers', `${name}.json`))
  await writeFile(join(place, 'workers', `${name}.json`), JSON.stringify(descriptor))
  await writeFile(
    join(place, 'workers', `${name}.mjs`),
    `import { worker } from ${JSON.stringify(pathToFileURL(join(TOOLS, 'worker.ts')))}\nawait worker.run({ descriptor: ${described} })\n`,
  )
  return place
}
