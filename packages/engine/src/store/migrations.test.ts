import { createHash } from 'node:crypto'
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { manifestPath } from './backup.ts'
import type { StoredWrite } from './batch.ts'
import { examine, repair } from './damage.ts'
import { openRecords } from './open-records.ts'
import { checksumOfCounter, seal } from './record.ts'
import type { RecordDatabase } from './record-database.ts'
import { restoreBackup } from './restore.ts'

/** Bytes of a page in the log, with its header. */
const FRAME = 24 + 4_096

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'agentos-migrations-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

/** A data folder as versions before 0.2.0 wrote it, its tables word for word. Returns how many pages the records take. */
function writeOldFolder(data: string, format: 1 | 2, valueBytes = 0): number {
  mkdirSync(data)
  writeFileSync(join(data, 'format'), `${format}\n`)
  const db = new DatabaseSync(join(data, 'store.sqlite'))
  db.exec(`
    PRAGMA journal_mode = WAL;
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
    INSERT INTO counters VALUES ('last_seq', 70), ('pruned_seq', 4);
    PRAGMA user_version = ${format};
  `)
  if (format === 2) {
    db.exec('ALTER TABLE counters ADD COLUMN crc INTEGER NOT NULL DEFAULT 0')
    const counter = db.prepare('UPDATE counters SET crc = ? WHERE name = ?')
    for (const [name, number] of [
      ['last_seq', 70],
      ['pruned_seq', 4],
    ] as const) {
      counter.run(checksumOfCounter(name, number), name)
    }
  }
  const insert = db.prepare('INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?)')
  for (let n = 1; n <= 30; n += 1) {
    const text = valueBytes === 0 ? {} : { text: 'x'.repeat(valueBytes) }
    const value = n % 5 === 0 ? null : JSON.stringify({ n, ...text })
    const row = seal({ partition: 'p', key: `k${n}`, value, version: 1, seq: n + 10, expires: null })
    insert.run(row.seq, row.partition, row.key, row.value, row.version, row.expires, row.crc)
  }
  const { page_count: pages } = db.prepare('PRAGMA page_count').get() as { page_count: number }
  db.close()
  return pages
}

/** Everything that a reader finds: records, deletions and counters. */
function contentOf(records: RecordDatabase): object {
  const changes = records.changes('p', { after: 0, limit: 99 }).rows
  return { live: records.range('p', { limit: 99 }, 0).rows, changes, lastSeq: records.lastSeq() }
}

function put(key: string, json: string | null, seq: number): StoredWrite {
  const op = json === null ? 'delete' : 'put'
  return { op, key, json, expected: null, becomes: null, expires: null, seq }
}

function write(records: RecordDatabase, key: string, json: string | null, seq: number): void {
  const outcomes = records.commit([{ partition: 'p', writes: [put(key, json, seq)] }], 0)
  expect(outcomes).toEqual([{ ok: true, versions: [2] }])
}

const numbers = (first: number, last: number): number[] =>
  Array.from({ length: last - first + 1 }, (_, index) => first + index)

const framesIn = (log: string): number => (statSync(log).size - 32) / FRAME

