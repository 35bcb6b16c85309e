import { mkdirSync, rmSync } from 'node:fs'
import { dirname } from 'node:path'
import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite'
import { TABLES, VERSION } from './schema.ts'

type Row = Record<string, unknown>

/** SQLite's codes of a file that cannot be read any more: corrupt, or not a database. */
const BROKEN = new Set([11, 26])

/** One index file. Everything in it can be made again, so a file that is broken or of another version is thrown away. */
export class Database {
  private readonly sqlite: DatabaseSync
  private readonly statements = new Map<string, StatementSync>()

  static async open(path: string): Promise<Database> {
    const { DatabaseSync: Sqlite } = await import('node:sqlite')
    mkdirSync(dirname(path), { recursive: true })
    try {
      const database = new Database(new Sqlite(path))
      if (database.prepared()) return database
      database.close()
    } catch (error) {
      if (!isBroken(error)) throw error
    }
    remove(path)
    const database = new Database(new Sqlite(path))
    database.prepared()
    return database
  }

  private constructor(sqlite: DatabaseSync) {
    this.sqlite = sqlite
  }

  /** Makes the tables of a new file; false where the file is of another version. */
  private prepared(): boolean {
    this.sqlite.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON')
    const version = this.one('PRAGMA user_version')!.user_version
    if (version === 0) this.sqlite.exec(`BEGIN; ${TABLES} PRAGMA user_version = ${VERSION}; COMMIT`)
    return version === 0 || version === VERSION
  }

  all(sql: string, ...values: SQLInputValue[]): Row[] {
    return this.statement(sql).all(...values)
  }

  one(sql: string, ...values: SQLInputValue[]): Row | undefined {
    return this.statement(sql).get(...values)
  }

  run(sql: string, ...values: SQLInputValue[]): { changes: number; lastRow: number } {
    const { changes, lastInsertRowid } = this.statement(sql).run(...values)
    return { changes: Number(changes), lastRow: Number(lastInsertRowid) }
  }

  transaction<T>(work: () => T): T {
    this.sqlite.exec('BEGIN')
    try {
      const result = work()
      this.sqlite.exec('COMMIT')
      return result
    } catch (error) {
      this.sqlite.exec('ROLLBACK')
      throw error
    }
  }

  close(): void {
    this.statements.clear()
    this.sqlite.close()
  }

  private statement(sql: string): StatementSync {
    let statement = this.statements.get(sql)
    if (!statement) {
      statement = this.sqlite.prepare(sql)
      this.statements.set(sql, statement)
    }
    return statement
  }
}

function isBroken(error: unknown): boolean {
  const code = (error as { errcode?: unknown }).errcode
  return typeof code === 'number' && BROKEN.has(code & 0xff)
}

function remove(path: string): void {
  for (const suffix of ['', '-wal', '-shm']) rmSync(path + suffix, { force: true })
}
