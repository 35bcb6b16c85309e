import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync, StatementSync } from 'node:sqlite'
import { Worker } from 'node:worker_threads'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Store } from '../core/ports.ts'
import { openSqliteStore, type SqliteStore, type StoreLimits } from './sqlite-store.ts'
import { changes, put, range, remove, storeContract, write } from './store.contract.ts'

const P = 'state/realm-a/users'
const clock = { now: () => Date.now(), precise: () => Date.now(), monotonic: () => performance.now() }
const threadUrl = new URL('./thread.ts', import.meta.url)

let warnings: string[] = []
const log = {
  debug: () => {},
  info: () => {},
  warn: (_fields: object, message: string) => warnings.push(message),
  error: (_fields: object, message: string) => warnings.push(message),
}

let folder: string
let opened: SqliteStore[] = []

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'agentos-store-'))
  warnings = []
  opened = []
})
afterEach(async () => {
  vi.restoreAllMocks()
  for (const store of opened) await store.close()
  rmSync(folder, { recursive: true, force: true })
})

async function open(limits?: Partial<StoreLimits>): Promise<SqliteStore> {
  const store = await openSqliteStore({ folder, threadUrl, clock, log, ...(limits ? { limits } : {}) })
  opened.push(store)
  return store
}

async function close(store: SqliteStore): Promise<void> {
  opened = opened.filter((other) => other !== store)
  await store.close()
}

describe('reads of much', () => {
  it('give out 8 MiB at a time, a few at once, and a write does not wait for all of them', async () => {
    const store = await open()
    const value = 'x'.repeat(1024 * 1024)
    for (let n = 0; n < 10; n += 1) await write(store, [put(`k${n}`, value)])
    const posted = vi.spyOn(Worker.prototype, 'postMessage')
    const order: string[] = []
    const reads = Array.from(
      { length: 12 },
      (_, n) =>
        new Promise<[number, string | undefined]>((resolve) =>
          store.range(P, { limit: 1_000 }, (records, _error, next) => {
            order.push(`read ${n}`)
            resolve([records.length, next])
          }),
        ),
    )
    expect(posted).toHaveBeenCalledTimes(4)
    await write(store, [put('z', 1)])
    order.push('written')
    expect(new Set(await Promise.all(reads))).toEqual(new Set(reads.map(() => [7, 'k6'])))
    expect(order.indexOf('written')).toBeLessThan(order.length - 1)
  })

  it('that wait for their turn are answered before the store is closed', async () => {
    const store = await open()
    const reads = Array.from({ length: 12 }, () => range(store, P, { limit: 1 }))
    const ended = Promise.allSettled(reads)
    await close(store)
    expect((await ended).map(({ status }) => status)).toEqual(reads.map(() => 'fulfilled'))
  })
})

storeContract('SqliteStore', async (testClock) => {
  const dir = mkdtempSync(join(tmpdir(), 'agentos-store-'))
  const shifted = { ...clock, now: () => Date.now() + testClock.offsetMs }
  let store = await openSqliteStore({ folder: dir, threadUrl, clock: shifted, log })
  return {
    store,
    reopen: async (): Promise<Store> => {
      await store.close()
      store = await openSqliteStore({ folder: dir, threadUrl, clock: shifted, log })
      return store
    },
    close: async () => {
      await store.close()
      rmSync(dir, { recursive: true, force: true })
    },
  }
})

