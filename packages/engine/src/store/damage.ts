import { copyFileSync, existsSync, mkdirSync, renameSync, rmSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { EngineError } from '@agentos/protocol'
import { syncFolder } from './data-format.ts'
import { assertUnused } from './in-use.ts'
import { beginWalk, checkStructure, type Damage, damagedRecord, walkOn } from './integrity.ts'
import { isAbsent, knownOf, lossIn, lossWithout } from './loss.ts'
import { assertSupported, formatOf, migrate } from './migrations.ts'
import { checksum, checksumOfCounter, type StoredRow } from './record.ts'
import { COLUMNS, INSERT, toRow } from './record-database.ts'
import { StoreLock } from './store-lock.ts'
import { type Mark, markPath, readMark } from './synced-mark.ts'
import { inspectWal } from './wal.ts'

/** What an examination of a data folder found. */
export interface Examination {
  records: number
  live: number
  lastSeq: number
  damage: Damage[]
}

const storeOf = (folder: string): string => join(folder, 'store.sqlite')

/**
 * Walks log and database and checks every record; changes nothing. While the system runs (`live`) the log is in
 * motion and left out. Throws `not_found` where there is no store, `data_too_new` for one of a newer version.
 */
export function examine(folder: string, options: { live: boolean }): Examination {
  const path = storeOf(folder)
  const mark = readMark(path)
  if (isAbsent(path)) {
    const damage = lossOf(folder, mark)
    if (damage.length === 0) throw new EngineError('not_found', `There is no store in ${folder}`)
    return { records: 0, live: 0, lastSeq: 0, damage }
  }
  const log = options.live ? [] : logDamage(path, mark)
  let db: DatabaseSync | undefined
  try {
    db = new DatabaseSync(path, { readOnly: true, timeout: 1_000 })
    assertSupported(db, path)
    // Behind a damaged log nothing is read, which is said already.
    const missing = log.length > 0 ? [] : lossOf(folder, mark, db)
    if (missing.length > 0 && formatOf(db) === 0) {
      return { records: 0, live: 0, lastSeq: 0, damage: missing }
    }
    const walk = beginWalk()
    const structure = checkStructure(db)
    walkAll(db, walk)
    const { records, live, lastSeq } = walk
    return { records, live, lastSeq, damage: [...log, ...missing, ...structure, ...walk.damage] }
  } catch (error) {
    if (error instanceof EngineError) throw error
    const text = error instanceof Error ? error.message : String(error)
    return { records: 0, live: 0, lastSeq: 0, damage: [...log, { kind: 'structure', text }] }
  } finally {
    db?.close()
  }
}

function walkAll(db: DatabaseSync, walk: ReturnType<typeof beginWalk>): void {
  try {
    while (!walk.done) walkOn(db, walk)
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error)
    walk.damage.push({
      kind: 'structure',
      text: `records first written after sequence ${walk.lastRow} cannot be read: ${text}`,
    })
  }
}

/** What is gone altogether; `db` is the folder's database, where there is one. */
function lossOf(folder: string, mark: Mark | undefined, db?: DatabaseSync): Damage[] {
  const path = storeOf(folder)
  const known = knownOf(folder, mark)
  const text = db ? lossIn(db, path, known) : lossWithout(path, known)
  return text === undefined ? [] : [{ kind: 'missing', text }]
}

/** The same of a store at rest; nothing where its database cannot be read, which is damage of another kind. */
function lossAtRest(folder: string, mark: Mark | undefined): Damage[] {
  if (isAbsent(storeOf(folder))) return lossOf(folder, mark)
  let db: DatabaseSync | undefined
  try {
    db = new DatabaseSync(storeOf(folder), { readOnly: true })
    return lossOf(folder, mark, db)
  } catch {
    return []
  } finally {
    db?.close()
  }
}

function logDamage(path: string, mark: Mark | undefined): Damage[] {
  const log = inspectWal(`${path}-wal`, mark)
  if (log.state === 'clean') return []
  const text =
    log.state === 'flipped'
      ? `the log is damaged at byte ${log.offset}, in what had been synced; commits from there on cannot be read`
      : `the log ends in a commit that was not finished, at byte ${log.offset}; the next start drops it`
  return [{ kind: 'log', path: `${path}-wal`, offset: log.offset, text }]
}

/** What a repair did. `kept` is the folder with the files as they were. */
export interface Repair {
  kept: string
  records: number
  lost: Damage[]
}

/**
 * Writes every record that is whole into a new database and puts it in place, after copying the old files into a
 * folder beside them; where nothing is left it begins anew. The system must not run. What cannot be read is named and
 * gone, and indexes, which may know more than is left, are made anew.
 */
export function repair(folder: string, now: number): Repair {
  const lock = StoreLock.take(folder)
  try {
    return repairAlone(folder, now)
  } finally {
    lock.release()
  }
}

