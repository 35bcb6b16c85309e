import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Plugin } from 'esbuild'

export const ROOT: string = join(import.meta.dirname, '../../..')

/** Texts of one source, and what stands there instead in a copy of the build. */
export interface Patch {
  name: string
  /** Path in the repository. */
  file: string
  edits: readonly { find: string; replace: string }[]
}

/** A plugin for esbuild that replaces texts of sources. Throws where a source does not have each exactly once. */
export function plant(patches: readonly Patch[]): Plugin {
  const sources = new Map<string, string>()
  for (const { name, file, edits } of patches) {
    const path = join(ROOT, file)
    let contents = sources.get(path) ?? readFileSync(path, 'utf8')
    for (const { find, replace } of edits) {
      if (contents.split(find).length !== 2) {
        throw new Error(`"${name}" no longer matches ${file}: correct it`)
      }
      contents = contents.replace(find, () => replace)
    }
    sources.set(path, contents)
  }
  return {
    name: 'plant',
    setup(builder) {
      builder.onLoad({ filter: /\.ts$/ }, ({ path }) => {
        const contents = sources.get(path)
        return contents === undefined ? undefined : { contents, loader: 'ts' }
      })
    },
  }
}
