import { copyFileSync, existsSync, mkdirSync, renameSync, rmSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { EngineError } from '@agentos/protocol'
import { syncFolder } from './data-format.ts'
import { assertUnused } from './in-use.ts'
import { beginWalk, checkStructure, type Damage, damagedRecord, walkOn } from './integrity.ts'
import { assertSupported, formatOf, migrate } from './migrations.ts'
import { checksum, checksumOfCounter, type StoredRow } from './record.ts'
import { COLUMNS, toRow } from './record-database.ts'
import { markPath, readMark } from './synced-mark.ts'
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
  if (!existsSync(path)) throw new EngineError('not_found', `There is no store in ${folder}`)
  const log = options.live ? [] : logDamage(path)
  let db: DatabaseSync | undefined
  try {
    db = new DatabaseSync(path, { readOnly: true, timeout: 1_000 })
    assertSupported(db, path)
    const walk = beginWalk()
    const structure = checkStructure(db)
    walkAll(db, walk)
    const { records, live, lastSeq } = walk
    return { records, live, lastSeq, damage: [...log, ...structure, ...walk.damage] }
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
    walk.damage.push({ kind: 'structure', text: `records after sequence ${walk.lastSeq} cannot be read: ${text}` })
  }
}

function logDamage(path: string): Damage[] {
  const log = inspectWal(`${path}-wal`, readMark(path))
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
 * folder beside them. The system must not run. What cannot be read is named and gone.
 */
export function repair(folder: string, now: number): Repair {
  const path = storeOf(folder)
  assertUnused(path)
  const kept = keepCopy(folder, now)
  const log = inspectWal(`${path}-wal`, readMark(path))
  if (log.state !== 'clean') {
    if (log.end === 0) rmSync(`${path}-wal`)
    else truncateSync(`${path}-wal`, log.end)
  }
  const fresh = `${path}.repaired`
  rmSync(fresh, { force: true })
  const result = salvage(path, fresh)
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

function salvage(from: string, to: string): { records: number; lost: Damage[] } {
  const target = new DatabaseSync(to)
  try {
    target.exec('PRAGMA synchronous = FULL')
    migrate(target)
    const insert = target.prepare(`INSERT INTO records (${COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)`)
    target.exec('BEGIN')
    const result = { records: 0, lost: [] as Damage[] }
    let lastSeq = 0
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
    if (formatOf(db) === 0) throw new Error('the database has no records that can be read')
    for (const row of db.prepare(`SELECT ${COLUMNS} FROM records NOT INDEXED ORDER BY seq`).iterate()) {
      take(toRow(row))
      reached = Number(row.seq)
    }
  } catch (error) {
    let low = Number.MAX_SAFE_INTEGER
    try {
      const down = db?.prepare(`SELECT ${COLUMNS} FROM records NOT INDEXED WHERE seq > ? ORDER BY seq DESC`)
      for (const row of down?.iterate(reached) ?? []) {
        take(toRow(row))
        low = Number(row.seq)
      }
    } catch {
      // It ends at the same damage from the other side.
    }
    const upTo = low === Number.MAX_SAFE_INTEGER ? 'the end' : `sequence ${low}`
    const text = `records between sequence ${Math.max(reached, 0)} and ${upTo}: ${error instanceof Error ? error.message : String(error)}`
    lost.push({ kind: 'structure', text })
  } finally {
    db?.close()
  }
}
