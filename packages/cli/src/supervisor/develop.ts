import { execFile } from 'node:child_process'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import type { WorkerDescriptor } from '@agentos/protocol'
import type { Paths } from '../paths.ts'
import { readInstalled } from './installed.ts'
import { findWorkerFolders, type SourceChange, SourceWatcher } from './sources.ts'
import type { Supervisor } from './supervisor.ts'
import { readUnbuilt } from './unbuilt.ts'
import type { View } from './view.ts'

const run = promisify(execFile)

/** Keeps a running system in step with its sources. */
export class Development {
  private readonly paths: Paths
  private readonly supervisor: Supervisor
  private readonly view: View
  private readonly watcher: SourceWatcher
  /** What does not build, with what was said of it: workers by name, and packages that all of them import. */
  private readonly broken = new Map<string, string>()
  /** Changes are worked off one batch after the other. */
  private queue: Promise<void> = Promise.resolve()

  constructor(paths: Paths, supervisor: Supervisor, view: View) {
    this.paths = paths
    this.supervisor = supervisor
    this.view = view
    this.watcher = new SourceWatcher(paths.home, (changes) => this.enqueue(changes))
    for (const [name, text] of Object.entries(readUnbuilt(paths.dist))) this.broken.set(name, text)
    this.watcher.follow(findWorkerFolders(paths.workers))
  }

  /** Resolves when what is under way has come to its end. */
  async close(): Promise<void> {
    this.watcher.close()
    await this.queue
  }

  private enqueue(changes: SourceChange[]): void {
    this.queue = this.queue
      .then(() => this.apply(changes))
      .catch((error) => this.view.event('fail', (error as Error).message))
  }

  private async apply(changes: SourceChange[]): Promise<void> {
    const shared = changes.filter((change) => change.kind === 'shared').map((change) => change.package)
    const engine = changes.some((change) => change.kind === 'engine')
    if (await this.sharedIsBroken([...shared, ...(engine ? ['engine'] : [])])) return
    const known = this.supervisor.names()
    const touched = changes.filter((change) => change.kind === 'worker')
    const workers = shared.length > 0 ? known : touched.map(({ name }) => name)
    const redescribed = shared.includes('contracts')
      ? findWorkerFolders(this.paths.workers)
      : touched.filter(({ name, manifest }) => manifest || !known.includes(name)).map(({ name }) => name)
    const described = await this.describe(redescribed)
    await Promise.all(workers.filter((name) => !redescribed.includes(name)).map((name) => this.check(name)))
    // A new worker restarts it when it is taken in.
    const isKnown = redescribed.some((name) => known.includes(name))
    if (engine || shared.includes('protocol') || (described.changed && isKnown)) {
      this.view.event('done', 'restarting the engine')
      await this.supervisor.restartEngine()
    }
    await Promise.all(
      workers
        .filter((name) => known.includes(name) && !this.broken.has(name))
        .map((name) => {
          if (shared.length === 0) this.view.event('done', `restarting ${name}`)
          return this.supervisor.restartWorker(name)
        }),
    )
    await this.takeIn(redescribed, described.descriptors)
    if (changes.some((change) => change.kind === 'workers')) await this.follow()
  }

  /** Takes new folders in and lets go of deleted ones. */
  private async follow(): Promise<void> {
    const present = findWorkerFolders(this.paths.workers)
    const known = this.supervisor.names()
    const gone = [...known, ...this.broken.keys()].filter((name) => !present.includes(name) && !isShared(name))
    for (const name of gone) {
      this.broken.delete(name)
      this.supervisor.markUnbuilt(name, undefined)
      if (!known.includes(name)) continue
      this.view.event('warn', `${name} is gone from workers/; stopping it`)
      await this.supervisor.removeWorker(name)
      for (const kind of ['json', 'mjs']) rmSync(join(this.paths.dist, 'workers', `${name}.${kind}`), { force: true })
    }
    const added = present.filter((name) => !known.includes(name) && !this.broken.has(name))
    if (added.length > 0) await this.takeIn(added, (await this.describe(added)).descriptors)
    else if (gone.some((name) => known.includes(name))) await this.supervisor.restartEngine()
    this.watcher.follow(present)
  }