describe.each([1, 2] as const)('a data folder of format %i', (format) => {
  it('is migrated with every record, deletion and counter, and then refused by the version that wrote it', () => {
    const data = join(folder, 'data')
    writeOldFolder(data, format)
    const warnings: string[] = []
    const records = openRecords(data, warnings)
    expect(warnings).toEqual([])
    expect(records.range('p', { limit: 99 }, 0).rows).toHaveLength(24)
    expect(records.changes('p', { after: 0, limit: 99 }).rows.map(({ seq }) => seq)).toEqual(numbers(11, 40))
    expect(() => records.changes('p', { after: 3, limit: 99 })).toThrow('up to sequence 4')
    expect(records.lastSeq()).toBe(70)
    records.close()
    expect(readFileSync(join(data, 'format'), 'utf8')).toBe('3\n')
    const db = new DatabaseSync(join(data, 'store.sqlite'))
    expect(db.prepare('PRAGMA user_version').get()).toEqual({ user_version: 3 })
    db.close()
  })

  it('goes on in order: what is written anew comes last, what is deleted is forgotten in its turn', () => {
    const data = join(folder, 'data')
    writeOldFolder(data, format)
    let records = openRecords(data, [])
    write(records, 'k2', '{"n":"two"}', 71)
    write(records, 'k3', null, 72)
    write(records, 'k5', '{"n":"five"}', 73)
    records.close()
    records = openRecords(data, [])
    const changes = records.changes('p', { after: 0, limit: 99 }).rows
    expect(changes).toHaveLength(30)
    expect(changes.slice(-4).map(({ key, seq }) => [key, seq])).toEqual([
      ['k30', 40],
      ['k2', 71],
      ['k3', 72],
      ['k5', 73],
    ])
    expect(records.changes('p', { after: 71, limit: 1 }).rows.map(({ key }) => key)).toEqual(['k3'])
    expect(records.range('p', { prefix: 'k5', limit: 1 }, 0).rows).toMatchObject([
      { value: '{"n":"five"}', version: 2 },
    ])
    records.prune(1)
    expect(records.lastSeq()).toBe(73)
    expect(records.changes('p', { after: 0, limit: 99 }).rows.filter(({ value }) => value === null)).toMatchObject([
      { key: 'k3' },
    ])
    records.close()
    expect(examine(data, { live: false })).toEqual({ records: 25, live: 24, lastSeq: 73, damage: [] })
  })

  it('is whole wherever the power goes in the middle of it', () => {
    const data = join(folder, 'data')
    writeOldFolder(data, format)
    const records = openRecords(data, [])
    const expected = contentOf(records)
    const [database, log] = ['', '-wal'].map((suffix) => readFileSync(join(data, `store.sqlite${suffix}`)))
    records.close()
    // The number of the folder is raised first, and the database in one transaction after it.
    expect((log!.length - 32) / FRAME).toBeGreaterThanOrEqual(3)
    for (let cut = 0; cut <= log!.length; cut += FRAME / 2) {
      const again = join(folder, `again-${cut}`)
      mkdirSync(again)
      writeFileSync(join(again, 'format'), '3\n')
      writeFileSync(join(again, 'store.sqlite'), database!)
      writeFileSync(join(again, 'store.sqlite-wal'), log!.subarray(0, cut))
      const opened = openRecords(again, [])
      expect(contentOf(opened)).toEqual(expected)
      opened.close()
    }
  })

  it('is taken over without writing its records anew', () => {
    const data = join(folder, 'data')
    const pages = writeOldFolder(data, format, 40_000)
    const records = openRecords(data, [])
    expect(records.range('p', { limit: 99 }, 0).rows).toHaveLength(24)
    expect(pages).toBeGreaterThan(200)
    expect(framesIn(join(data, 'store.sqlite-wal'))).toBeLessThan(20)
    records.close()
  })

  it('is examined, repaired, and restored from as it is', async () => {
    const data = join(folder, 'data')
    writeOldFolder(data, format)
    expect(examine(data, { live: false })).toEqual({ records: 30, live: 24, lastSeq: 40, damage: [] })
    const file = join(folder, 'copy.backup')
    copyFileSync(join(data, 'store.sqlite'), file)
    const bytes = readFileSync(file)
    const [hash, stands] = [createHash('sha256').update(bytes).digest('hex'), { createdAt: 1, contains: [], omits: [] }]
    const counts = { bytes: bytes.length, records: 30, live: 24, partitions: 1, lastSeq: 40 }
    writeFileSync(
      manifestPath(file),
      JSON.stringify({ kind: 'agentos-backup', format, sha256: hash, ...stands, ...counts }),
    )
    expect(repair(data, 1)).toMatchObject({ records: 30, lost: [] })
    let records = openRecords(data, [])
    expect(records.range('p', { limit: 99 }, 0).rows).toHaveLength(24)
    records.close()
    await restoreBackup(file, data, 2)
    records = openRecords(data, [])
    expect(records.changes('p', { after: 5, limit: 99 }).rows).toHaveLength(30)
    expect(records.lastSeq()).toBe(70)
    records.close()
  })
})

describe('an update', () => {
  it.each([
    ['small', 100],
    ['that fills most of a page', 3_000],
  ])('writes its own page and its place in the order, and moves no other: a value %s', (_, bytes) => {
    const records = openRecords(folder, [])
    const textOf = (seq: number): string => JSON.stringify(String(seq).padEnd(bytes, '.'))
    const puts = numbers(1, 600).map((seq) => put(`k${(seq * 7_919) % 600}`, textOf(seq), seq))
    records.commit([{ partition: 'p', writes: puts }], 0)
    const log = join(folder, 'store.sqlite-wal')
    const before = framesIn(log)
    const updates = 50
    for (const n of numbers(1, updates)) {
      records.commit([{ partition: 'p', writes: [put(`k${(n * 37) % 600}`, textOf(600 + n), 600 + n)] }], 0)
    }
    expect((framesIn(log) - before) / updates).toBeLessThan(3.5)
    records.close()
    expect(examine(folder, { live: false })).toEqual({ records: 600, live: 600, lastSeq: 650, damage: [] })
  })
})

describe('the check at start', () => {
  it('names a damaged record and opens, and does not open over a damaged index', () => {
    const data = join(folder, 'data')
    writeOldFolder(data, 1)
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
    writeOldFolder(data, 1)
    openRecords(data, []).close()
    const db = new DatabaseSync(join(data, 'store.sqlite'))
    db.exec("UPDATE counters SET number = 5 WHERE name = 'pruned_seq'")
    db.close()
    expect(() => openRecords(data, [])).toThrow("the counter 'pruned_seq' does not match")
  })
})
