import { join } from 'node:path'
import { build } from 'esbuild'
import { expect, it } from 'vitest'

/** Packages that are loaded by importing this file, what is imported late apart. */
async function loadedBy(entry: string): Promise<string[]> {
  const { metafile } = await build({
    entryPoints: [join(import.meta.dirname, entry)],
    bundle: true,
    write: false,
    metafile: true,
    platform: 'node',
    format: 'esm',
    logLevel: 'silent',
  })
  const seen = new Set<string>()
  const visit = (file: string): void => {
    if (seen.has(file)) return
    seen.add(file)
    for (const { path, kind } of metafile.inputs[file]?.imports ?? []) if (kind !== 'dynamic-import') visit(path)
  }
  visit(Object.keys(metafile.inputs).find((file) => file.endsWith(`packages/sdk/src/${entry}`))!)
  const packages = [...seen].flatMap((file) => /.*node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(file)?.[1] ?? [])
  return [...new Set(packages)].sort()
}

it('importing the SDK loads ws and zod and nothing else of others', async () => {
  expect((await loadedBy('index.ts')).filter((name) => name !== 'ws' && name !== 'zod')).toEqual([])
})

it('importing what contracts need loads zod at most', async () => {
  expect((await loadedBy('contract.ts')).filter((name) => name !== 'zod')).toEqual([])
})