describe('SqliteStore and damaged data', () => {
  it('refuses a record whose bytes were changed, and names it', async () => {
    const store = await open()
    await write(store, [put('a', 'aaaa'), put('b', 'bbbb')])
    await close(store)
    const file = join(folder, 'store.sqlite')
    const bytes = readFileSync(file)
    const at = bytes.indexOf('"aaaa"')
    expect(at).toBeGreaterThan(0)
    bytes[at + 2]! ^= 1
    writeFileSync(file, bytes)
    const again = await open()
    expect(() => again.get(P, 'a')).toThrow(/record 'a' of state\/realm-a\/users .* does not match its checksum/)
    expect(again.get(P, 'b')?.value).toBe('bbbb')
    await expect(range(again, P, { limit: 9 })).rejects.toThrow('corrupt_record')
    await expect(changes(again, P, 0)).rejects.toThrow('corrupt_record')
  })

  it('refuses a folder and a database of a newer version with a sentence that says what to do', async () => {
    writeFileSync(join(folder, 'format'), '4\n')
    await expect(open()).rejects.toMatchObject({ code: 'data_too_new', message: expect.stringMatching(/AGENTOS_DATA/) })
    rmSync(join(folder, 'format'))
    await close(await open())
    const db = new DatabaseSync(join(folder, 'store.sqlite'))
    db.exec('PRAGMA user_version = 99')
    db.close()
    await expect(open()).rejects.toMatchObject({ code: 'data_too_new', message: expect.stringContaining('format 99') })
  })

  it('writes its format beside the data', async () => {
    await open()
    expect(readFileSync(join(folder, 'format'), 'utf8')).toBe('3\n')
  })

  it('starts with empty traces where their file is damaged', async () => {
    writeFileSync(
      join(folder, 'traces.sqlite'),
      'this is no database, but it is long enough to be read as one'.repeat(99),
    )
    const store = await open()
    expect(warnings).toEqual([expect.stringContaining('starts empty')])
    await write(store, [put('a', 1)])
    expect(store.get(P, 'a')?.value).toBe(1)
  })
})

describe('SqliteStore and a disk that says no', () => {
  it('answers store_unavailable, keeps nothing of it, and goes on when the disk does', async () => {
    const store = await open({ probeMs: 1 })
    await write(store, [put('a', 1)])
    expect(store.trouble()).toBeUndefined()
    const other = new DatabaseSync(join(folder, 'store.sqlite'))
    other.exec('BEGIN IMMEDIATE')
    const refused = await Promise.all([write(store, [put('a', 2)]), write(store, [put('b', 2)])])
    expect(refused).toMatchObject([
      { ok: false, error: { code: 'store_unavailable' } },
      { ok: false, error: { code: 'store_unavailable' } },
    ])
    expect(store.latest(P, 'a')?.value).toBe(1)
    expect(store.trouble()).toContain('could not reach its disk')
    other.exec('ROLLBACK')
    other.close()
    // Known again though nobody writes.
    await vi.waitFor(() => expect(store.trouble()).toBeUndefined(), { timeout: 20_000 })
    expect(await write(store, [put('a', 3)])).toMatchObject({ ok: true, records: [{ version: 2 }] })
    expect(store.get(P, 'a')?.value).toBe(3)
  })

  it('tells of a read that fails until it can be read again, though nobody reads', async () => {
    const store = await open({ probeMs: 1 })
    await write(store, [put('a', 1)])
    const get = vi.spyOn(StatementSync.prototype, 'get').mockImplementation(() => {
      throw Object.assign(new Error('disk I/O error'), { errcode: 10 })
    })
    // What was written lately is known without the disk.
    expect(store.get(P, 'a')?.value).toBe(1)
    for (const key of ['b', 'c']) expect(() => store.get(P, key)).toThrow('disk I/O error')
    expect(store.trouble()).toContain('disk I/O error')
    expect(warnings).toEqual(['The disk does not answer reads'])
    get.mockRestore()
    await vi.waitFor(() => expect(store.trouble()).toBeUndefined(), { timeout: 20_000 })
    expect(store.get(P, 'a')?.value).toBe(1)
  })

  it('does not build on a write that failed', async () => {
    const store = await open()
    const other = new DatabaseSync(join(folder, 'store.sqlite'))
    other.exec('BEGIN IMMEDIATE')
    const first = write(store, [put('n', 1, { expectedVersion: 0 })])
    await new Promise((resolve) => setImmediate(resolve))
    const before = store.latest(P, 'n')
    const second = write(store, [put('n', 2, { expectedVersion: before!.version })])
    await first
    other.exec('ROLLBACK')
    other.close()
    expect(await first).toMatchObject({ ok: false, error: { code: 'store_unavailable' } })
    expect(await second).toMatchObject({ ok: false })
    expect(store.latest(P, 'n')).toBeUndefined()
  })

  it('bounds what waits for the disk', async () => {
    const store = await open({ pendingBytes: 1_000 })
    const outcomes = await Promise.all(
      Array.from({ length: 10 }, (_, n) => write(store, [put(`k${n}`, 'x'.repeat(300))])),
    )
    const codes = outcomes.map((outcome) => (outcome.ok ? 'ok' : outcome.error.code))
    expect(codes.slice(0, 3)).toEqual(['ok', 'ok', 'ok'])
    expect(codes.at(-1)).toBe('overloaded')
    expect(await write(store, [put('later', 1)])).toMatchObject({ ok: true })
  })

  it('refuses writes after it was closed', async () => {
    const store = await open()
    await close(store)
    expect(await write(store, [put('a', 1)])).toMatchObject({ ok: false, error: { code: 'store_unavailable' } })
  })
})

