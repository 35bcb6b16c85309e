import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openRecords } from './open-records.ts'
import { seal } from './record.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'agentos-migrations-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

/** A data folder as version 0.1.0 wrote it, its tables word for word. */
function writeFormatOne(data: string): void {
  mkdirSync(data)
  writeFileSync(join(data, 'format'), '1\n')
  const db = new DatabaseSync(join(data, 'store.sqlite'))
  db.exec(`
    PRAGMA journal_mode = WAL;
    CREATE TABLE IF NOT EXISTS records (
      seq INTEGER PRIMARY KEY,
      partition TEXT NOT NULL,
      key TEXT NOT NULL,
      value TEXT,
      version INTEGER NOT NULL,
      expires INTEGER,
      crc INTEGER NOT NULL
    );
    CREATE UNIQUE INDEX IF NOT EXISTS records_by_key ON records (partition, key);
    CREATE INDEX IF NOT EXISTS records_by_partition ON records (partition);
    CREATE INDEX IF NOT EXISTS records_by_expiry ON records (expires) WHERE expires IS NOT NULL;
    CREATE INDEX IF NOT EXISTS records_deleted ON records (seq) WHERE value IS NULL;
    CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, number INTEGER NOT NULL) WITHOUT ROWID;
    INSERT INTO counters VALUES ('last_seq', 70), ('pruned_seq', 4);
    PRAGMA user_version = 1;
  `)
  const insert = db.prepare('INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?)')
  for (let n = 1; n <= 30; n += 1) {
    const value = n % 5 === 0 ? null : JSON.stringify({ n })
    const row = seal({ partition: 'p', key: `k${n}`, value, version: 1, seq: n + 10, expires: null })
    insert.run(row.seq, row.partition, row.key, row.value, row.version, row.expires, row.crc)
  }
  db.close()
}

describe('a data folder of format 1', () => {
  it('is migrated with every record, deletion and counter, and then refused by the version that wrote it', () => {
    const data = join(folder, 'data')
    writeFormatOne(data)
    const warnings: string[] = []
    const records = openRecords(data, warnings)
    expect(warnings).toEqual([])
    expect(records.range('p', { limit: 99 }, 0)).toHaveLength(24)
    expect(records.changes('p', { after: 0, limit: 99 })).toHaveLength(30)
    expect(() => records.changes('p', { after: 3, limit: 99 })).toThrow('up to sequence 4')
    expect(records.lastSeq()).toBe(70)
    records.close()
    expect(readFileSync(join(data, 'format'), 'utf8')).toBe('2\n')
    const db = new DatabaseSync(join(data, 'store.sqlite'))
    expect(db.prepare('PRAGMA user_version').get()).toEqual({ user_version: 2 })
    db.close()
  })

  it('can be migrated again after the power went in the middle', () => {
    const data = join(folder, 'data')
    writeFormatOne(data)
    // The number of the folder is raised first, and the database in one transaction after it.
    writeFileSync(join(data, 'format'), '2\n')
    const again = join(folder, 'again')
    cpSync(data, again, { recursive: true })
    const records = openRecords(again, [])
    expect(records.range('p', { limit: 99 }, 0)).toHaveLength(24)
    records.close()
  })
})

describe('the check at start', () => {
  it('names a damaged record and opens, and does not open over a damaged index', () => {
    const data = join(folder, 'data')
    writeFormatOne(data)
    openRecords(data, []).close()
    const path = join(data, 'store.sqlite')
    const whole = readFileSync(path)
    const bytes = Buffer.from(whole)
    bytes[bytes.indexOf('{"n":7}') + 5]! ^= 1
    writeFileSync(path, bytes)
    const warnings: string[] = []
    openRecords(data, warnings).close()
    expect(warnings).toEqual([expect.stringMatching(/record 'k7' of p .* not served/)])
    const index = Buffer.from(whole)
    index[index.indexOf('pk21')]! ^= 2
    writeFileSync(path, index)
    expect(() => openRecords(data, [])).toThrow(/damaged: .*records_by.*npm run agentos -- restore/)
  })

  it('finds a counter that is not what was written', () => {
    const data = join(folder, 'data')
    writeFormatOne(data)
    openRecords(data, []).close()
    const db = new DatabaseSync(join(data, 'store.sqlite'))
    db.exec("UPDATE counters SET number = 5 WHERE name = 'pruned_seq'")
    db.close()
    expect(() => openRecords(data, [])).toThrow("the counter 'pruned_seq' does not match")
  })
})
