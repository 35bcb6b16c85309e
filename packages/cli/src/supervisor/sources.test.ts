import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { findWorkerFolders, type SourceChange, SourceWatcher } from './sources.ts'

let home: string
let changes: SourceChange[]
let watcher: SourceWatcher

const write = (file: string) => {
  mkdirSync(join(home, file, '..'), { recursive: true })
  writeFileSync(join(home, file), String(Math.random()))
}

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'agentos-sources-'))
  for (const name of ['engine', 'sdk', 'contracts', 'protocol']) write(`packages/${name}/src/a.ts`)
  for (const file of ['iii.worker.yaml', 'src/worker.ts', 'src/deep/noun.ts']) write(`workers/memory/${file}`)
  changes = []
  watcher = new SourceWatcher(home, (batch) => changes.push(...batch))
  watcher.follow(['memory'])
})

afterEach(() => watcher.close())

const seen = (expected: SourceChange) => vi.waitFor(() => expect(changes).toContainEqual(expected), 20_000)

describe('watching the sources', () => {
  it.each<[string, SourceChange]>([
    ['workers/memory/src/worker.ts', { kind: 'worker', name: 'memory', manifest: false }],
    ['workers/memory/src/deep/noun.ts', { kind: 'worker', name: 'memory', manifest: false }],
    ['workers/memory/src/contracts.ts', { kind: 'worker', name: 'memory', manifest: true }],
    ['workers/memory/iii.worker.yaml', { kind: 'worker', name: 'memory', manifest: true }],
    ['packages/engine/src/a.ts', { kind: 'engine' }],
    ['packages/contracts/src/a.ts', { kind: 'shared', package: 'contracts' }],
  ])('a change of %s is %j', async (file, change) => {
    write(file)
    await seen(change)
  })

  it('tells what changed within 50 ms once', async () => {
    for (let n = 0; n < 5; n += 1) write('workers/memory/src/worker.ts')
    await seen({ kind: 'worker', name: 'memory', manifest: false })
    expect(changes).toHaveLength(1)
  })

  it('does not mind tests and files of editors', async () => {
    write('workers/memory/src/worker.test.ts')
    write('workers/memory/src/.worker.ts.swp')
    write('packages/engine/src/a.ts')
    await seen({ kind: 'engine' })
    expect(changes).toEqual([{ kind: 'engine' }])
  })

  it('follows a worker that comes and one that goes', async () => {
    write('draft/iii.worker.yaml')
    write('draft/src/worker.ts')
    renameSync(join(home, 'draft'), join(home, 'workers/weather'))
    await seen({ kind: 'workers' })
    expect(findWorkerFolders(join(home, 'workers'))).toEqual(['memory', 'weather'])
    watcher.follow(['memory', 'weather'])
    write('workers/weather/src/worker.ts')
    await seen({ kind: 'worker', name: 'weather', manifest: false })
    rmSync(join(home, 'workers/weather'), { recursive: true })
    expect(findWorkerFolders(join(home, 'workers'))).toEqual(['memory'])
    watcher.follow(['memory'])
    write('workers/memory/src/worker.ts')
    await seen({ kind: 'worker', name: 'memory', manifest: false })
  })
})
