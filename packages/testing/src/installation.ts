import { hash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { copyFile, mkdir, mkdtemp, readdir, rename, rm, stat, utimes } from 'node:fs/promises'
import { tmpdir, userInfo } from 'node:os'
import { dirname, join } from 'node:path'

const DAY_MS = 24 * 60 * 60 * 1000

/**
 * A built system in which only these workers are installed, as a folder like `dist`. Same build and same workers give
 * the same folder, so that Node's code cache beside it serves all tests.
 */
export async function install(dist: string, workers: readonly string[]): Promise<string> {
  if (!existsSync(join(dist, 'engine.mjs'))) throw new Error(`${dist} is not built; run npm run build first`)
  for (const name of workers) {
    const script = join(dist, 'workers', `${name}.mjs`)
    if (!existsSync(script)) throw new Error(`The worker ${name} is not built: ${script} is missing`)
  }
  const files = await filesOf(dist, workers)
  const shelf = join(tmpdir(), `agentos-testing-${userInfo().uid}`)
  const place = join(shelf, hash('sha256', JSON.stringify(files)).slice(0, 16))
  if (existsSync(place)) {
    // It is in use: nobody is to clear it away as an old one.
    await utimes(place, new Date(), new Date())
    return place
  }
  await mkdir(shelf, { recursive: true, mode: 0o700 })
  await clearOld(shelf)
  const staging = await mkdtemp(join(shelf, 'staging-'))
  for (const { path } of files) {
    await mkdir(dirname(join(staging, path)), { recursive: true })
    await copyFile(join(dist, path), join(staging, path))
  }
  // Whole or not at all; another test process may have been first.
  await rename(staging, place).catch(() => rm(staging, { recursive: true }))
  return place
}

interface InstalledFile {
  path: string
  size: number
  changed: number
}

async function filesOf(dist: string, workers: readonly string[]): Promise<InstalledFile[]> {
  const paths = (await readdir(dist, { recursive: true })).filter((path) => isPart(path, workers)).sort()
  const files = await Promise.all(
    paths.map(async (path) => {
      const { size, mtimeMs } = await stat(join(dist, path))
      return { path, size, changed: mtimeMs }
    }),
  )
  return files
}

/** Everything but source maps, caches and what belongs to other workers. */
function isPart(path: string, workers: readonly string[]): boolean {
  if (!/\.(mjs|json|html|css|js|svg|woff2)$/.test(path) || path.startsWith('.')) return false
  const [, name] = /^(?:workers|bundles)\/(.*)\.\w+$/.exec(path) ?? []
  if (name === undefined) return true
  // `memory.mjs`, and its parts `memory-<hash>.mjs`.
  return workers.some(
    (worker) =>
      name === worker || (name.startsWith(`${worker}-`) && /^[A-Z0-9]{8}$/.test(name.slice(worker.length + 1))),
  )
}

async function clearOld(shelf: string): Promise<void> {
  for (const name of await readdir(shelf)) {
    const { mtimeMs } = await stat(join(shelf, name)).catch(() => ({ mtimeMs: Date.now() }))
    if (Date.now() - mtimeMs > DAY_MS) await rm(join(shelf, name), { recursive: true, force: true })
  }
}
