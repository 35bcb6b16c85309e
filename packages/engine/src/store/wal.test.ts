import { copyFileSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openSqliteStore } from './sqlite-store.ts'
import { inspectWal } from './wal.ts'

const PAGE = 4096
const FRAME = PAGE + 24

let folder: string
let path: string

/** A store that was killed: its files as they lie while a connection is still open. */
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'agentos-wal-'))
  path = join(folder, 'copy.sqlite-wal')
  const db = new DatabaseSync(join(folder, 'live.sqlite'))
  db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT)')
  const insert = db.prepare('INSERT INTO t (body) VALUES (?)')
  for (let n = 0; n < 20; n += 1) insert.run('x'.repeat(500))
  db.exec(
    'INSERT INTO t (body) WITH RECURSIVE n(i) AS (SELECT 1 UNION SELECT i + 1 FROM n WHERE i < 60) SELECT hex(zeroblob(900)) || i FROM n',
  )
  copyFileSync(join(folder, 'live.sqlite'), join(folder, 'copy.sqlite'))
  copyFileSync(join(folder, 'live.sqlite-wal'), path)
  db.close()
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

function frames(): number {
  return Math.floor((readFileSync(path).length - 32) / FRAME)
}

function offsetOf(frame: number): number {
  return 32 + frame * FRAME
}

function edit(change: (log: Buffer) => void): void {
  const log = readFileSync(path)
  change(log)
  writeFileSync(path, log)
}

describe('a write-ahead log before it is opened', () => {
  it('is clean as SQLite wrote it, and where there is none', () => {
    expect(frames()).toBeGreaterThan(30)
    expect(inspectWal(path)).toMatchObject({ state: 'clean', end: offsetOf(frames()) })
    expect(inspectWal(join(folder, 'none'))).toMatchObject({ state: 'clean', end: 0 })
  })

  it('is damaged where a bit is flipped in front of finished commits, in a page or in a header of a frame', () => {
    for (const at of [offsetOf(5) + 24 + 700, offsetOf(5) + 3, offsetOf(5) + 17, offsetOf(5) + 9]) {
      const before = readFileSync(path)
      edit((log) => {
        log[at]! ^= 4
      })
      expect(inspectWal(path)).toMatchObject({ state: 'flipped', offset: offsetOf(5) })
      writeFileSync(path, before)
    }
  })

  it('is damaged where its own header is', () => {
    edit((log) => {
      log[17]! ^= 1
    })
    expect(inspectWal(path)).toMatchObject({ state: 'flipped', offset: 0 })
  })

  it('ends in an unfinished commit where the last frames are cut off, or half written', () => {
    truncateSync(path, offsetOf(frames() - 1) + 1_000)
    expect(inspectWal(path)).toMatchObject({ state: 'clean' })
    edit((log) => log.fill(0, offsetOf(frames() - 1) + 2_000))
    expect(inspectWal(path)).toMatchObject({ state: 'torn', offset: offsetOf(frames() - 1) })
  })

  it('ends in an unfinished commit where its pages reached the disk in another order, without the commit', () => {
    truncateSync(path, offsetOf(frames() - 1))
    const hole = frames() - 3
    edit((log) => log.fill(0, offsetOf(hole), offsetOf(hole + 1)))
    expect(inspectWal(path)).toMatchObject({ state: 'torn', offset: offsetOf(hole) })
  })

  it('ends in a commit that was never synced where one of its pages did not reach the disk and its last frame did', () => {
    const hole = frames() - 3
    edit((log) => log.fill(0, offsetOf(hole), offsetOf(hole + 1)))
    expect(inspectWal(path)).toMatchObject({ state: 'torn', offset: offsetOf(hole), finished: true })
  })

  it('is damaged in its last commit where that is known to have been synced, or where it is cut off', () => {
    const synced = { salts: readFileSync(path).subarray(16, 24), length: offsetOf(frames()) }
    const hole = frames() - 3
    edit((log) => {
      log[offsetOf(hole) + 500]! ^= 1
    })
    expect(inspectWal(path, synced)).toMatchObject({ state: 'flipped', offset: offsetOf(hole) })
    expect(inspectWal(path, { ...synced, salts: Buffer.alloc(8) })).toMatchObject({ state: 'torn' })
    truncateSync(path, offsetOf(hole))
    // Everything from the end of the commit before it is gone.
    const { end } = inspectWal(path)
    expect(inspectWal(path, synced)).toEqual({ state: 'flipped', offset: end, end })
  })

  it('keeps the store from opening when damaged, and only warns when torn', async () => {
    const data = join(folder, 'data')
    const warnings: string[] = []
    const push = (_fields: object, message: string) => warnings.push(message)
    const open = () =>
      openSqliteStore({
        folder: data,
        threadUrl: new URL('./thread.ts', import.meta.url),
        clock: { now: () => Date.now(), precise: () => Date.now(), monotonic: () => performance.now() },
        log: { debug: push, info: push, warn: push, error: push },
      })
    const store = await open()
    for (let n = 0; n < 10; n += 1) {
      await new Promise((resolve) =>
        store.write([{ op: 'put', partition: 'p', key: `k${n}`, value: 'v'.repeat(100) }], resolve),
      )
    }
    const log = readFileSync(join(data, 'store.sqlite-wal'))
    const main = readFileSync(join(data, 'store.sqlite'))
    await store.close()
    const restore = (bytes: Buffer) => {
      rmSync(join(data, 'store.sqlite-shm'), { force: true })
      writeFileSync(join(data, 'store.sqlite'), main)
      writeFileSync(join(data, 'store.sqlite-wal'), bytes)
    }
    const flipped = Buffer.from(log)
    flipped[Math.floor(log.length / 2)]! ^= 1
    restore(flipped)
    await expect(open()).rejects.toMatchObject({
      code: 'corrupt_record',
      message: expect.stringMatching(/at byte \d+/),
    })
    const torn = Buffer.from(log)
    torn.fill(7, torn.length - 100)
    restore(torn)
    const again = await open()
    expect(warnings).toEqual([expect.stringContaining('nothing shows that it was ever synced')])
    expect(again.get('p', 'k5')?.value).toBe('v'.repeat(100))
    await again.close()
  })
})
