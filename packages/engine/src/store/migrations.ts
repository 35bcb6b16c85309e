import type { DatabaseSync } from 'node:sqlite'
import { assertReadable } from './data-format.ts'
import { checksumOfCounter, DATA_FORMAT } from './record.ts'

interface Migration {
  /** Format of the database after it. */
  format: number
  run(db: DatabaseSync): void
}

/**
 * How a database came to what it is today, in order; a new one takes every step. A step is never changed once it was
 * released: what it should have done is done by the next.
 */
const MIGRATIONS: readonly Migration[] = [
  {
    // Rows are found by key, by partition and sequence (the rowid is part of each index), and by expiry.
    format: 1,
    run: (db) =>
      db.exec(`
        CREATE TABLE records (
          seq INTEGER PRIMARY KEY,
          partition TEXT NOT NULL,
          key TEXT NOT NULL,
          value TEXT,
          version INTEGER NOT NULL,
          expires INTEGER,
          crc INTEGER NOT NULL
        );
        CREATE UNIQUE INDEX records_by_key ON records (partition, key);
        CREATE INDEX records_by_partition ON records (partition);
        CREATE INDEX records_by_expiry ON records (expires) WHERE expires IS NOT NULL;
        CREATE INDEX records_deleted ON records (seq) WHERE value IS NULL;
        CREATE TABLE counters (name TEXT PRIMARY KEY, number INTEGER NOT NULL) WITHOUT ROWID;
      `),
  },
  {
    // The counters too carry a checksum.
    format: 2,
    run: (db) => {
      db.exec('ALTER TABLE counters ADD COLUMN crc INTEGER NOT NULL DEFAULT 0')
      for (const { name, number } of db.prepare('SELECT name, number FROM counters').all()) {
        const crc = checksumOfCounter(String(name), Number(number))
        db.prepare('UPDATE counters SET crc = ? WHERE name = ?').run(crc, String(name))
      }
    },
  },
  {
    // A record keeps its row: an update changes that and its entry by sequence, and moves nothing. Rows of before have
    // their sequence in what was the row's number, so that a store of any size is taken over without writing them anew.
    format: 3,
    run: (db) =>
      db.exec(`
        DROP INDEX records_by_partition;
        DROP INDEX records_deleted;
        ALTER TABLE records RENAME COLUMN seq TO created_seq;
        ALTER TABLE records ADD COLUMN updated_seq INTEGER;
        ALTER TABLE records ADD COLUMN seq INTEGER AS (coalesce(updated_seq, created_seq)) VIRTUAL;
        CREATE INDEX records_by_partition ON records (partition, seq);
        CREATE INDEX records_deleted ON records (seq) WHERE value IS NULL;
      `),
  },
]

export function formatOf(db: DatabaseSync): number {
  return Number(db.prepare('PRAGMA user_version').get()?.user_version)
}

/** Throws `data_too_new` where a newer version wrote the database; nothing of it was changed then. */
export function assertSupported(db: DatabaseSync, path: string): void {
  assertReadable(formatOf(db), path)
}

/** Takes the steps that are missing, all in one transaction: after a crash it is as it was before. */
export function migrate(db: DatabaseSync): void {
  const format = formatOf(db)
  if (format === DATA_FORMAT) return
  db.exec('BEGIN IMMEDIATE')
  try {
    for (const migration of MIGRATIONS) if (migration.format > format) migration.run(db)
    db.exec(`PRAGMA user_version = ${DATA_FORMAT}; COMMIT`)
  } catch (error) {
    if (db.isTransaction) db.exec('ROLLBACK')
    throw error
  }
}
