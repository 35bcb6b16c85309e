import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Span, TraceBounds, TracePage, TracePart, TraceQuery, TraceStore } from './trace-store.ts'

export interface TraceStoreUnderTest {
  store: TraceStore
  close(): Promise<void>
}

let made = 0

export function span(given: Partial<Span> = {}): Span {
  made += 1
  return {
    traceId: 'a'.repeat(32),
    spanId: made.toString(16).padStart(16, '0'),
    name: 'memory::search',
    kind: 'call',
    startMs: 1_000,
    endMs: 1_010,
    status: 'ok',
    service: 'memory',
    realm: 'realm-default',
    attributes: {},
    ...given,
  }
}

const ALL: TraceQuery = {
  realm: 'realm-default',
  rootsOnly: false,
  includeInternal: true,
  sortBy: 'start_time',
  descending: false,
  offset: 0,
  limit: 100,
  maxBytes: 1_000_000,
}

function list(store: TraceStore, query: Partial<TraceQuery> = {}): Promise<TracePage> {
  return new Promise((resolve, reject) => {
    store.list({ ...ALL, ...query }, (page, error) => (error ? reject(new Error(error.message)) : resolve(page)))
  })
}

async function names(store: TraceStore, query: Partial<TraceQuery> = {}): Promise<string[]> {
  return (await list(store, query)).spans.map((found) => found.name)
}

/** What every store of spans keeps to. The clock of the store stands at `NOW`. */
export const NOW = 10_000

