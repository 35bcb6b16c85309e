import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type BackupManifest, manifestPath, verifyBackup } from './backup.ts'
import { examine, repair } from './damage.ts'
import { restoreBackup } from './restore.ts'
import { openSqliteStore, type SqliteStore } from './sqlite-store.ts'
import { put, remove, write } from './store.contract.ts'

const P = 'state/realm-a/users'
const clock = { now: () => Date.now(), precise: () => Date.now(), monotonic: () => performance.now() }
const log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

let folder: string
let data: string
let target: string
let stores: SqliteStore[] = []

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'agentos-backup-'))
  data = join(folder, 'data')
  target = join(folder, 'copy.backup')
  stores = []
})
afterEach(async () => {
  await closeAll()
  rmSync(folder, { recursive: true, force: true })
})

async function open(): Promise<SqliteStore> {
  const store = await openSqliteStore({ folder: data, threadUrl: new URL('./thread.ts', import.meta.url), clock, log })
  stores.push(store)
  return store
}

async function closeAll(): Promise<void> {
  for (const store of stores.splice(0)) await store.close()
}

function backup(store: SqliteStore, path = target): Promise<BackupManifest> {
  return new Promise((resolve, reject) => {
    store.backup(path, (manifest, error) => (manifest ? resolve(manifest) : reject(error)))
  })
}

async function fill(store: SqliteStore, from: number, count: number): Promise<void> {
  const numbers = Array.from({ length: count }, (_, n) => from + n)
  await Promise.all(numbers.map((n) => write(store, [put(`k${n}`, { n, text: 'x'.repeat(500) })])))
}

describe('a backup', () => {
  it('is taken while writes go on, and brings back all that was there before it and none by half', async () => {
    const store = await open()
    await fill(store, 0, 3_000)
    await write(store, [remove('k0')])
    const taken = backup(store)
    const during = Array.from({ length: 40 }, (_, n) => write(store, [put(`a${n}`, n), put(`b${n}`, n)]))
    const manifest = await taken
    expect((await Promise.all(during)).every((outcome) => outcome.ok)).toBe(true)
    expect(manifest).toMatchObject({ kind: 'agentos-backup', format: 3, partitions: 1 })
    expect(manifest.live).toBeGreaterThanOrEqual(2_999)
    expect(statSync(target).mode & 0o077).toBe(0)
    await fill(store, 0, 5)
    await closeAll()

    const { kept } = await restoreBackup(target, data, Date.now())
    const again = await open()
    expect(again.get(P, 'k0')).toBeUndefined()
    expect(again.get(P, 'k2999')?.value).toMatchObject({ n: 2_999 })
    expect(again.get(P, 'k3')?.version).toBe(1)
    for (let n = 0; n < 40; n += 1) expect(again.get(P, `a${n}`)?.value).toBe(again.get(P, `b${n}`)?.value)
    expect(readdirSync(kept ?? '').sort()).toEqual(['format', 'store.sqlite'])
    expect(examine(kept ?? '', { live: false })).toMatchObject({ damage: [] })
  })

  it('never replaces another file, and leaves nothing behind where it fails', async () => {
    const store = await open()
    await fill(store, 0, 3)
    writeFileSync(target, 'mine')
    await expect(backup(store)).rejects.toMatchObject({ code: 'invalid_input' })
    await expect(backup(store, join(folder, 'none/copy'))).rejects.toMatchObject({ code: 'invalid_input' })
    expect(readFileSync(target, 'utf8')).toBe('mine')
    expect(readdirSync(folder).sort()).toEqual(['copy.backup', 'data'])
  })

  it('is refused before anything changes: damaged, without its manifest, of a newer format', async () => {
    const store = await open()
    await fill(store, 0, 20)
    await backup(store)
    await closeAll()
    const whole = readFileSync(target)
    const before = readFileSync(join(data, 'store.sqlite'))
    const bytes = Buffer.from(whole)
    bytes[bytes.length - 900]! ^= 1
    writeFileSync(target, bytes)
    await expect(restoreBackup(target, data, 1)).rejects.toMatchObject({ code: 'corrupt_record' })
    writeFileSync(target, whole)
    const manifest = readFileSync(manifestPath(target), 'utf8')
    writeFileSync(manifestPath(target), manifest.replace('"format": 3', '"format": 4'))
    await expect(restoreBackup(target, data, 1)).rejects.toMatchObject({
      code: 'data_too_new',
      message: expect.stringContaining('format 4'),
    })
    rmSync(manifestPath(target))
    await expect(restoreBackup(target, data, 1)).rejects.toMatchObject({ code: 'not_found' })
    expect(readFileSync(join(data, 'store.sqlite')).equals(before)).toBe(true)
    expect(readdirSync(data).some((name) => name.startsWith('before-restore'))).toBe(false)
  })

  it('is not taken of a record that is not what was written', async () => {
    const store = await open()
    await fill(store, 0, 20)
    const other = new DatabaseSync(join(data, 'store.sqlite'))
    other.exec("UPDATE records SET value = '1' WHERE key = 'k7'")
    other.close()
    await expect(backup(store)).rejects.toMatchObject({
      code: 'corrupt_record',
      message: expect.stringContaining("record 'k7'"),
    })
    expect(existsSync(target)).toBe(false)
  })

  it('can be restored where there was nothing, and says whether it is whole', async () => {
    const store = await open()
    await fill(store, 0, 9)
    const manifest = await backup(store)
    expect(await verifyBackup(target)).toEqual(manifest)
    await closeAll()
    rmSync(data, { recursive: true })
    expect((await restoreBackup(target, data, 1)).kept).toBeUndefined()
    expect((await open()).get(P, 'k8')?.value).toMatchObject({ n: 8 })
  })
})

