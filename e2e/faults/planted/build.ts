import { cpSync } from 'node:fs'
import { basename, join } from 'node:path'
import { bundle } from '../../../scripts/build/bundle.ts'
import { type Patch, plant, ROOT } from './plant.ts'

/** A copy of `dist` in which the programs that hold these files are built again with other texts. Returns its folder. */
export async function buildPlanted(patches: readonly Patch[], folder: string): Promise<string> {
  const dist = join(folder, 'dist')
  cpSync(join(ROOT, 'dist'), dist, { recursive: true, filter: (path) => basename(path) !== '.cache' })
  const byWorker = Map.groupBy(patches, ({ file }) => /^workers\/([^/]+)\//.exec(file)?.[1])
  for (const [worker, own] of byWorker) {
    const program =
      worker === undefined
        ? { entry: 'packages/engine/src/main.ts', out: join(dist, 'engine-main.mjs'), main: true }
        : { entry: `workers/${worker}/src/worker.ts`, out: join(dist, 'bundles', `${worker}.mjs`) }
    await bundle({ ...program, plugins: [plant(own)] }, ROOT)
  }
  return dist
}
