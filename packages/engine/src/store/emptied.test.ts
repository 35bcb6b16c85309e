import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { writeBackup } from './backup.ts'
import { toStoredBatch } from './batch.ts'
import { examine, repair } from './damage.ts'
import { openRecords } from './open-records.ts'
import type { RecordDatabase } from './record-database.ts'
import { restoreBackup } from './restore.ts'
import { openSqliteStore } from './sqlite-store.ts'

const P = 'state/realm-a/users'
const RECORDS = 400

let folder: string
let data: string
let opened: RecordDatabase[] = []

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'agentos-emptied-'))
  data = join(folder, 'data')
})
afterEach(() => {
  for (const records of opened.splice(0)) records.close()
  rmSync(folder, { recursive: true, force: true })
})

function open(place: string): RecordDatabase {
  const records = openRecords(place, [])
  opened.push(records)
  return records
}

function close(records: RecordDatabase): void {
  opened = opened.filter((other) => other !== records)
  records.close()
}

function put(records: RecordDatabase, keys: readonly string[]): number {
  let seq = records.lastSeq()
  for (const key of keys) {
    const value = { text: 'x'.repeat(100) }
    const batch = toStoredBatch([{ op: 'put', partition: P, key, value }], () => ++seq)
    expect(records.commit([batch], 0)).toMatchObject([{ ok: true }])
  }
  return seq
}

const fill = (records: RecordDatabase, from = 0): number =>
  put(
    records,
    Array.from({ length: RECORDS }, (_, n) => `k${from + n}`),
  )

const has = (records: RecordDatabase, key: string): boolean =>
  records.range(P, { prefix: key, limit: 1 }, 0).rows[0]?.key === key

/** The files of the folder as a kill leaves them: those of a store that is still open. */
function copyOfOpen(): string {
  const copy = mkdtempSync(join(folder, 'killed-'))
  for (const name of readdirSync(data)) {
    if (!name.endsWith('-shm')) copyFileSync(join(data, name), join(copy, name))
  }
  return copy
}

/** A folder with 400 acknowledged records whose engine was killed; all of them are in the log alone. */
function killed(): string {
  fill(open(data))
  return copyOfOpen()
}

/** Killed too, after a start and an orderly end: the first 400 are in the database, 400 more in the log alone. */
function killedLater(): string {
  stopped()
  fill(open(data), RECORDS)
  return copyOfOpen()
}

function stopped(): string {
  const records = open(data)
  fill(records)
  close(records)
  return data
}

const remove = (place: string, ...suffixes: string[]): void => {
  for (const suffix of suffixes) rmSync(join(place, `store.sqlite${suffix}`), { force: true })
}

const empty = (place: string, suffix: string): void => writeFileSync(join(place, `store.sqlite${suffix}`), '')

/** The index of a log, and an empty log, come and go with whoever reads. */
function contents(place: string): Record<string, string> {
  const files = readdirSync(place).map((name) => [name, readFileSync(join(place, name), 'base64')] as const)
  return Object.fromEntries(
    files.filter(([name, text]) => !name.endsWith('-shm') && (text !== '' || !name.endsWith('-wal'))),
  )
}