describe('the doctor', () => {
  async function filled(): Promise<string> {
    await fill(await open(), 0, 400)
    await closeAll()
    return join(data, 'store.sqlite')
  }

  it('finds nothing in what is whole', async () => {
    await filled()
    expect(examine(data, { live: false })).toMatchObject({ records: 400, live: 400, damage: [] })
  })

  it('names a damaged record, and a repair leaves out that one and keeps the files', async () => {
    const path = await filled()
    const bytes = readFileSync(path)
    bytes[bytes.indexOf('{"n":123,') + 20]! ^= 1
    writeFileSync(path, bytes)
    expect(examine(data, { live: false }).damage).toMatchObject([{ kind: 'record', partition: P, key: 'k123' }])
    const done = repair(data, Date.now())
    expect(done).toMatchObject({ records: 399, lost: [{ kind: 'record', key: 'k123' }] })
    expect(readFileSync(join(done.kept, 'store.sqlite')).equals(bytes)).toBe(true)
    expect(examine(data, { live: false })).toMatchObject({ records: 399, damage: [] })
    const store = await open()
    expect(store.get(P, 'k123')).toBeUndefined()
    const next = await write(store, [put('new', 1)])
    expect(next.ok && next.records[0]!.seq > 400).toBe(true)
  })

  it('keeps every record on both sides of a page that cannot be read, and over a damaged index', async () => {
    const path = await filled()
    const bytes = readFileSync(path)
    const page = Math.floor(bytes.indexOf('{"n":200,') / 4096) * 4096
    bytes.fill(0xee, page, page + 4096)
    writeFileSync(path, bytes)
    expect(examine(data, { live: false }).damage.some(({ kind }) => kind === 'structure')).toBe(true)
    const done = repair(data, Date.now())
    expect(done.records).toBeGreaterThan(380)
    expect(done.lost.length).toBeGreaterThan(0)
    const store = await open()
    expect(store.get(P, 'k0')?.value).toMatchObject({ n: 0 })
    expect(store.get(P, 'k399')?.value).toMatchObject({ n: 399 })
  })

  it('cuts a damaged log where the damage begins', async () => {
    const store = await open()
    for (let n = 0; n < 10; n += 1) await write(store, [put(`k${n}`, n)])
    const saved = ['store.sqlite', 'store.sqlite-wal', 'store.sqlite-synced'].map((name) => ({
      name,
      bytes: readFileSync(join(data, name)),
    }))
    await closeAll()
    for (const { name, bytes } of saved) {
      // Its very last commit: the log alone would not show that it had been synced.
      if (name.endsWith('-wal')) bytes[bytes.length - 2_000]! ^= 1
      writeFileSync(join(data, name), bytes)
    }
    await expect(open()).rejects.toMatchObject({ code: 'corrupt_record' })
    const { damage } = examine(data, { live: false })
    expect(damage).toMatchObject([{ kind: 'log', offset: expect.any(Number) }])
    const done = repair(data, Date.now())
    expect(done.lost).toMatchObject([{ kind: 'log' }])
    const again = await open()
    expect(again.get(P, 'k8')?.value).toBe(8)
    expect(again.get(P, 'k9')).toBeUndefined()
  })
})
