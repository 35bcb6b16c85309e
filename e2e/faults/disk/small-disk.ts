import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { StoreOutcome } from '../../../packages/engine/src/core/ports.ts'
import { openSqliteStore } from '../../../packages/engine/src/store/sqlite-store.ts'

/** Whether this user can mount a disk of two megabytes. */
export const hasSmallDisk: boolean = onSmallDisk(() => true) ?? false

/** Runs `work` on a small disk of its own; `undefined` where there is none to be had. */
function onSmallDisk<T>(work: (folder: string) => T): T | undefined {
  const folder = mkdtempSync(join(tmpdir(), 'agentos-small-disk-'))
  const remove = (): void => {
    spawnSync('umount', [folder])
    rmSync(folder, { recursive: true, force: true })
  }
  if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', folder]).status !== 0) {
    rmSync(folder, { recursive: true })
    return undefined
  }
  const result = work(folder)
  if (result instanceof Promise) void result.then(remove, remove)
  else remove()
  return result
}

export interface Filled {
  written: number
  /** Code of the first write that was refused. */
  refusal: string | undefined
  /** Keys that were acknowledged and cannot be read, on the full disk or afterwards. */
  lost: string[]
  /** What the first write was told after there was room again. */
  later: string
}

/** Writes to a store until its disk is full, makes room, and writes again. */
export async function fillSmallDisk(): Promise<Filled> {
  const filled = await onSmallDisk(fill)
  if (!filled) throw new Error('This user cannot mount a small disk')
  return filled
}

async function fill(folder: string): Promise<Filled> {
  const filler = join(folder, 'filler')
  writeFileSync(filler, Buffer.alloc(900_000))
  const store = await openSqliteStore({
    folder: join(folder, 'data'),
    threadUrl: new URL('../../../packages/engine/src/store/thread.ts', import.meta.url),
    clock: { now: () => Date.now(), precise: () => Date.now(), monotonic: () => performance.now() },
    log: { debug() {}, info() {}, warn() {}, error() {} },
  })
  const write = async (key: string): Promise<string> => {
    const batch = [{ op: 'put' as const, partition: 'p', key, value: 'x'.repeat(90_000) }]
    const outcome = await new Promise<StoreOutcome>((done) => store.write(batch, done))
    return outcome.ok ? 'ok' : outcome.error.code
  }
  const missing = (keys: string[]): string[] =>
    keys.filter((key) => (store.get('p', key)?.value as string | undefined)?.length !== 90_000)
  const written: string[] = []
  let refusal: string | undefined
  for (let n = 0; n < 60 && refusal === undefined; n += 1) {
    const said = await write(`k${n}`)
    if (said === 'ok') written.push(`k${n}`)
    else refusal = said
  }
  const lost = missing(written)
  rmSync(filler)
  const later = await write('later')
  lost.push(...missing(later === 'ok' ? [...written, 'later'] : written))
  await store.close()
  return { written: written.length, refusal, lost, later }
}
