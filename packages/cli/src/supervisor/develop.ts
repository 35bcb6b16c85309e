import { execFile } from 'node:child_process'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { WorkerDescriptor } from '@agentos/protocol'
import type { Paths } from '../paths.ts'
import { readInstalled } from './installed.ts'
import { findWorkerFolders, type SourceChange, SourceWatcher } from './sources.ts'
import type { Supervisor } from './supervisor.ts'
import type { View } from './view.ts'

const run = promisify(execFile)

/** Keeps a running system in step with its sources. */
export class Development {
  private readonly paths: Paths
  private readonly supervisor: Supervisor
  private readonly view: View
  private readonly watcher: SourceWatcher
  /** Changes are worked off one batch after the other. */
  private queue: Promise<void> = Promise.resolve()

  constructor(paths: Paths, supervisor: Supervisor, view: View) {
    this.paths = paths
    this.supervisor = supervisor
    this.view = view
    this.watcher = new SourceWatcher(paths.home, (changes) => this.enqueue(changes))
    this.watcher.follow(supervisor.names())
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
    const names = this.supervisor.names()
    const workers =
      shared.length > 0 ? names : changes.flatMap((change) => (change.kind === 'worker' ? [change.name] : []))
    const redescribed = shared.includes('contracts')
      ? names
      : changes.flatMap((change) => (change.kind === 'worker' && change.manifest ? [change.name] : []))
    const described = redescribed.length === 0 || (await describeWorkers(this.paths, redescribed, this.view)).changed
    if (
      changes.some((change) => change.kind === 'engine') ||
      shared.includes('protocol') ||
      (redescribed.length > 0 && described)
    ) {
      this.view.event('done', 'restarting the engine')
      await this.supervisor.restartEngine()
    }
    await Promise.all(
      workers.map((name) => {
        if (shared.length === 0) this.view.event('done', `restarting ${name}`)
        return this.supervisor.restartWorker(name)
      }),
    )
    if (changes.some((change) => change.kind === 'workers')) await this.follow()
  }

  /** Takes new folders in and lets go of deleted ones. */
  private async follow(): Promise<void> {
    const present = findWorkerFolders(this.paths.workers)
    const known = this.supervisor.names()
    const gone = known.filter((name) => !present.includes(name))
    for (const name of gone) {
      this.view.event('warn', `${name} is gone from workers/; stopping it`)
      await this.supervisor.removeWorker(name)
      for (const kind of ['json', 'mjs']) rmSync(join(this.paths.dist, 'workers', `${name}.${kind}`), { force: true })
    }
    const added = present.filter((name) => !known.includes(name))
    if (added.length > 0) {
      const { descriptors } = await describeWorkers(this.paths, added, this.view)
      for (const descriptor of descriptors.filter(({ name }) => added.includes(name))) {
        this.view.event('done', `${descriptor.name} is new; starting it`)
        await this.supervisor.addWorker(descriptor)
      }
    } else if (gone.length > 0) await this.supervisor.restartEngine()
    this.watcher.follow(this.supervisor.names())
  }
}

/** The workers whose folders are there. The build that comes before a start has described most of them. */
export async function describeAll(paths: Paths, view: View): Promise<WorkerDescriptor[]> {
  const present = findWorkerFolders(paths.workers)
  const known = readOr(paths).map(({ name }) => name)
  const missing = present.filter((name) => !known.includes(name))
  const all = missing.length > 0 ? (await describeWorkers(paths, missing, view)).descriptors : readOr(paths)
  return all.filter(({ name }) => present.includes(name))
}

/** Joins manifest and contracts of these workers anew. A mistake in one is told, and the last good state stays. */
export async function describeWorkers(
  paths: Paths,
  names: string[],
  view: View,
): Promise<{ descriptors: WorkerDescriptor[]; changed: boolean }> {
  const before = JSON.stringify(readOr(paths))
  try {
    await run(process.execPath, [join(paths.home, 'scripts/build.ts'), ...names], { cwd: paths.home })
  } catch (error) {
    const { stderr, message } = error as Error & { stderr?: string }
    view.event('fail', stderr?.trim() || message)
  }
  const descriptors = readOr(paths)
  return { descriptors, changed: JSON.stringify(descriptors) !== before }
}

function readOr(paths: Paths): WorkerDescriptor[] {
  try {
    return readInstalled(paths.dist)
  } catch {
    return []
  }
}