describe('SqliteStore and point reads', () => {
  it('never show less than what was answered, nor go back, while writes of the same keys are under way', async () => {
    const store = await open()
    const keys = ['a', 'b', 'c']
    const seen = new Map<string, number>()
    const look = (key: string, atLeast: number): void => {
      const version = store.get(P, key)?.version ?? 0
      expect(version).toBeGreaterThanOrEqual(Math.max(atLeast, seen.get(key) ?? 0))
      seen.set(key, version)
    }
    const writer = async (key: string): Promise<void> => {
      for (let n = 0; n < 60; n += 1) {
        const outcome = await write(store, [put(key, n)])
        for (const other of keys) look(other, other === key && outcome.ok ? outcome.records[0]!.version : 0)
      }
    }
    await Promise.all([...keys, ...keys].map(writer))
    expect(seen).toEqual(new Map(keys.map((key) => [key, 120])))
    for (const key of keys) expect(store.get(P, key)).toMatchObject({ value: 59, version: 120 })
  })

  it('show a deletion, what its time took and what is written after it was forgotten', async () => {
    const store = await open({ sweepMs: 5, deletions: 0 })
    await write(store, [put('short', 1, { expires: Date.now() + 20 }), put('gone', 1)])
    expect(store.get(P, 'gone')?.version).toBe(1)
    await write(store, [remove('gone')])
    expect(store.get(P, 'gone')).toBeUndefined()
    await expect.poll(() => store.get(P, 'short')).toBeUndefined()
    await expect.poll(async () => (await changes(store, P, 0)).length).toBe(0)
    // Forgotten, so counted from the beginning.
    await expect.poll(() => [store.nextVersion(P, 'gone'), store.nextVersion(P, 'short')]).toEqual([1, 1])
    expect(await write(store, [put('gone', 2, { expectedVersion: 0 })])).toMatchObject({ records: [{ version: 1 }] })
    expect(store.get(P, 'gone')).toMatchObject({ value: 2, version: 1 })
  })
})

describe('SqliteStore and time', () => {
  it('writes a relaxed write without another to carry it', async () => {
    const store = await open({ relaxedMs: 1 })
    await write(store, [put('a', 1)], { relaxed: true })
    await new Promise<void>((resolve) => store.settled(P, 'a', resolve))
    expect(store.get(P, 'a')?.value).toBe(1)
  })

  it('turns what expired into deletions, and forgets old deletions', async () => {
    const store = await open({ sweepMs: 5, deletions: 2 })
    await write(store, [put('short', 1, { expires: Date.now() + 1 })])
    const expired = async () => (await changes(store, P, 0)).find((change) => change.key === 'short')
    await expect.poll(async () => (await expired())?.version).toBe(2)
    for (const key of ['a', 'b', 'c', 'd']) await write(store, [put(key, 1)])
    for (const key of ['a', 'b', 'c', 'd']) await write(store, [remove(key)])
    await expect.poll(async () => (await changes(store, P, 0)).length).toBe(2)
    await expect(changes(store, P, 1)).rejects.toThrow('history_pruned')
    const last = (await changes(store, P, 0)).at(-1)!.seq
    await close(store)
    const again = await open({ sweepMs: 5, deletions: 0 })
    await expect.poll(async () => (await changes(again, P, 0)).length).toBe(0)
    await close(again)
    const third = await open()
    const next = await write(third, [put('e', 1)])
    expect(next.ok && next.records[0]!.seq > last).toBe(true)
  })
})
