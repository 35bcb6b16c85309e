import { isBuiltin } from 'node:module'
import { dirname } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Plugin } from 'esbuild'

const NAMESPACE = 'late'
const asked = Symbol('already asked')

/**
 * `const { request } = await import('undici')` must give the same in a bundle as it does unbundled. esbuild makes a
 * chunk of the package, but one of a CommonJS package exports nothing but `default`; so each such package is imported
 * through a module that names what Node itself finds in it.
 */
export const lateImports: Plugin = {
  name: 'late-imports',
  setup(build) {
    build.onResolve({ filter: /^[^./]/ }, async ({ path, kind, resolveDir, importer, pluginData }) => {
      if (kind !== 'dynamic-import' || isBuiltin(path) || pluginData === asked) return undefined
      const found = await build.resolve(path, { kind, resolveDir, importer, pluginData: asked })
      if (found.errors.length > 0 || found.external) return undefined
      const names = await commonJsNames(found.path)
      return names ? { path: found.path, namespace: NAMESPACE, pluginData: names } : undefined
    })
    build.onLoad({ filter: /.*/, namespace: NAMESPACE }, ({ path, pluginData }) => ({
      contents: [
        `import * as whole from ${JSON.stringify(path)}`,
        'export default whole.default',
        `export const { ${(pluginData as string[]).join(', ')} } = whole`,
      ].join('\n'),
      resolveDir: dirname(path),
    }))
  },
}

/** The names that a CommonJS package exports; `undefined` for an ES module, which needs no help. */
async function commonJsNames(file: string): Promise<string[] | undefined> {
  const names = Object.keys((await import(pathToFileURL(file).href)) as object)
  if (!names.includes('module.exports')) return undefined
  return names.filter((name) => name !== 'default' && /^[\w$]+$/.test(name))
}
