import { basename, join, relative } from 'node:path'
import { build, type Plugin } from 'esbuild'
import { place } from './files.ts'
import { lateImports } from './late-imports.ts'

export interface Bundle {
  /** The source file that the bundle begins with. */
  entry: string
  /** The file to write. */
  out: string
  /** `true` where the bundle is itself the program: its `import.meta.main` then holds, though a launcher imports it. */
  main?: boolean
  /** The oldest Node that must be able to read the file. @default 24 */
  node?: number
  /** Further ones: the fault matrix plants its bugs in copies of the build. */
  plugins?: Plugin[]
}

/**
 * Bundles one program and returns the files it wrote. What the source imports late becomes a chunk of its own beside
 * the bundle, so that a process reads a heavy library only when it first needs it.
 */
export async function bundle(
  { entry, out, main = false, node = 24, plugins = [] }: Bundle,
  root: string,
): Promise<string[]> {
  const name = basename(out, '.mjs')
  const result = await build({
    entryPoints: { [name]: entry },
    absWorkingDir: root,
    outdir: join(out, '..'),
    outExtension: { '.js': '.mjs' },
    chunkNames: `${name}-[hash]`,
    entryNames: '[name]',
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: `node${node}`,
    // Identifiers keep their names: stack traces stay readable, and the gain would be small.
    minifySyntax: true,
    minifyWhitespace: true,
    sourcemap: 'linked',
    legalComments: 'none',
    charset: 'utf8',
    logLevel: 'silent',
    write: false,
    metafile: false,
    banner: { js: commonJsBridge },
    plugins: [...plugins, lateImports, ...(main ? [mainIsTrue(entry)] : [])],
  })
  for (const file of result.outputFiles) await place(file.path, file.contents)
  return result.outputFiles.map((file) => file.path)
}

/** CommonJS packages inside a bundle ask for Node's own modules with `require`. */
const commonJsBridge =
  "import{createRequire as bridgeToCommonJs}from'node:module';const require=bridgeToCommonJs(import.meta.url);"

function mainIsTrue(entry: string): Plugin {
  return {
    name: 'main-is-true',
    setup(build) {
      const pattern = new RegExp(`${entry.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')}$`)
      build.onLoad({ filter: pattern }, async ({ path }) => {
        const { readFile } = await import('node:fs/promises')
        return { contents: (await readFile(path, 'utf8')).replaceAll('import.meta.main', 'true'), loader: 'ts' }
      })
    },
  }
}

/** What went wrong in a bundle, one line a mistake, with the place in the source. */
export function bundleErrors(error: unknown, root: string): string {
  const errors = (error as { errors?: { text: string; location?: { file: string; line: number } | null }[] }).errors
  if (!errors?.length) return error instanceof Error ? error.message : String(error)
  return errors
    .map(({ text, location }) =>
      location ? `${relative(root, join(root, location.file))}:${location.line}: ${text}` : text,
    )
    .join('\n')
}
