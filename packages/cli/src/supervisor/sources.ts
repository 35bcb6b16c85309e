import { existsSync, type FSWatcher, readdirSync, watch } from 'node:fs'
import { join } from 'node:path'

/** What a changed file means for the running system. */
export type SourceChange =
  | { kind: 'worker'; name: string; manifest: boolean }
  /** A folder came into `workers/` or left it. */
  | { kind: 'workers' }
  | { kind: 'engine' }
  /** What every worker imports. */
  | { kind: 'shared'; package: string }

const DEBOUNCE_MS = 50

/** Watches the sources of a checkout. `onChange` is called once for what changed within 50 ms. */
export class SourceWatcher {
  private readonly watchers = new Map<string, FSWatcher[]>()
  private readonly pending = new Map<string, SourceChange>()
  private readonly home: string
  private readonly onChange: (changes: SourceChange[]) => void
  private timer: NodeJS.Timeout | undefined

  constructor(home: string, onChange: (changes: SourceChange[]) => void) {
    this.home = home
    this.onChange = onChange
    this.watchers.set('/workers', [watch(join(home, 'workers'), () => this.note({ kind: 'workers' }))])
    this.watchTree('/engine', 'packages/engine/src', () => ({ kind: 'engine' }))
    for (const name of ['sdk', 'contracts', 'protocol']) {
      this.watchTree(`/${name}`, `packages/${name}/src`, () => ({ kind: 'shared', package: name }))
    }
  }

  /** Begins with the folders that are there, and lets go of those that are not. */
  follow(workers: string[]): void {
    for (const [key, watchers] of this.watchers) {
      if (key.startsWith('/') || workers.includes(key)) continue
      for (const watcher of watchers) watcher.close()
      this.watchers.delete(key)
    }
    for (const name of workers) if (!this.watchers.has(name)) this.watchWorker(name)
  }

  close(): void {
    clearTimeout(this.timer)
    for (const watcher of [...this.watchers.values()].flat()) watcher.close()
    this.watchers.clear()
  }

  private watchWorker(name: string): void {
    const folder = join(this.home, 'workers', name)
    this.watchTree(name, join('workers', name, 'src'), (file) => ({
      kind: 'worker',
      name,
      manifest: file.endsWith('contracts.ts'),
    }))
    this.keep(name, () =>
      watch(folder, (_, file) => {
        if (file === 'iii.worker.yaml') this.note({ kind: 'worker', name, manifest: true })
      }),
    )
  }

  private watchTree(key: string, folder: string, meaning: (file: string) => SourceChange): void {
    this.keep(key, () =>
      watch(join(this.home, folder), { recursive: true }, (_, file) => {
        if (isSource(file ?? '')) this.note(meaning(file ?? ''))
      }),
    )
  }

  private keep(key: string, open: () => FSWatcher): void {
    try {
      const watcher = open()
      // A folder that goes away while it is watched is not an error here: `workers/` reports it.
      watcher.on('error', () => watcher.close())
      this.watchers.set(key, [...(this.watchers.get(key) ?? []), watcher])
    } catch {
      // Not there yet; the next `follow` tries again.
    }
  }

  private note(change: SourceChange): void {
    const key = 'name' in change ? `${change.kind} ${change.name}` : JSON.stringify(change)
    const before = this.pending.get(key)
    this.pending.set(
      key,
      change.kind === 'worker' && before?.kind === 'worker'
        ? { ...change, manifest: change.manifest || before.manifest }
        : change,
    )
    clearTimeout(this.timer)
    this.timer = setTimeout(() => {
      const changes = [...this.pending.values()]
      this.pending.clear()
      this.onChange(changes)
    }, DEBOUNCE_MS)
  }
}

/** Tests restart nothing, and editors leave files of their own beside the real one. */
const isSource = (file: string): boolean => /\.(ts|json|yaml|sql|md)$/.test(file) && !file.endsWith('.test.ts')

/** Folders in `workers/` that are workers. */
export function findWorkerFolders(workers: string): string[] {
  return readdirSync(workers, { withFileTypes: true })
    .filter(
      (entry) =>
        entry.isDirectory() &&
        existsSync(join(workers, entry.name, 'iii.worker.yaml')) &&
        existsSync(join(workers, entry.name, 'src/worker.ts')),
    )
    .map((entry) => entry.name)
    .sort()
}