export function traceStoreContract(
  name: string,
  open: (bounds: Partial<TraceBounds>) => Promise<TraceStoreUnderTest>,
): void {
  describe(name, () => {
    let subject: TraceStoreUnderTest
    let store: TraceStore

    beforeEach(async () => {
      subject = await open({})
      store = subject.store
    })
    afterEach(() => subject.close())

    const partOf = (traceId: string, maxBytes: number): Promise<TracePart> =>
      new Promise((resolve) => store.byTrace(traceId, maxBytes, resolve))
    const byTrace = async (traceId: string): Promise<Span[]> => (await partOf(traceId, 1_000_000)).spans

    it('reads no more bytes than asked for, and says so; of a span that is larger by itself one', async () => {
      const large = Array.from({ length: 4 }, (_, n) =>
        span({ startMs: 1_000 + n, attributes: { note: 'x'.repeat(5_000) } }),
      )
      store.append(large)
      const ids = (found: Span[]) => found.map(({ spanId }) => spanId)
      for (const [maxBytes, expected] of [
        [1_000_000, large],
        [12_000, large.slice(0, 2)],
        [100, large.slice(0, 1)],
      ] as const) {
        const cut = expected.length < large.length
        const part = await partOf(large[0]!.traceId, maxBytes)
        expect([ids(part.spans), part.cut]).toEqual([ids([...expected]), cut])
        const page = await list(store, { maxBytes })
        expect([ids(page.spans), page.cut, page.total]).toEqual([ids([...expected]), cut, 4])
      }
    })

    it('gives back the spans of a trace as they were', async () => {
      const kept = span({
        traceId: 'b'.repeat(32),
        parentSpanId: 'c'.repeat(16),
        startMs: 1_763_827_200_000.123,
        statusMessage: 'ä',
        attributes: { text: 'x', number: 1.5, yes: true, 'dotted.name"': 'q' },
      })
      store.append([kept, span()])
      expect(await byTrace('b'.repeat(32))).toEqual([kept])
      expect(await byTrace('d'.repeat(32))).toEqual([])
    })

    it('lists by realm, entrance, engine function, service, name, status, times and attributes', async () => {
      store.append([
        span({ name: 'root', attributes: { tier: 'gold', ok: true, n: 7 } }),
        span({ name: 'child', parentSpanId: '1'.repeat(16), service: 'llm', startMs: 2_000, endMs: 2_500 }),
        span({ name: 'POST /v1/chat', kind: 'http', parentSpanId: '1'.repeat(16), startMs: 3_000, endMs: 3_001 }),
        span({ name: 'engine::functions::list', startMs: 4_000, endMs: 4_000, status: 'error' }),
        span({ name: 'other realm', realm: 'realm-b' }),
      ])
      expect(await names(store)).toEqual(['root', 'child', 'POST /v1/chat', 'engine::functions::list'])
      expect(await names(store, { rootsOnly: true, includeInternal: false })).toEqual(['root', 'POST /v1/chat'])
      expect(await names(store, { realm: 'realm-b' })).toEqual(['other realm'])
      expect(await names(store, { service: 'llm' })).toEqual(['child'])
      expect(await names(store, { name: 'CHAT' })).toEqual(['POST /v1/chat'])
      expect(await names(store, { status: 'error' })).toEqual(['engine::functions::list'])
      expect(await names(store, { minDurationMs: 5, maxDurationMs: 400 })).toEqual(['root'])
      expect(await names(store, { startMs: 1_500, endMs: 3_500 })).toEqual(['child', 'POST /v1/chat'])
      expect(await names(store, { traceIds: ['f'.repeat(32)] })).toEqual([])
      const attributes: [string, string][] = [
        ['tier', 'gold'],
        ['ok', 'true'],
        ['n', '7'],
      ]
      expect(await names(store, { attributes })).toEqual(['root'])
      expect(await names(store, { attributes: [['tier', 'tin']] })).toEqual([])
    })

    it('lists what triggers began in another realm beside the own, and nothing else of that realm', async () => {
      store.append([
        span({ name: 'own' }),
        span({ name: 'fired', realm: 'system', kind: 'trigger' }),
        span({ name: 'below it', realm: 'system', parentSpanId: '1'.repeat(16) }),
        span({ name: 'housekeeping', realm: 'system' }),
        span({ name: 'fired elsewhere', realm: 'realm-b', kind: 'trigger' }),
      ])
      expect(await names(store, { firingsOf: 'system' })).toEqual(['own', 'fired'])
      expect((await list(store, { firingsOf: 'system', limit: 1 })).total).toBe(2)
      expect(await names(store)).toEqual(['own'])
    })

    it('sorts and pages, and tells how many there are', async () => {
      store.append([
        span({ name: 'b', startMs: 1, endMs: 30 }),
        span({ name: 'a', startMs: 2, endMs: 4 }),
        span({ name: 'c', startMs: 3, endMs: 13 }),
      ])
      expect(await names(store, { descending: true })).toEqual(['c', 'a', 'b'])
      expect(await names(store, { sortBy: 'name' })).toEqual(['a', 'b', 'c'])
      expect(await names(store, { sortBy: 'duration' })).toEqual(['a', 'c', 'b'])
      const page = await list(store, { offset: 1, limit: 1 })
      expect([page.spans.map((found) => found.name), page.total]).toEqual([['a'], 3])
    })

    it('clears one realm', async () => {
      store.append([span(), span({ realm: 'realm-b' })])
      await new Promise((resolve) => store.clear('realm-b', resolve))
      expect((await list(store)).total).toBe(1)
      expect((await list(store, { realm: 'realm-b' })).total).toBe(0)
    })
  })

  describe(`${name} within bounds`, () => {
    async function keeping(bounds: Partial<TraceBounds>, spans: Span[]): Promise<string[]> {
      const subject = await open(bounds)
      for (const one of spans) subject.store.append([one])
      const left = await names(subject.store)
      await subject.close()
      return left
    }
    const numbered = (count: number, given: (n: number) => Partial<Span> = () => ({})) =>
      Array.from({ length: count }, (_, n) =>
        span({ name: `n${n}`, startMs: 9_000 + n, endMs: 9_000 + n, ...given(n) }),
      )

    it('keeps no more spans than told, the latest', async () => {
      const left = await keeping({ maxSpans: 10 }, numbered(25))
      expect(left.length).toBeLessThanOrEqual(10)
      expect(left.length).toBeGreaterThan(5)
      expect(left.at(-1)).toBe('n24')
    })

    it('keeps no more bytes than told', async () => {
      const left = await keeping(
        { maxBytes: 20_000 },
        numbered(40, () => ({ attributes: { text: 'x'.repeat(1_000) } })),
      )
      expect(left.length).toBeLessThan(20)
      expect(left.length).toBeGreaterThan(5)
      expect(left.at(-1)).toBe('n39')
    })

    it('forgets what is too old', async () => {
      const left = await keeping(
        { maxAgeMs: 500 },
        numbered(10, (n) => ({ startMs: 1, endMs: n < 7 ? NOW - 501 : NOW - 499 })),
      )
      expect(left).toEqual(['n7', 'n8', 'n9'])
    })
  })
}
