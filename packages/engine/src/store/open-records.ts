import { existsSync, mkdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { EngineError } from '@agentos/protocol'
import { claimDataFolder, syncFolder } from './data-format.ts'
import { beginWalk, checkStructure, type Walk, walkOn } from './integrity.ts'
import { isAbsent, type Known, knownOf, lossIn, lossWithout } from './loss.ts'
import { assertSupported, formatOf } from './migrations.ts'
import { RecordDatabase } from './record-database.ts'
import { type Mark, readMark } from './synced-mark.ts'
import { inspectWal } from './wal.ts'

/** Bounds of the check at start: a file up to this size is checked whole, and records for as long as this. */
const CHECK = { structureBytes: 16 * 1024 * 1024, recordsMs: 150 }

/** Damaged records that are named one by one. */
const NAMED = 10

/**
 * Opens the records of a data folder: log first, then the database, then as much of its content as the bounds allow.
 * Throws `corrupt_record` with the place for damage that would lose something silently, and `data_missing` where the
 * records are gone that the folder had; what was never synced is dropped with a warning, and a record that is not what
 * was written is warned of and never served.
 */
export function openRecords(folder: string, warnings: string[]): RecordDatabase {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const path = join(folder, 'store.sqlite')
  const mark = readMark(path)
  const known = knownOf(folder, mark)
  if (isAbsent(path)) assertComplete(lossWithout(path, known), path)
  checkLog(path, mark, warnings)
  if (existsSync(path)) {
    rollBack(path)
    checkContent(path, known, warnings)
  }
  if (known.used) claimDataFolder(folder)
  const records = new RecordDatabase(path)
  if (!known.used) {
    syncFolder(folder)
    claimDataFolder(folder)
  }
  return records
}

function assertComplete(loss: string | undefined, path: string): void {
  if (loss === undefined) return
  throw new EngineError(
    'data_missing',
    `${loss}. Nothing was changed: put the files back, restore a backup (\`npm run agentos -- restore\`), or see with ` +
      '`npm run agentos -- doctor --repair` what is left; with --yes it begins anew with that',
    { details: { path } },
  )
}

function checkLog(storePath: string, mark: Mark | undefined, warnings: string[]): void {
  const path = `${storePath}-wal`
  const log = inspectWal(path, mark)
  if (log.state === 'flipped') {
    throw new EngineError(
      'corrupt_record',
      `${path} is damaged at byte ${log.offset}, in what had been synced. Nothing was changed: restore a backup ` +
        '(`npm run agentos -- restore`), or see with `npm run agentos -- doctor --repair` what would go',
      { details: { path, offset: log.offset } },
    )
  }
  if (log.state === 'clean') return
  warnings.push(
    log.finished
      ? `${path} ends in a commit that did not reach the disk whole, at byte ${log.offset}; nothing shows that it was ever synced, and it is dropped`
      : `${path} ends in an unfinished commit at byte ${log.offset}; it was never acknowledged and is dropped`,
  )
}

/** A journal is there only where the power went while the file was being made; an empty one says nothing. */
function rollBack(path: string): void {
  const journal = `${path}-journal`
  if (!existsSync(journal) || statSync(journal).size === 0) return
  const db = new DatabaseSync(path)
  try {
    db.prepare('SELECT count(*) FROM sqlite_master').get()
  } finally {
    db.close()
  }
}

function checkContent(path: string, known: Known, warnings: string[]): void {
  const db = new DatabaseSync(path, { readOnly: true })
  try {
    assertSupported(db, path)
    if (formatOf(db) === 0) return assertComplete(lossIn(db, path, known), path)
    const broken = statSync(path).size <= CHECK.structureBytes ? checkStructure(db) : []
    if (broken.length > 0) throw damaged(path, broken[0]?.text ?? '')
    assertComplete(lossIn(db, path, known), path)
    const until = performance.now() + CHECK.recordsMs
    const walk = beginWalk()
    while (!walk.done && performance.now() < until) walkOn(db, walk)
    warnings.push(...wordsOf(walk, path))
  } finally {
    db.close()
  }
}

function damaged(path: string, text: string): EngineError {
  return new EngineError(
    'corrupt_record',
    `${path} is damaged: ${text}. Nothing was changed: restore a backup (\`npm run agentos -- restore\`), or see with ` +
      '`npm run agentos -- doctor --repair` what would go',
    { details: { path } },
  )
}

function wordsOf({ damage }: Walk, path: string): string[] {
  const words = damage.slice(0, NAMED).map(({ text }) => `${path}: ${text}; it is not served`)
  return damage.length > NAMED ? [...words, `${path}: and ${damage.length - NAMED} records more`] : words
}