  /** Starts those that build and are not there yet. */
  private async takeIn(names: readonly string[], descriptors: readonly WorkerDescriptor[]): Promise<void> {
    const known = this.supervisor.names()
    const fresh = names.filter((name) => !known.includes(name) && !this.broken.has(name))
    for (const descriptor of descriptors.filter(({ name }) => fresh.includes(name))) {
      this.view.event('done', `${descriptor.name} is new; starting it`)
      await this.supervisor.addWorker(descriptor)
    }
  }

  /** Joins manifests and contracts anew. A mistake in one is told, and its last good state stays. */
  private async describe(names: string[]): Promise<{ descriptors: WorkerDescriptor[]; changed: boolean }> {
    if (names.length === 0) return { descriptors: [], changed: false }
    const described = await describeWorkers(this.paths, names)
    for (const name of names) this.tell(name, described.unbuilt[name])
    if (described.failure !== undefined) this.view.event('fail', described.failure)
    return described
  }

  private async check(worker: string): Promise<void> {
    this.tell(worker, await this.errorsOf(`workers/${worker}/src/worker.ts`))
  }

  /** What everybody runs on is left running as it is until it can be read. */
  private async sharedIsBroken(packages: readonly string[]): Promise<boolean> {
    for (const name of packages.filter((each) => each !== 'contracts')) {
      const entry = `packages/${name}/src/${name === 'engine' ? 'main' : 'index'}.ts`
      this.tell(`packages/${name}`, await this.errorsOf(entry))
    }
    return packages.some((name) => this.broken.has(`packages/${name}`))
  }

  /** Asked of the checkout's own build: its words are the same as those of `npm run build`. */
  private async errorsOf(entry: string): Promise<string | undefined> {
    const { home } = this.paths
    const build = (await import(pathToFileURL(join(home, 'scripts/build/bundle.ts')).href)) as {
      sourceErrors(entry: string, root: string): Promise<string | undefined>
    }
    return build.sourceErrors(entry, home)
  }

  /** Says once that something does not build, and once that it does again. */
  private tell(part: string, text: string | undefined): void {
    const before = this.broken.get(part)
    if (text === before) return
    if (text === undefined) {
      this.broken.delete(part)
      this.view.event('done', `${part} builds again`)
    } else {
      this.broken.set(part, text)
      const runs = isShared(part) || this.supervisor.names().includes(part)
      this.view.event('fail', `${part} does not build${runs ? '; what runs of it goes on' : ''}\n${indented(text)}`)
    }
    if (!isShared(part)) this.supervisor.markUnbuilt(part, text)
  }
}

const isShared = (part: string): boolean => part.startsWith('packages/')
const indented = (text: string): string => text.replaceAll(/^/gm, '    ')

/** The workers whose folders are there and that build. The build that comes before a start has described most of them. */
export async function describeAll(paths: Paths, view: View, unbuilt: readonly string[]): Promise<WorkerDescriptor[]> {
  const present = findWorkerFolders(paths.workers).filter((name) => !unbuilt.includes(name))
  const known = readOr(paths).map(({ name }) => name)
  const missing = present.filter((name) => !known.includes(name))
  const described = missing.length > 0 ? await describeWorkers(paths, missing) : undefined
  if (described?.failure !== undefined) view.event('fail', described.failure)
  return (described?.descriptors ?? readOr(paths)).filter(({ name }) => present.includes(name))
}

interface Described {
  descriptors: WorkerDescriptor[]
  changed: boolean
  /** By worker: what is wrong with those that do not build. */
  unbuilt: Record<string, string>
  /** Where the build itself failed. */
  failure?: string
}

async function describeWorkers(paths: Paths, names: string[]): Promise<Described> {
  const before = JSON.stringify(readOr(paths))
  let failure: string | undefined
  try {
    await run(process.execPath, [join(paths.home, 'scripts/build.ts'), ...names], { cwd: paths.home })
  } catch (error) {
    const { stderr, message } = error as Error & { stderr?: string }
    failure = stderr?.trim() || message
  }
  const descriptors = readOr(paths)
  const unbuilt = readUnbuilt(paths.dist)
  // What is wrong with workers is told of each.
  const isWorkers = names.some((name) => unbuilt[name] !== undefined)
  return {
    descriptors,
    changed: JSON.stringify(descriptors) !== before,
    unbuilt,
    ...(failure === undefined || isWorkers ? {} : { failure }),
  }
}

function readOr(paths: Paths): WorkerDescriptor[] {
  try {
    return readInstalled(paths.dist)
  } catch {
    return []
  }
}
