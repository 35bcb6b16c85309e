import { copyFileSync, linkSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type BackupManifest, syncFile, verifyBackup } from './backup.ts'
import { storeFiles } from './damage.ts'
import { syncFolder } from './data-format.ts'
import { assertUnused } from './in-use.ts'
import { openRecords } from './open-records.ts'
import { DATA_FORMAT } from './record.ts'
import { StoreLock } from './store-lock.ts'

export interface Restored {
  manifest: BackupManifest
  /** Folder with the records that were there before; none where there were none. */
  kept: string | undefined
}

/**
 * Puts the records of a backup in place of those of a data folder, which are kept beside it. The backup is verified
 * whole first, and copied before anything is moved: until the last step the old data is what is found. The system must
 * not run. Secrets, credentials and logs of the folder stay; traces and indexes go, they told of other records.
 */
export async function restoreBackup(file: string, folder: string, now: number): Promise<Restored> {
  const lock = StoreLock.take(folder)
  try {
    return await restoreAlone(file, folder, now)
  } finally {
    lock.release()
  }
}

async function restoreAlone(file: string, folder: string, now: number): Promise<Restored> {
  assertUnused(join(folder, 'store.sqlite'))
  const manifest = await verifyBackup(file)
  const incoming = join(folder, 'store.sqlite.restoring')
  try {
    copyFileSync(file, incoming)
    syncFile(incoming)
  } catch (error) {
    rmSync(incoming, { force: true })
    throw error
  }
  const kept = keepOld(folder, now)
  renameSync(incoming, join(folder, 'store.sqlite'))
  // Not in place: the old one is linked into what is kept.
  writeFileSync(join(folder, 'format.new'), `${DATA_FORMAT}\n`, { flush: true })
  renameSync(join(folder, 'format.new'), join(folder, 'format'))
  for (const name of ['traces.sqlite', 'traces.sqlite-wal', 'traces.sqlite-shm', 'index']) {
    rmSync(join(folder, name), { recursive: true, force: true })
  }
  syncFolder(folder)
  return { manifest, kept }
}

/** Keeps the records that are there in a folder of their own and leaves the database alone, without its log. */
function keepOld(folder: string, now: number): string | undefined {
  // A log or a mark without its database counts too: it would be taken for that of the new one.
  if (!storeFiles(folder).some((name) => name !== 'format')) return undefined
  foldLog(folder)
  const kept = join(folder, `before-restore-${new Date(now).toISOString().replaceAll(/[:.]/g, '-')}`)
  mkdirSync(kept, { mode: 0o700 })
  for (const name of storeFiles(folder)) copyOrLink(join(folder, name), join(kept, name))
  syncFolder(kept)
  // A log of the old database beside the new one would be taken for its own.
  for (const suffix of ['-wal', '-shm', '-journal', '-synced']) {
    rmSync(join(folder, `store.sqlite${suffix}`), { force: true })
  }
  syncFolder(folder)
  return kept
}

/** So that the old database is whole without its log, should the power go before the new one is in place. */
function foldLog(folder: string): void {
  try {
    openRecords(folder, []).close()
  } catch {
    // Damaged, which may be why a backup is restored: it is kept as it is, log and all.
  }
}

function copyOrLink(from: string, to: string): void {
  try {
    linkSync(from, to)
  } catch {
    copyFileSync(from, to)
  }
}
