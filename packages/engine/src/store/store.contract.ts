import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { BESIDE, type Store, type StoreOutcome, type StoreRecord, type StoreWrite } from '../core/ports.ts'

/** One store under test: `reopen` closes it and opens another on the same data. */
export interface StoreUnderTest {
  store: Store
  reopen(): Promise<Store>
  close(): Promise<void>
}

export interface TestClock {
  offsetMs: number
}

export const P = 'state/realm-a/users'

export function put(key: string, value: unknown, more: Partial<Extract<StoreWrite, { op: 'put' }>> = {}): StoreWrite {
  return { op: 'put', partition: P, key, value, ...more }
}

export function remove(key: string, expectedVersion?: number): StoreWrite {
  return { op: 'delete', partition: P, key, ...(expectedVersion === undefined ? {} : { expectedVersion }) }
}

export function write(store: Store, batch: StoreWrite[], options?: { relaxed?: boolean }): Promise<StoreOutcome> {
  return new Promise((resolve) => store.write(batch, resolve, options))
}

export function range(
  store: Store,
  partition: string,
  options: { prefix?: string; after?: string; limit: number },
): Promise<StoreRecord[]> {
  return new Promise((resolve, reject) => {
    store.range(partition, options, (records, error) => (error ? reject(new Error(error.code)) : resolve(records)))
  })
}

type Changes = Parameters<Parameters<Store['changes']>[2]>[0]

export function changes(store: Store, prefix: string, after: number, limit = 100): Promise<Changes> {
  return new Promise((resolve, reject) => {
    store.changes(prefix, { after, limit }, (list, error) => (error ? reject(new Error(error.code)) : resolve(list)))
  })
}

function partitions(store: Store, prefix: string): Promise<string[]> {
  return new Promise((resolve) => store.partitions(prefix, {}, resolve))
}

