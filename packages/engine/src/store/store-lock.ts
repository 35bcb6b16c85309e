import { mkdirSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { EngineError } from '@agentos/protocol'
import { holderOf, holderOfAnother } from './in-use.ts'

/** A process that is just ending gives the lock back within this time, in milliseconds. */
const WAIT_MS = 1_000
const SQLITE_BUSY = 5

/**
 * One store, or one care of it, works on a data folder at a time, whoever started it. The lock is one that SQLite takes
 * on a file of its own, which is empty and stays: it ends with its process, however that ends. The file can be moved or
 * deleted under it; so whoever has it asks `lost` before each write.
 */
export class StoreLock {
  private readonly path: string
  private readonly folder: string
  private readonly folderId: string | undefined
  private db: DatabaseSync
  private id: string | undefined

  private constructor(path: string, db: DatabaseSync) {
    this.path = path
    this.folder = dirname(path)
    this.folderId = identityOf(this.folder)
    this.db = db
    this.id = identityOf(path)
  }

  /**
   * Throws `store_in_use` where another has it, naming its process where the system tells; on Linux also where the file
   * was deleted or moved away while another has it.
   */
  static take(folder: string): StoreLock {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    const path = join(folder, 'store.lock')
    const db = lockFile(path, WAIT_MS)
    if (!db) throw inUse(folder, path, holderOf(path))
    const other = holderOfAnother(join(folder, 'store.sqlite'))
    if (other === undefined) return new StoreLock(path, db)
    db.close()
    throw inUse(folder, path, other)
  }

  /** Why this is not the lock of its folder any more; one whose file alone is gone is taken anew. */
  lost(): string | undefined {
    try {
      return this.checked()
    } catch (error) {
      return `The lock of ${this.folder} cannot be looked at: ${(error as Error).message}`
    }
  }

  private checked(): string | undefined {
    if (this.id !== undefined && identityOf(this.path) === this.id) return undefined
    if (identityOf(this.folder) !== this.folderId) {
      return `${this.folder} was moved away or replaced while it is in use; put it back, or stop this and start it on the folder where its data is`
    }
    const db = lockFile(this.path, 0)
    if (!db)
      return `The lock of ${this.folder} was moved away, and another process has the store open by now; stop one of them`
    this.db.close()
    this.db = db
    this.id = identityOf(this.path)
    return undefined
  }

  release(): void {
    this.db.close()
  }
}

/** `undefined` where another has it. */
function lockFile(path: string, timeout: number): DatabaseSync | undefined {
  const db = new DatabaseSync(path, { timeout })
  try {
    // Beginning a new file, it would write a journal.
    db.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE')
    return db
  } catch (error) {
    db.close()
    if ((error as { errcode?: number }).errcode !== SQLITE_BUSY) throw error
    return undefined
  }
}

/** Which file or folder is found there, whatever its name was before. */
function identityOf(path: string): string | undefined {
  const found = statSync(path, { throwIfNoEntry: false })
  return found && `${found.dev}:${found.ino}`
}

function inUse(folder: string, path: string, pid: number | undefined): EngineError {
  const holder = pid === undefined ? 'Another process' : `Process ${pid}`
  return new EngineError(
    'store_in_use',
    `${holder} has the store in ${folder} open; stop it first, or set AGENTOS_DATA to another folder`,
    { details: { path, ...(pid === undefined ? {} : { pid }) } },
  )
}
