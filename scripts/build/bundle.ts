import { basename, join, relative, resolve } from 'node:path'
import { type BuildFailure, build, type Plugin } from 'esbuild'
import { ManifestError } from '../manifest.ts'
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
export async function bundle(options: Bundle, root: string): Promise<string[]> {
  const files = await makeBundle(options, root)
  for (const file of files) await place(file.path, file.contents)
  return files.map((file) => file.path)
}

/** The files of a bundle, not written yet. */
export async function makeBundle(
  { entry, out, main = false, node = 24, plugins = [] }: Bundle,
  root: string,
): Promise<{ path: string; contents: Uint8Array }[]> {
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
  return result.outputFiles
}

/**
 * What of a worker's own sources cannot be read, each with its place; nothing where they can. Packages are left alone,
 * so it takes some milliseconds. Development asks before it ends a process that works.
 */
export async function sourceErrors(entry: string, root: string): Promise<string | undefined> {
  try {
    await build({
      entryPoints: [entry],
      absWorkingDir: root,
      bundle: true,
      packages: 'external',
      format: 'esm',
      platform: 'node',
      logLevel: 'silent',
      write: false,
    })
    return undefined
  } catch (error) {
    return bundleErrors(error, root)
  }
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

/** What went wrong in a part of the build, one line a mistake, with the place in the source. */
export function bundleErrors(error: unknown, root: string): string {
  const errors = (error as Partial<BuildFailure>).errors
  if (!errors?.length) return thrownIn(error, root)
  return errors
    .map(({ text, location }) =>
      location ? `${inRoot(location.file, root)}:${location.line}:${location.column + 1}: ${text}` : text,
    )
    .join('\n')
}

/** A source that was run and threw: the first place of ours on its stack. */
function thrownIn(error: unknown, root: string): string {
  if (!(error instanceof Error)) return String(error)
  const { message, stack = '' } = error
  if (error instanceof ManifestError) return message
  const places = [...stack.slice(stack.indexOf(message) + message.length).matchAll(/(\/[^\s():]+):(\d+):(\d+)/g)]
  const ours = places.find(([, file]) => {
    const path = inRoot(file!, root)
    return /^(workers|packages)\//.test(path) && !path.startsWith('packages/sdk/') && !path.includes('node_modules')
  })
  return ours ? `${inRoot(ours[1]!, root)}:${ours[2]}:${ours[3]}: ${message}` : message
}

const inRoot = (file: string, root: string): string => relative(root, resolve(root, file))