describe('a folder that was used and whose records are gone', () => {
  it.each<[string, () => string, (place: string) => void]>([
    ['the database was deleted after a kill', killed, (place) => remove(place, '')],
    ['the database is of zero length after a kill', killed, (place) => empty(place, '')],
    ['the log was deleted after a kill', killed, (place) => remove(place, '-wal')],
    ['the log is of zero length after a kill', killed, (place) => empty(place, '-wal')],
    ['the log and its mark were deleted after a kill', killed, (place) => remove(place, '-wal', '-synced')],
    ['the log of a later start was deleted', killedLater, (place) => remove(place, '-wal')],
    ['the database was deleted after an orderly end', stopped, (place) => remove(place, '')],
    ['the database is of zero length after an orderly end', stopped, (place) => empty(place, '')],
    [
      'every file was deleted, and an empty journal is there',
      killed,
      (place) => {
        remove(place, '', '-wal', '-synced')
        empty(place, '-journal')
      },
    ],
    [
      'the database is of zero length, with a journal of another one',
      killed,
      (place) => {
        empty(place, '')
        writeFileSync(join(place, 'store.sqlite-journal'), Buffer.alloc(512))
      },
    ],
    [
      'the log was deleted after a kill, and an empty journal is there',
      killed,
      (place) => {
        remove(place, '-wal')
        empty(place, '-journal')
      },
    ],
    ['every file of the store was deleted', killed, (place) => remove(place, '', '-wal', '-synced')],
    [
      'the format was deleted with the database',
      killed,
      (place) => {
        remove(place, '')
        rmSync(join(place, 'format'))
      },
    ],
  ])('is refused with the way out, and left as it is: %s', (_, used, lose) => {
    const place = used()
    lose(place)
    const before = contents(place)
    const refused = expect(() => open(place))
    refused.toThrow(expect.objectContaining({ code: 'data_missing' }))
    refused.toThrow(/store\.sqlite .*npm run agentos -- restore.*npm run agentos -- doctor --repair/)
    expect(contents(place)).toEqual(before)
  })

  it('is refused by the store as it is by the records', async () => {
    const place = stopped()
    remove(place, '')
    const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
    const clock = { now: () => Date.now(), precise: () => Date.now(), monotonic: () => performance.now() }
    const threadUrl = new URL('./thread.ts', import.meta.url)
    const opening = openSqliteStore({ folder: place, threadUrl, clock, log: quiet })
    await expect(opening).rejects.toMatchObject({
      code: 'data_missing',
      details: { path: join(place, 'store.sqlite') },
    })
  })

  it('is begun anew where its owner says so, and the old files are kept', () => {
    const place = killed()
    remove(place, '')
    mkdirSync(join(place, 'index', 'memory'), { recursive: true })
    const { damage } = examine(place, { live: false })
    expect(damage).toMatchObject([{ kind: 'missing', text: expect.stringContaining('store.sqlite is missing') }])
    const done = repair(place, Date.now())
    expect(done).toMatchObject({ records: 0, lost: [{ kind: 'missing' }] })
    expect(existsSync(join(done.kept, 'store.sqlite-wal'))).toBe(true)
    // What was made from the records that are gone would stand beside new ones.
    expect(existsSync(join(place, 'index'))).toBe(false)
    const records = open(place)
    expect(has(records, 'k1')).toBe(false)
    expect(put(records, ['new'])).toBeGreaterThan(RECORDS)
  })

  it('goes on with what is left where its owner says so, and gives no sequence twice', () => {
    const place = killedLater()
    remove(place, '-wal')
    expect(examine(place, { live: false }).damage).toMatchObject([{ kind: 'missing' }])
    expect(repair(place, Date.now())).toMatchObject({ records: RECORDS, lost: [{ kind: 'missing' }] })
    const records = open(place)
    expect(has(records, 'k1')).toBe(true)
    expect(put(records, ['new'])).toBeGreaterThan(2 * RECORDS)
  })

  it.each([
    ['the database', ['']],
    ['the log', ['-wal']],
    ['all but the mark', ['', '-wal']],
  ])('takes a backup in place of what is left: without %s', async (_, gone) => {
    const records = open(data)
    fill(records)
    const file = join(folder, 'copy.backup')
    await writeBackup(records, file)
    fill(records, RECORDS)
    const place = copyOfOpen()
    remove(place, ...gone)
    await restoreBackup(file, place, Date.now())
    const again = open(place)
    expect(has(again, 'k399')).toBe(true)
    expect(has(again, 'k400')).toBe(false)
  })
})

describe('a folder that lost nothing starts', () => {
  it('when it is new', () => {
    mkdirSync(join(data, 'logs'), { recursive: true })
    fill(open(data))
    expect(readFileSync(join(data, 'format'), 'utf8')).toBe('3\n')
  })

  it('when its first start was cut off before there was a store', () => {
    mkdirSync(data)
    writeFileSync(join(data, 'store.sqlite'), '')
    fill(open(data))
  })

  it('when the log is gone because it was folded into the database', () => {
    const place = stopped()
    expect(existsSync(join(place, 'store.sqlite-wal'))).toBe(false)
    expect(has(open(place), 'k399')).toBe(true)
  })

  it.each([false, true])('when another program folded the log after a kill, leaving an empty one: %s', (emptied) => {
    const place = killed()
    const other = new DatabaseSync(join(place, 'store.sqlite'))
    other.exec('SELECT count(*) FROM records; PRAGMA wal_checkpoint(TRUNCATE)')
    other.close()
    if (emptied) empty(place, '-wal')
    expect(existsSync(join(place, 'store.sqlite-synced'))).toBe(true)
    expect(has(open(place), 'k399')).toBe(true)
  })

  it('when it was killed at once after its start', () => {
    open(data)
    fill(open(copyOfOpen()))
  })

  it('when an older version wrote its mark, which knows no sequence', () => {
    const place = killed()
    const mark = readFileSync(join(place, 'store.sqlite-synced'))
    writeFileSync(join(place, 'store.sqlite-synced'), mark.subarray(0, 20))
    expect(has(open(place), 'k399')).toBe(true)
  })
})