function repairAlone(folder: string, now: number): Repair {
  const path = storeOf(folder)
  assertUnused(path)
  const kept = keepCopy(folder, now)
  const mark = readMark(path)
  const log = inspectWal(`${path}-wal`, mark)
  if (log.state !== 'clean') {
    if (log.end === 0) rmSync(`${path}-wal`)
    else truncateSync(`${path}-wal`, log.end)
  }
  const fresh = `${path}.repaired`
  rmSync(fresh, { force: true })
  const missing = log.state === 'flipped' ? [] : lossAtRest(folder, mark)
  const result = salvage(path, fresh, mark?.seq ?? 0, missing)
  rmSync(join(folder, 'index'), { recursive: true, force: true })
  for (const suffix of ['-wal', '-shm', '-journal']) rmSync(path + suffix, { force: true })
  rmSync(markPath(path), { force: true })
  renameSync(fresh, path)
  syncFolder(folder)
  const lost = log.state === 'flipped' ? [...logDamageAt(path, log.offset), ...result.lost] : result.lost
  return { kept, records: result.records, lost }
}

function logDamageAt(path: string, offset: number): Damage[] {
  return [{ kind: 'log', path: `${path}-wal`, offset, text: `the commits of the log from byte ${offset} on` }]
}

/** Copies the store's files into a folder of their own and returns its path. */
function keepCopy(folder: string, now: number): string {
  const kept = join(folder, `damaged-${new Date(now).toISOString().replaceAll(/[:.]/g, '-')}`)
  mkdirSync(kept, { mode: 0o700 })
  for (const file of storeFiles(folder)) copyFileSync(join(folder, file), join(kept, file))
  syncFolder(kept)
  return kept
}

/** The files of the records that are there. */
export function storeFiles(folder: string): string[] {
  const names = ['format', ...['', '-wal', '-synced', '-journal'].map((suffix) => `store.sqlite${suffix}`)]
  return names.filter((name) => existsSync(join(folder, name)))
}

/** No sequence up to `lastKnown` is given again, that of a record that is gone neither. */
function salvage(
  from: string,
  to: string,
  lastKnown: number,
  missing: readonly Damage[],
): { records: number; lost: Damage[] } {
  const target = new DatabaseSync(to)
  try {
    target.exec('PRAGMA synchronous = FULL')
    migrate(target)
    const insert = target.prepare(INSERT)
    target.exec('BEGIN')
    const result = { records: 0, lost: [...missing] }
    let lastSeq = lastKnown
    const take = (row: StoredRow): void => {
      lastSeq = Math.max(lastSeq, row.seq)
      if (checksum(row) !== row.crc) {
        result.lost.push(damagedRecord(row))
        return
      }
      try {
        insert.run(row.seq, row.partition, row.key, row.value, row.version, row.expires, row.crc)
        result.records += 1
      } catch (error) {
        // A second record of the same key, out of a page that is there twice.
        result.lost.push({
          ...damagedRecord(row),
          text: `the record '${row.key}' of ${row.partition}: ${String(error)}`,
        })
      }
    }
    readWhatIsThere(from, take, result.lost)
    // Who reads changes has to begin again: deletions may be among what is gone.
    const counter = target.prepare('INSERT INTO counters (name, number, crc) VALUES (?, ?, ?)')
    for (const name of ['last_seq', 'pruned_seq']) counter.run(name, lastSeq, checksumOfCounter(name, lastSeq))
    target.exec('COMMIT')
    return result
  } finally {
    target.close()
  }
}

/** Reads records upward from the first, and downward from the last as far as a damaged page leaves a gap. */
function readWhatIsThere(path: string, take: (row: StoredRow) => void, lost: Damage[]): void {
  let db: DatabaseSync | undefined
  let reached = -1
  try {
    db = new DatabaseSync(path)
    if (formatOf(db) === 0 && lost.length > 0) return
    if (formatOf(db) === 0) throw new Error('the database has no records that can be read')
    for (const row of db
      .prepare(`SELECT rowid AS number, ${COLUMNS} FROM records NOT INDEXED ORDER BY rowid`)
      .iterate()) {
      take(toRow(row))
      reached = Number(row.number)
    }
  } catch (error) {
    let low = Number.MAX_SAFE_INTEGER
    try {
      const down = db?.prepare(
        `SELECT rowid AS number, ${COLUMNS} FROM records NOT INDEXED WHERE rowid > ? ORDER BY rowid DESC`,
      )
      for (const row of down?.iterate(reached) ?? []) {
        take(toRow(row))
        low = Number(row.number)
      }
    } catch {
      // It ends at the same damage from the other side.
    }
    const upTo = low === Number.MAX_SAFE_INTEGER ? 'the end' : `sequence ${low}`
    const text = `records first written between sequence ${Math.max(reached, 0)} and ${upTo}: ${error instanceof Error ? error.message : String(error)}`
    lost.push({ kind: 'structure', text })
  } finally {
    db?.close()
  }
}
