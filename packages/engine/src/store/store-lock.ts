import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { EngineError } from '@agentos/protocol'
import { holderOf, holderOfDeleted } from './in-use.ts'

/** A process that is just ending gives the lock back within this time, in milliseconds. */
const WAIT_MS = 1_000
const SQLITE_BUSY = 5

/**
 * One store, or one care of it, works on a data folder at a time, whoever started it. The lock is one that SQLite takes
 * on a file of its own, which is empty and stays: it ends with its process, however that ends.
 */
export class StoreLock {
  private readonly db: DatabaseSync

  private constructor(db: DatabaseSync) {
    this.db = db
  }

  /**
   * Throws `store_in_use` where another has it, naming its process where the system tells; on Linux also where the file
   * was deleted while another has it.
   */
  static take(folder: string): StoreLock {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    const path = join(folder, 'store.lock')
    const db = new DatabaseSync(path, { timeout: WAIT_MS })
    try {
      // Beginning a new file, it would write a journal.
      db.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE')
    } catch (error) {
      db.close()
      if ((error as { errcode?: number }).errcode !== SQLITE_BUSY) throw error
      throw inUse(folder, path, holderOf(path))
    }
    const other = holderOfDeleted(path, join(folder, 'store.sqlite'))
    if (other === undefined) return new StoreLock(db)
    db.close()
    throw inUse(folder, path, other)
  }

  release(): void {
    this.db.close()
  }
}

function inUse(folder: string, path: string, pid: number | undefined): EngineError {
  const holder = pid === undefined ? 'Another process' : `Process ${pid}`
  return new EngineError(
    'store_in_use',
    `${holder} has the store in ${folder} open; stop it first, or set AGENTOS_DATA to another folder`,
    { details: { path, ...(pid === undefined ? {} : { pid }) } },
  )
}