/** What every store keeps to. */
export function storeContract(name: string, open: (clock: TestClock) => Promise<StoreUnderTest>): void {
  describe(name, () => {
    const clock: TestClock = { offsetMs: 0 }
    let subject: StoreUnderTest
    let store: Store

    beforeEach(async () => {
      clock.offsetMs = 0
      subject = await open(clock)
      store = subject.store
    })
    afterEach(() => subject.close())

    it('returns what was written, with its version and a rising sequence', async () => {
      const first = await write(store, [put('a', { n: 1 })])
      const second = await write(store, [put('a', { n: 2 })])
      expect(store.get(P, 'a')).toMatchObject({ key: 'a', value: { n: 2 }, version: 2 })
      expect(first.ok && second.ok && second.records[0]!.seq > first.records[0]!.seq).toBe(true)
      expect(store.get(P, 'b')).toBeUndefined()
      expect(store.get('state/realm-b/users', 'a')).toBeUndefined()
    })

    it('gives out no more bytes than asked for, and where to go on; of what is larger by itself one', async () => {
      const text = 'ä'.repeat(500)
      await write(
        store,
        ['a', 'b', 'c', 'd'].map((key) => put(key, key === 'c' ? text.repeat(5) : text)),
      )
      const pages = async (maxBytes: number, limit = 10) => {
        const found: string[][] = []
        let after: string | undefined
        do {
          const options = { limit, maxBytes, ...(after === undefined ? {} : { after }) }
          after = await new Promise<string | undefined>((resolve) =>
            store.range(P, options, (records, _error, next) => {
              found.push(records.map(({ key }) => key))
              resolve(next)
            }),
          )
        } while (after !== undefined)
        return found
      }
      expect(await pages(2_500)).toEqual([['a', 'b'], ['c'], ['d']])
      expect(await pages(1)).toEqual([['a'], ['b'], ['c'], ['d']])
      expect(await pages(1_000_000)).toEqual([['a', 'b', 'c', 'd']])
      expect(await pages(1_000_000, 2)).toEqual([
        ['a', 'b'],
        ['c', 'd'],
      ])
    })

    it('pages changes by bytes over partitions too, in the order of the writes', async () => {
      const text = 'x'.repeat(1_000)
      for (let n = 0; n < 6; n += 1) {
        await write(store, [{ op: 'put', partition: `state/realm-a/p${n % 3}`, key: `k${n}`, value: text }])
      }
      const found: string[][] = []
      let after: number | undefined = 0
      while (after !== undefined) {
        const from: number = after
        after = await new Promise<number | undefined>((resolve) =>
          store.changes('state/realm-a/', { after: from, limit: 4, maxBytes: 3_500 }, (list, _error, next) => {
            found.push(list.map(({ key }) => key))
            resolve(next)
          }),
        )
      }
      expect(found).toEqual([
        ['k0', 'k1', 'k2'],
        ['k3', 'k4', 'k5'],
      ])
      expect((await changes(store, 'state/realm-a/', 0, 4)).map(({ key }) => key)).toEqual(['k0', 'k1', 'k2', 'k3'])
    })

    it('pages the names of partitions by bytes', async () => {
      const names = ['a', 'b', 'c'].map((letter) => `state/realm-p/${letter.repeat(100)}`)
      for (const partition of names) await write(store, [{ op: 'put', partition, key: 'k', value: 1 }])
      const page = (options: { after?: string; maxBytes?: number }) =>
        new Promise((resolve) =>
          store.partitions('state/realm-p/', options, (found, _error, next) => resolve([found, next])),
        )
      expect(await page({ maxBytes: 400 })).toEqual([names.slice(0, 2), names[1]])
      expect(await page({ maxBytes: 400, after: names[1]! })).toEqual([names.slice(2), undefined])
      expect(await page({})).toEqual([names, undefined])
    })

    it('keeps every JSON value as it is, and takes undefined for null', async () => {
      const values = [null, false, 0, '', 'ä😀\u0000z', [], {}, [1, [2]], { __proto__x: 1, a: { b: null } }, 1e21]
      await write(
        store,
        values.map((value, index) => put(`v${index}`, value)),
      )
      expect(values.map((_, index) => store.get(P, `v${index}`)?.value)).toEqual(values)
      await write(store, [put('u', undefined)])
      expect(store.get(P, 'u')?.value).toBeNull()
    })

    it('shows an accepted write in `latest` at once, and in `get` when it is durable', async () => {
      const done = write(store, [put('a', 1)])
      expect(store.latest(P, 'a')).toMatchObject({ value: 1, version: 1 })
      expect(store.get(P, 'a')).toBeUndefined()
      await done
      expect(store.get(P, 'a')).toMatchObject({ value: 1, version: 1 })
      const gone = write(store, [remove('a')])
      expect(store.latest(P, 'a')).toBeUndefined()
      expect(store.get(P, 'a')).toBeDefined()
      await gone
      expect(store.get(P, 'a')).toBeUndefined()
    })

    it('does not let a caller change a record through what it was given', async () => {
      const value = { list: [1] }
      const done = write(store, [put('a', value)])
      value.list.push(2)
      const seen = store.latest(P, 'a')?.value as { list: number[] }
      seen.list.push(3)
      expect(store.latest(P, 'a')?.value).toEqual({ list: [1] })
      await done
      expect(store.get(P, 'a')?.value).toEqual({ list: [1] })
    })

    it('tells when a key has no write on its way', async () => {
      const order: string[] = []
      store.settled(P, 'a', () => order.push('free'))
      const first = write(store, [put('a', 1)]).then(() => order.push('first'))
      const second = write(store, [put('a', 2)]).then(() => order.push('second'))
      store.settled(P, 'a', () => order.push('settled'))
      expect(order).toEqual(['free'])
      await Promise.all([first, second])
      expect(order).toContain('settled')
      expect(store.get(P, 'a')?.value).toBe(2)
    })

    it('answers in the order of the writes', async () => {
      const order: number[] = []
      await Promise.all(
        Array.from({ length: 50 }, (_, n) => write(store, [put(`k${n % 7}`, n)]).then(() => order.push(n))),
      )
      expect(order).toEqual(Array.from({ length: 50 }, (_, n) => n))
    })

    it('compares versions, 0 meaning that the key must not exist', async () => {
      expect(await write(store, [put('a', 1, { expectedVersion: 0 })])).toMatchObject({ ok: true })
      const again = await write(store, [put('a', 2, { expectedVersion: 0 })])
      expect(again).toMatchObject({ ok: false, error: { code: 'version_conflict', details: { currentVersion: 1 } } })
      expect(await write(store, [put('a', 3, { expectedVersion: 1 })])).toMatchObject({
        ok: true,
        records: [{ version: 2 }],
      })
      expect(await write(store, [remove('a', 1)])).toMatchObject({ ok: false })
      expect(await write(store, [remove('a', 2)])).toMatchObject({ ok: true })
      expect(await write(store, [put('a', 4, { expectedVersion: 0 })])).toMatchObject({ ok: true })
    })

    it('does not give a version twice while a deletion is remembered', async () => {
      await write(store, [put('a', 1)])
      await write(store, [remove('a')])
      await write(store, [put('a', 2)])
      expect(store.get(P, 'a')?.version).toBe(3)
      expect(await write(store, [put('a', 3, { expectedVersion: 1 })])).toMatchObject({ ok: false })
    })

    it('writes a batch whole or not at all', async () => {
      await write(store, [put('a', 1)])
      const outcome = await write(store, [put('b', 1), put('a', 2, { expectedVersion: 7 }), put('c', 1)])
      expect(outcome).toMatchObject({ ok: false, error: { code: 'version_conflict' } })
      expect([store.get(P, 'a')?.value, store.get(P, 'b'), store.get(P, 'c')]).toEqual([1, undefined, undefined])
      expect([store.latest(P, 'b'), store.latest(P, 'c')]).toEqual([undefined, undefined])
      const within = await write(store, [put('d', 1, { expectedVersion: 0 }), put('d', 2, { expectedVersion: 1 })])
      expect(within).toMatchObject({ ok: true, records: [{ version: 1 }, { version: 2 }] })
      expect(store.get(P, 'd')?.value).toBe(2)
    })

    it('refuses a batch over two partitions', () => {
      expect(() => store.write([put('a', 1), { ...put('b', 1), partition: 'other' }], () => {})).toThrow(/may not span/)
    })

    it('lets the others of a group commit when one batch conflicts', async () => {
      const outcomes = await Promise.all([
        write(store, [put('a', 1)]),
        write(store, [put('poison', 1, { expectedVersion: 9 })]),
        write(store, [put('b', 1)]),
      ])
      expect(outcomes.map((outcome) => outcome.ok)).toEqual([true, false, true])
      expect([store.get(P, 'a')?.value, store.get(P, 'poison'), store.get(P, 'b')?.value]).toEqual([1, undefined, 1])
    })

    it('counts 1,000 concurrent increments made on `latest` to 1,000', async () => {
      const outcomes = await Promise.all(
        Array.from({ length: 1_000 }, () => {
          const now = store.latest(P, 'n')
          const next = ((now?.value as number) ?? 0) + 1
          return write(store, [put('n', next, { expectedVersion: now?.version ?? 0 })])
        }),
      )
      expect(outcomes.filter((outcome) => !outcome.ok)).toEqual([])
      expect(store.get(P, 'n')).toMatchObject({ value: 1_000, version: 1_000 })
    })

    it('lists a partition by key in pages, with a prefix', async () => {
      await write(
        store,
        ['b', 'a2', 'a1', 'ä', '😀', '\uffff', 'a', ''].map((key) => put(key, key)),
      )
      await write(store, [remove('a2')])
      const all = await range(store, P, { limit: 100 })
      expect(all.map((record) => record.key)).toEqual(['', 'a', 'a1', 'b', 'ä', '\uffff', '😀'])
      expect((await range(store, P, { limit: 2, after: 'a' })).map((record) => record.key)).toEqual(['a1', 'b'])
      expect((await range(store, P, { limit: 9, prefix: 'a' })).map((record) => record.key)).toEqual(['a', 'a1'])
      const paged = await range(store, P, { limit: 9, prefix: 'a', after: 'a' })
      expect(paged).toMatchObject([{ key: 'a1', value: 'a1', version: 1 }])
      expect(await range(store, P, { limit: 9, prefix: 'b', after: 'a' })).toHaveLength(1)
      expect(await range(store, 'nothing', { limit: 9 })).toEqual([])
    })

    it('shows reads every write that was accepted before them', async () => {
      void write(store, [put('a', 1)])
      expect(await range(store, P, { limit: 9 })).toHaveLength(1)
      void write(store, [put('b', 1)])
      expect(await changes(store, 'state/', 0)).toHaveLength(2)
    })

    it('names the partitions under a prefix that hold something', async () => {
      await write(store, [put('a', 1)])
      await write(store, [{ ...put('a', 1), partition: 'state/realm-a/emptied' }])
      await write(store, [{ ...put('a', 1), partition: 'state/realm-a/agents' }])
      await write(store, [{ ...put('a', 1), partition: 'state/realm-ab/agents' }])
      await write(store, [{ op: 'delete', partition: 'state/realm-a/emptied', key: 'a' }])
      expect(await partitions(store, 'state/realm-a/')).toEqual(['state/realm-a/agents', P])
      expect(await partitions(store, P)).toEqual([P])
      expect(await partitions(store, '')).toHaveLength(3)
      expect(await partitions(store, 'state/realm-c')).toEqual([])
    })

    it('keeps records beside those of a partition, in one batch with them, that no list shows', async () => {
      const beside = (key: string) => `${BESIDE}key/${key}`
      await write(store, [put('a', 1), put(beside('a'), 'kept', { expires: Date.now() + 60_000 })])
      await write(store, [{ ...put(beside('b'), 1), partition: 'state/realm-a/nothing-else' }])
      expect(store.get(P, beside('a'))).toMatchObject({ value: 'kept', version: 1 })
      expect(store.latest(P, beside('a'))?.value).toBe('kept')
      for (const prefix of ['', BESIDE, beside('')]) {
        const found = await range(store, P, { limit: 9, prefix })
        expect(found.map(({ key }) => key)).toEqual(prefix === '' ? ['a'] : [])
      }
      expect(await range(store, P, { limit: 9, after: 'a' })).toEqual([])
      expect(await partitions(store, 'state/')).toEqual([P])
      expect(await changes(store, 'state/', 0)).toMatchObject([{ key: 'a' }])
      const refused = await write(store, [put('a', 2, { expectedVersion: 7 }), put(beside('c'), 1)])
      expect([refused.ok, store.get(P, beside('c'))]).toEqual([false, undefined])
      clock.offsetMs = 61_000
      expect(store.get(P, beside('a'))).toBeUndefined()
    })

    it('says which version the next write gets, over deletions too, and refuses one that would get another', async () => {
      const next = () => store.nextVersion(P, 'a')
      const seen = [next()]
      void write(store, [put('a', 1)])
      seen.push(next())
      await write(store, [remove('a')])
      expect([...seen, next()]).toEqual([1, 2, 3])
      expect(await write(store, [put('a', 2, { becomes: 2 }), put('b', 2)])).toMatchObject({
        ok: false,
        error: { code: 'version_conflict' },
      })
      expect(store.get(P, 'b')).toBeUndefined()
      expect(await write(store, [put('a', 2, { becomes: 3 })])).toMatchObject({ ok: true, records: [{ version: 3 }] })
    })

    it('tells changes by sequence, each key once with its latest state, deletions too', async () => {
      await write(store, [put('a', 1)])
      await write(store, [put('b', 1)])
      await write(store, [put('a', 2)])
      await write(store, [remove('b')])
      await write(store, [remove('never')])
      await write(store, [{ ...put('x', 1), partition: 'state/realm-b/users' }])
      const list = await changes(store, 'state/realm-a/', 0)
      expect(list).toMatchObject([
        { partition: P, key: 'a', value: 2, version: 2, deleted: false },
        { partition: P, key: 'b', deleted: true, version: 2 },
      ])
      expect(list[1]).not.toHaveProperty('value', 1)
      expect(await changes(store, 'state/realm-a/', list[0]!.seq)).toMatchObject([{ key: 'b' }])
      expect(await changes(store, 'state/', 0, 1)).toMatchObject([{ key: 'a' }])
      expect(await changes(store, 'state/', list[1]!.seq)).toMatchObject([{ key: 'x' }])
    })

    it('lets records expire', async () => {
      await write(store, [put('a', 1, { expires: Date.now() + 60_000 }), put('b', 1)])
      expect(store.get(P, 'a')).toMatchObject({ value: 1 })
      clock.offsetMs = 61_000
      expect(store.get(P, 'a')).toBeUndefined()
      expect(store.latest(P, 'a')).toBeUndefined()
      expect((await range(store, P, { limit: 9 })).map((record) => record.key)).toEqual(['b'])
      expect(await changes(store, P, 0)).toMatchObject([{ key: 'a', deleted: true }, { key: 'b' }])
      expect(await write(store, [put('a', 2, { expectedVersion: 0 })])).toMatchObject({ ok: true })
      expect(store.get(P, 'a')?.value).toBe(2)
    })

    it('answers a relaxed write before it is durable, and writes it with the next commit', async () => {
      const relaxed = write(store, [put('a', 1)], { relaxed: true })
      expect(store.latest(P, 'a')).toMatchObject({ value: 1 })
      expect(await relaxed).toMatchObject({ ok: true, records: [{ version: 1 }] })
      await write(store, [put('b', 1)])
      expect(store.get(P, 'a')).toMatchObject({ value: 1, version: 1 })
      expect(await write(store, [put('a', 2, { expectedVersion: 0 })], { relaxed: true })).toMatchObject({ ok: false })
    })

    it('refuses what JSON cannot hold, with a typed error', async () => {
      const cycle: Record<string, unknown> = {}
      cycle.self = cycle
      expect(await write(store, [put('a', cycle)])).toMatchObject({ ok: false, error: { code: 'serialization_error' } })
    })

    it('holds everything over a restart, relaxed writes of an orderly end too, and goes on counting', async () => {
      await write(store, [put('a', { deep: ['ä'] })])
      const last = await write(store, [put('b', 1)])
      await write(store, [put('c', 1)], { relaxed: true })
      store = await subject.reopen()
      expect(store.get(P, 'a')?.value).toEqual({ deep: ['ä'] })
      expect(store.get(P, 'c')?.value).toBe(1)
      const next = await write(store, [put('a', 2)])
      expect(next.ok && last.ok && next.records[0]!.seq > last.records[0]!.seq).toBe(true)
      expect(next).toMatchObject({ records: [{ version: 2 }] })
    })
  })
}
